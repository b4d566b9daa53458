"""Jobs and carbon intensity on one time grid. Times are UTC epoch seconds, so no clock change moves a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
HOUR_S = 3600


@dataclass(frozen=True)
class Intensity:
    """Carbon intensity of one zone: (T,) g CO2e/kWh, each value holding for `step_s` seconds from its own start.

    Raises
    ------
    InvalidInput: no values, one that is missing or negative, or a step below a second.
    """

    start_s: int
    step_s: int
    g_per_kwh: Floats

    def __post_init__(self) -> None:
        if self.step_s < 1 or not len(self.g_per_kwh):
            raise InvalidInput("there are no values", where="carbon intensity", fix="give a value for each hour")
        odd = np.flatnonzero(~(self.g_per_kwh >= 0) | np.isinf(self.g_per_kwh))
        if len(odd):
            raise InvalidInput(
                f"value {odd[0] + 1} is {self.g_per_kwh[odd[0]]:g}",
                where="carbon intensity",
                fix="give 0 or more g CO2e/kWh for every step; a missing value is not zero",
            )

    @property
    def end_s(self) -> int:
        """The first second that is not covered."""
        return self.start_s + self.step_s * len(self.g_per_kwh)

    def until(self) -> Floats:
        """(T + 1,) g CO2e of one kW running from the start to each border of the grid."""
        return np.concatenate(([0.0], np.cumsum(self.g_per_kwh * (self.step_s / HOUR_S))))


@dataclass(frozen=True)
class Jobs:
    """Flexible work, a row a job: (N,) arrival and slack and duration in seconds, kW, and whether it may pause.

    `slack_s` is how much later than its arrival a job may start; it ends at arrival + slack + duration at the latest.
    """

    arrival_s: Ints
    duration_s: Ints
    slack_s: Ints
    kw: Floats
    interruptible: Bools

    def __len__(self) -> int:
        return len(self.arrival_s)

    def take(self, rows: NDArray[np.int64] | Bools) -> Jobs:
        """These rows alone."""
        return Jobs(self.arrival_s[rows], self.duration_s[rows], self.slack_s[rows], self.kw[rows],
                    self.interruptible[rows])  # fmt: skip


def covered(intensity: Intensity, jobs: Jobs) -> Bools:
    """(N,) whether a job that runs at its arrival lies inside the data.

    Only such jobs can be planned: for others not even the baseline is known. A window that reaches past the end of the
    data is cut there (see `cut`): starts whose run is not known in full are not looked at.
    """
    return (jobs.arrival_s >= intensity.start_s) & (jobs.arrival_s + jobs.duration_s <= intensity.end_s)


def cut(intensity: Intensity, jobs: Jobs) -> Bools:
    """(N,) whether a covered job's window reaches past the end of the data."""
    return covered(intensity, jobs) & (jobs.arrival_s + jobs.slack_s + jobs.duration_s > intensity.end_s)


def at_arrival(intensity: Intensity, jobs: Jobs) -> Floats:
    """(N,) g CO2e of one kW that runs from the arrival without a pause; NaN where the data do not cover it."""
    inside = covered(intensity, jobs)
    begin = np.where(inside, jobs.arrival_s - intensity.start_s, 0)
    cost = emitted(intensity, begin, np.where(inside, jobs.duration_s, 0))
    return np.where(inside, cost, np.nan)


def emitted(intensity: Intensity, begin_s: Ints, duration_s: Ints | int) -> Floats:
    """Emissions of one kW, g CO2e, from `begin_s` seconds after the grid's start on: F(begin + duration) - F(begin).

    F is the running sum of the intensity, linear inside a step; shapes broadcast.

    >>> emitted(Intensity(0, 3600, np.array([100.0, 300.0])), np.array([0, 1800]), 3600).tolist()
    [100.0, 200.0]
    """
    until, step = intensity.until(), intensity.step_s
    values = np.append(intensity.g_per_kwh, 0.0)

    def total(at_s: Ints) -> Floats:
        slot, rest = np.divmod(at_s, step)
        return np.asarray(until[slot] + values[slot] * (rest / HOUR_S))

    return total(begin_s + duration_s) - total(begin_s)
