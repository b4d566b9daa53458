"""How unlike its own recent past each step of a series is: five residuals, each blind to what the others see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tasks.forecasting.decide.history import LARGEST, Bool, steps_in_a_day
from tasks.forecasting.decide.trailing import (
    Matrix,
    lag,
    level_before,
    previous,
    trailing_count,
    trailing_mean,
)

FAST, SLOW = (2.0, 32), (30.0, 256)  # half-life and memory, steps; the two half-lives that scored best on NAB
KNOWN_SHARE = 1 / 3  # of the steps of a mean must be measured
AVERAGED_HOURS = 6  # of disagreement with the days before: shorter than a working day, longer than a batch job
LEAST_CHANGE = 0.01  # of the expected level: a smaller change asks for nothing, and a constant series has no scale
FEWEST_STEPS = 3  # in an "hour" of a coarse series


class Cause(StrEnum):
    """What a step is unlike: the residual that makes it an anomaly."""

    STEP = "step"  # the last few values: spikes, level shifts
    LEVEL = "level"  # an hour like neither the hours before nor the same hour of the last two days: shifts, fast drifts
    DAY = "day"  # six hours like neither of the last two days: slow drifts, a shifted phase
    ACTIVITY = "activity"  # an hour's changes from step to step: a larger variance
    STUCK = "stuck"  # the number of equal values in a row: a flat line


@dataclass(frozen=True)
class Residuals:
    """R causes of N series over W steps.

    Attributes
    ----------
    sizes: one (N, W) a cause; not negative, 0 where not worth a word, NaN where nothing can be said.
    expected: one (N, W) a cause, in the series' own unit: what was to come.
    values: (N, W) what came. observed: (N, W) whether it was measured.
    """

    sizes: dict[Cause, Matrix]
    expected: dict[Cause, Matrix]
    values: Matrix
    observed: Bool


def hour_of(step_s: int) -> int:
    """Steps that are treated as an hour."""
    return max(FEWEST_STEPS, steps_in_a_day(step_s) // 24)


def residuals(block: Matrix, step_s: int) -> Residuals:
    """Five residuals of every step against what came before it.

    An hour is at least three steps. Of the first value after a gap of more than an hour nothing is said: a series that
    comes back elsewhere is no spike. From the next one on it is compared with it, and with the days before.

    Parameters
    ----------
    block:
        (N, W) values, NaN where missing; beyond 1e17 is no measurement and counts as missing.
    step_s:
        seconds, a divisor of a day.
    """
    day, hour = steps_in_a_day(step_s), hour_of(step_s)
    observed = np.abs(block) <= LARGEST
    values = np.where(observed, block, np.float32(np.nan))
    fast, slow = level_before(values, *FAST), level_before(values, *SLOW)
    hourly = trailing_mean(values, hour, KNOWN_SHARE)
    days = [lag(hourly, day), lag(hourly, 2 * day)]
    explained = _nearest(hourly, [lag(slow, hour), *days])
    yesterday = _nearest(hourly, days)
    both = ~np.isnan(days[0]) & ~np.isnan(days[1])  # to one day alone a series is less like than to the nearer of two
    apart = np.where(both, np.abs(hourly - yesterday), np.float32(np.nan))
    sustained = _mean_of_hours(apart, hour)
    before, gap = previous(values, observed)
    said = observed & (gap - 1 <= hour)
    moved = trailing_mean(np.where(said, np.abs(values - before), np.float32(np.nan)), hour, KNOWN_SHARE)
    expected = {
        Cause.STEP: fast, Cause.LEVEL: explained, Cause.DAY: yesterday, Cause.ACTIVITY: fast, Cause.STUCK: fast,
    }  # fmt: skip
    sizes = {
        Cause.STEP: np.abs(values - fast), Cause.LEVEL: np.abs(hourly - explained), Cause.DAY: sustained,
        Cause.ACTIVITY: moved,
    }  # fmt: skip
    for cause, size in sizes.items():
        small = size <= LEAST_CHANGE * np.abs(expected[cause])
        sizes[cause] = np.where(said, np.where(small, 0.0, size), np.nan)
    sizes[Cause.STUCK] = np.where(said, _run_lengths(values != before, observed, hour), np.nan)
    return Residuals(sizes, expected, values, observed)


def _nearest(values: Matrix, candidates: list[Matrix]) -> Matrix:
    """(N, W) the candidate nearest to each value, those that are not known left out."""
    best = candidates[0]
    for other in candidates[1:]:
        closer = (np.abs(values - other) < np.abs(values - best)) | np.isnan(best)
        best = np.where(closer, other, best)
    return best


def _mean_of_hours(values: Matrix, hour: int) -> Matrix:
    """(N, W) mean of a value and those one to five hours before, NaN where less than a third is known."""
    known = ~np.isnan(values)
    parts = ((np.where(known, values, np.float32(0))), known.astype(np.float32))
    total, count = (sum(lag(part, back * hour, 0.0) for back in range(AVERAGED_HOURS)) for part in parts)
    return np.asarray(np.where(count >= KNOWN_SHARE * AVERAGED_HOURS, total / np.maximum(count, 1), np.float32(np.nan)))


def _run_lengths(changed: Bool, observed: Bool, hour: int) -> Matrix:
    """(N, W) measured values in a row that equal each other, the current one counted; 0 for less than an hour of them.

    Missing steps in between neither count nor end a run.
    """
    count = np.cumsum(observed, axis=1, dtype=np.int32)
    run = count - np.maximum.accumulate(np.where(observed & changed, count - 1, 0), axis=1)
    return np.asarray(np.where(run >= hour, run, 0).astype(np.float32))


def counting(block: Matrix, width: int, wanted: int) -> Bool:
    """(N, wanted) whether a series was a counter in the `width` steps before each of the newest steps.

    A counter rises at half of its steps or more, and never falls but to half or less: those are its resets.
    """
    answer = np.zeros((len(block), min(wanted, block.shape[1])), dtype=bool)
    shared = block[:, -width:-wanted]  # the steps that come before every wanted one: one fall there settles it
    rows = np.flatnonzero(~((shared[:, 1:] < shared[:, :-1]) & (2 * shared[:, 1:] > shared[:, :-1])).any(axis=1))
    part = block[rows]
    observed = np.abs(part) <= LARGEST
    before = previous(part, observed)[0]
    rises = observed & (part > before)
    falls = observed & (part < before) & ~((part >= 0) & (2 * part <= before))
    measured, rose, fell = (
        lag(trailing_count(mask, width), 1, 0.0)[:, -answer.shape[1] :] for mask in (observed, rises, falls)
    )
    answer[rows] = (fell == 0) & (2 * rose >= measured) & (measured >= FEWEST_STEPS)
    return answer


def increments(block: Matrix) -> Matrix:
    """(N, W) rise a step since the value before; after a fall, what was counted since: Prometheus' rule for `rate()`.

    >>> increments(np.array([[10.0, 14.0, np.nan, 20.0, 3.0]]))
    array([[nan,  4., nan,  3.,  3.]])
    """
    observed = np.abs(block) <= LARGEST
    before, gap = previous(block, observed)
    rise = np.where(block < before, block, block - before)
    return np.asarray(np.where(observed, rise / gap, np.nan))
