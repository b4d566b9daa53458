"""What the running fleet had at each whole minute of the last six hours: a ring for the simulated Prometheus."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deployments.local.clock import SimulatedClock

STEP_S = 60
LENGTH = 360  # six hours of minutes

Floats = NDArray[np.float64]


class Row(NamedTuple):
    """What is recorded, of what: a cluster and a pool or workload in it, or a site."""

    quantity: str
    place: str
    name: str = ""


Sample = Callable[[], Mapping[Row, float]]
Past = Callable[[Floats], Mapping[Row, Floats]]
"""Values at (N,) whole minutes before the start; a row that is not in it had its first value all along."""


class Recorder:
    """One float32 a row and minute; `total` adds up what ever passed through.

    Parameters
    ----------
    sample: asked at every whole minute, after everything else that is due then.
    """

    def __init__(self, clock: SimulatedClock, sample: Sample) -> None:
        self._clock, self._sample = clock, sample
        self._newest = 0  # minutes since 1970
        self._rings: dict[Row, NDArray[np.float32]] = {}
        self._forgotten: dict[Row, float] = {}

    def begin(self, past: Past) -> None:
        """Fill the ring with what the fleet had before now, and record from the next minute on."""
        self._newest = int(self._clock.now() // STEP_S)
        minutes = np.arange(self._newest - LENGTH + 1, self._newest + 1)
        before = past(_seconds(minutes))
        for row, value in self._sample().items():
            ring = self._ring(row)
            ring[minutes % LENGTH] = before.get(row, value)
            ring[self._newest % LENGTH] = value
        self.resume()

    def resume(self) -> None:
        """Record from the next whole minute on."""
        self._clock.at((self._clock.now() // STEP_S + 1) * STEP_S, "recorder", self._record)

    def rows(self, quantity: str) -> list[Row]:
        """Rows of one quantity that the ring holds, sorted."""
        return sorted(row for row in self._rings if row.quantity == quantity)

    def read(self, row: Row, times_s: Floats) -> Floats:
        """(N,) values at whole minutes; NaN where nothing was recorded, or it is forgotten."""
        minutes = np.asarray(times_s // STEP_S, dtype=np.int64)
        held = (minutes > self._newest - LENGTH) & (minutes <= self._newest)
        ring = self._rings.get(row)
        return np.where(held, np.nan if ring is None else ring[minutes % LENGTH].astype(np.float64), np.nan)

    def total(self, row: Row, times_s: Floats) -> Floats:
        """(N,) sum of value x 60 s of every minute up to and with each time, from the first one ever; NaN as in `read`.

        The sum runs forward from what is forgotten, so a sample keeps its value to the last bit.
        """
        minutes = np.arange(self._newest - LENGTH + 1, self._newest + 1)
        values = np.nan_to_num(self.read(row, _seconds(minutes))) * STEP_S
        sums = np.cumsum(np.concatenate([[self._forgotten.get(row, 0.0)], values]))[1:]
        at = np.asarray(times_s // STEP_S, dtype=np.int64) - minutes[0]
        return np.where(np.isnan(self.read(row, times_s)), np.nan, sums[np.clip(at, 0, LENGTH - 1)])

    def snapshot(self) -> dict[str, Any]:
        """Everything that `restore` needs, JSON-able."""
        stacked = np.array(list(self._rings.values()), dtype="<f4")
        return {
            "newest": self._newest,
            "rows": [list(row) for row in self._rings],
            "values": base64.b64encode(zlib.compress(stacked.tobytes(), 1)).decode(),
            "forgotten": [[*row, value] for row, value in self._forgotten.items()],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take what a snapshot holds, and go on."""
        values = np.frombuffer(zlib.decompress(base64.b64decode(snapshot["values"])), dtype="<f4")
        rings = values.reshape(len(snapshot["rows"]), LENGTH).astype(np.float32)
        self._newest = snapshot["newest"]
        self._rings = {Row(*row): ring for row, ring in zip(snapshot["rows"], rings, strict=True)}
        self._forgotten = {Row(*row): value for *row, value in snapshot["forgotten"]}
        self.resume()

    def _record(self) -> None:
        self._newest = int(self._clock.now() // STEP_S)
        slot = self._newest % LENGTH
        for row, ring in self._rings.items():
            if not np.isnan(ring[slot]):
                self._forgotten[row] = self._forgotten.get(row, 0.0) + float(ring[slot]) * STEP_S
            ring[slot] = np.nan
        for row, value in self._sample().items():
            self._ring(row)[slot] = value
        if slot == 0:
            self._drop_empty()
        self.resume()

    def _drop_empty(self) -> None:
        self._rings = {row: ring for row, ring in self._rings.items() if not np.isnan(ring).all()}
        self._forgotten = {row: total for row, total in self._forgotten.items() if row in self._rings}

    def _ring(self, row: Row) -> NDArray[np.float32]:
        if row not in self._rings:
            self._rings[row] = np.full(LENGTH, np.nan, dtype=np.float32)
        return self._rings[row]


def _seconds(minutes: NDArray[np.int64]) -> Floats:
    return np.asarray(minutes * STEP_S, dtype=np.float64)
