"""What pods consume: read by the metrics API and the autoscalers, told by whoever plays the world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

CPU, MEMORY = "continuum.io/cpu-usage", "continuum.io/memory-usage"
"""Annotations on a pod: quantities that it uses instead of a share of its requests."""
CPU_SHARE, MEMORY_SHARE = 0.6, 0.7
"""Of what a pod requests, in use where nobody says more."""


class Usage(NamedTuple):
    """What one pod consumes now."""

    cpu_cores: float
    memory_bytes: float


PodUsage = Callable[[Json], Usage]
"""Usage of a stored running pod."""


def of_requests(pod: Json) -> Usage:
    """Usage of a pod that no world plays: its annotations, or fixed shares of its requests.

    >>> of_requests({"metadata": {}, "spec": {"containers": [{"resources": {"requests": {"cpu": "500m"}}}]}}).cpu_cores
    0.3
    """
    marks = pod["metadata"].get("annotations", {})
    return Usage(
        float(quantity(marks[CPU])) if CPU in marks else CPU_SHARE * _requested(pod, "cpu"),
        float(quantity(marks[MEMORY])) if MEMORY in marks else MEMORY_SHARE * _requested(pod, "memory"),
    )


def _requested(pod: Json, name: str) -> float:
    containers = pod["spec"].get("containers", ())
    return sum(float(quantity(dig(entry, "resources", "requests", name, default="0"))) for entry in containers)
