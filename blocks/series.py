"""Demand as arrays: a dense matrix of series and the forecast made from it. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Series:
    """A matrix of S series by T steps.

    Attributes
    ----------
    unique_id: S names, e.g. `eu-eks/web/cpu_cores`.
    start_s: time of column 0, seconds since 1970 UTC, a multiple of `step_s`.
    step_s: seconds between columns.
    values: (S, T) float32 in the series' own unit; NaN is missing, never zero.
    """

    unique_id: tuple[str, ...]
    start_s: int
    step_s: int
    values: Float

    @property
    def end_s(self) -> int:
        """Time just after the last column, seconds since 1970 UTC."""
        return int(self.start_s + self.step_s * self.values.shape[1])

    def times(self) -> NDArray[np.int64]:
        """(T,) seconds since 1970 UTC."""
        return self.start_s + self.step_s * np.arange(self.values.shape[1], dtype=np.int64)


@dataclass(frozen=True)
class Calendar:
    """What is known beforehand of S series: their local time, and K features of the future (holidays, planned events).

    Attributes
    ----------
    unique_id: S names. zones: S IANA names of time zones, e.g. `Europe/Berlin`; empty is UTC for all.
    names: K features. start_s: time of column 0, seconds since 1970 UTC. step_s: seconds between columns.
    values: (K, S, T) float32, reaching as far beyond the history as is known; NaN is not known.
    """

    unique_id: tuple[str, ...]
    zones: tuple[str, ...]
    names: tuple[str, ...]
    start_s: int
    step_s: int
    values: Float


@dataclass(frozen=True)
class Forecast:
    """Quantiles of S series over the next H steps.

    Attributes
    ----------
    unique_id: S names, in the order of the history.
    as_of: when it was made; nothing later was looked at.
    start_s: time of the first step, seconds since 1970 UTC.
    step_s: seconds between steps.
    levels: Q quantile levels, ascending, 0-1.
    values: (S, H, Q) float32 in the series' own unit, non-decreasing along Q; NaN where no forecast can be made.
    peaks: (S, H, Q) quantiles of the highest value from the first step until each one: the maximum's own quantiles, not
    the maximum of quantiles; non-decreasing along H and Q.
    method: S names of the engine that served each series (a fallback shows here).
    """

    unique_id: tuple[str, ...]
    as_of: datetime
    start_s: int
    step_s: int
    levels: tuple[float, ...]
    values: Float
    peaks: Float
    method: tuple[str, ...]

    def times(self) -> NDArray[np.int64]:
        """(H,) seconds since 1970 UTC."""
        return self.start_s + self.step_s * np.arange(self.values.shape[1], dtype=np.int64)


def utc(seconds: float) -> datetime:
    """Timezone-aware time of seconds since 1970.

    >>> utc(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC)
