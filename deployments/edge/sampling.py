"""Confidences of a sample of the answers, kept in memory until they go into the outbox: no request waits for a disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from blocks.tensors import Tensor
from deployments.edge.serving import Served, told_apart

MOST_ROWS = 64  # of one request
MOST_KEPT = 1000  # between two passes; the oldest go


class Sampled:
    """Called with each answer, on any thread; `ratio` of the rows are kept."""

    def __init__(self, ratio: float, draw: np.random.Generator | None = None) -> None:
        self._ratio, self._draw = ratio, draw or np.random.default_rng()
        self._kept: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)

    def __call__(self, served: Served, outputs: Mapping[str, Tensor]) -> None:
        """Keep some rows of an answer; nothing where it has no class probabilities."""
        count = next((len(tensor) for tensor in outputs.values() if tensor.ndim), 0)
        picked = np.flatnonzero(self._draw.random(count) < self._ratio)[:MOST_ROWS] if self._ratio else ()
        if not len(picked) or (told := told_apart(outputs)) is None:
            return
        for sure in told[1][picked].tolist():
            self._kept.append({"model": served.name, "digest": served.digest, "edge_confidence": round(sure, 6)})

    def take(self) -> list[dict[str, Any]]:
        """What was kept since the last call, oldest first."""
        taken = []
        while self._kept:
            taken.append(self._kept.popleft())
        return taken
