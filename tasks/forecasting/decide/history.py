"""The past of each series as an engine may see it: only columns at or before `as_of`, holes filled by stated rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Float, Series
from tasks.forecasting.decide.ahead import Ahead

Bool = NDArray[np.bool_]
Index = NDArray[np.int64]

DAY_S = 86_400
LARGEST = np.float32(1e17)  # beyond this a value is no measurement, and float32 squares over a week would overflow


@dataclass(frozen=True)
class Past:
    """N series, or N windows of series, over the same W steps up to and including their origin.

    Attributes
    ----------
    values: (N, W) float32, holes filled by `fill`; NaN only where nothing earlier is known.
    observed: (N, W) whether the value was measured.
    day: steps in a day. hour: steps in an hour, at least 1.
    ahead: what the calendar knows of them; None is nothing.
    """

    values: Float
    observed: Bool
    day: int
    hour: int
    ahead: Ahead | None = None

    def first(self) -> Index:
        """(N,) column of the first measured value, W where there is none."""
        return first_observed(self.observed)

    def age(self) -> Index:
        """(N,) steps from the first measured value to the origin, both counted."""
        return np.asarray(self.observed.shape[1] - self.first())

    def rows(self, chosen: slice | Index | Bool) -> Past:
        """The same steps of some rows."""
        ahead = self.ahead.rows(chosen) if self.ahead else None
        return Past(self.values[chosen], self.observed[chosen], self.day, self.hour, ahead)

    def staleness(self) -> Index:
        """(N,) steps from the last measured value to the origin, W where there is none."""
        answer = np.zeros(len(self.observed), np.int64)
        stale = np.flatnonzero(~self.observed[:, -1])
        answer[stale] = first_observed(self.observed[stale, ::-1])
        return answer


def first_observed(observed: Bool) -> Index:
    """(N,) column of the first measured value, the width where there is none."""
    answer = np.zeros(len(observed), np.int64)
    late = np.flatnonzero(~observed[:, 0])
    found = observed[late]
    answer[late] = np.where(found.any(axis=1), found.argmax(axis=1), observed.shape[1])
    return answer


def steps_in_a_day(step_s: int) -> int:
    """Steps in a day.

    Raises
    ------
    InvalidInput: the step is not a positive divisor of a day.

    >>> steps_in_a_day(300)
    288
    """
    if step_s <= 0 or DAY_S % step_s:
        raise InvalidInput(f"a step of {step_s} s does not divide a day", where="history",
                           fix="resample to a step such as 60, 300, 900 or 3600 s")  # fmt: skip
    return DAY_S // step_s


def last_column(history: Series, as_of: datetime) -> int:
    """Column of the last step at or before `as_of`; beyond the matrix when the history is stale, negative before it.

    Raises
    ------
    InvalidInput: `as_of` carries no time zone.
    """
    if as_of.tzinfo is None:
        raise InvalidInput(f"{as_of.isoformat()} has no time zone", where="as_of", fix="pass an aware UTC datetime")
    return int((as_of.timestamp() - history.start_s) // history.step_s)


def recent(history: Series, last: int, width: int) -> Float:
    """(S, width) columns up to and including `last`; NaN where the matrix does not reach."""
    begin, steps = last + 1 - width, history.values.shape[1]
    if begin >= 0 and last < steps:
        return history.values[:, begin : last + 1]
    block = np.full((history.values.shape[0], width), np.nan, dtype=np.float32)
    low, high = max(begin, 0), min(last + 1, steps)
    if low < high:
        block[:, low - begin : high - begin] = history.values[:, low:high]
    return block


def past(block: Float, day: int, ahead: Ahead | None = None) -> Past:
    """A block of columns, cleaned: what is not a number up to 1e17 counts as missing, and holes are filled.

    Parameters
    ----------
    block:
        (N, W) float32, left as it is.
    day:
        steps in a day.
    ahead:
        what the calendar knows of the N windows.
    """
    hour = max(1, day // 24)
    observed = np.abs(block) <= LARGEST
    if observed.all():
        return Past(block, observed, day, hour, ahead)
    values = extend_backwards(fill(block, observed, day, hour), first_observed(observed), day)
    return Past(values, observed, day, hour, ahead)


def fill(block: Float, observed: Bool, day: int, hour: int) -> Float:
    """Fill holes, never with zero and never from a later value.

    A missing step takes the last measured value for up to an hour, then the same slot of the day before (itself filled
    where it was missing), then again the last measured value. Steps before the first measured one stay NaN.

    Parameters
    ----------
    block, observed:
        (N, W) values and whether each was measured.
    day, hour:
        steps.

    >>> fill(np.array([[np.nan, 3, 4, np.nan, np.nan]], np.float32), np.array([[0, 1, 1, 0, 0]], bool), 2, 1)
    array([[nan,  3.,  4.,  4.,  4.]], dtype=float32)
    """
    values = np.ascontiguousarray(np.where(observed, block, np.float32(np.nan)), dtype=np.float32)
    began = np.arange(block.shape[1]) > first_observed(observed)[:, None]
    holes = np.flatnonzero(began & ~observed)
    if not len(holes):
        return values
    starts = np.flatnonzero(np.diff(holes, prepend=-1) != 1)  # of runs of holes; none reaches into the next row
    source = np.repeat(holes[starts] - 1, np.diff(starts, append=len(holes)))
    flat = values.reshape(-1)
    flat[holes] = flat[source]
    late = holes[holes - source > hour]
    turn = late % block.shape[1] // day
    for one in range(1, -(-block.shape[1] // day)):  # a day may take from the one before it, filled already
        at = late[turn == one]
        before = flat[at - day]
        flat[at] = np.where(np.isnan(before), flat[at], before)
    return values


def extend_backwards(values: Float, first: Index, day: int) -> Float:
    """Repeat what each row begins with backwards: its first day, or all of it where it is younger than a day.

    Parameters
    ----------
    values:
        (N, W) filled from column `first` (N,) on; a row with first = W stays NaN.

    >>> extend_backwards(np.array([[np.nan, np.nan, np.nan, 1, 2, 3]], np.float32), np.array([3]), 2)
    array([[2., 1., 2., 1., 2., 3.]], dtype=float32)
    """
    width = values.shape[1]
    late = np.flatnonzero((first > 0) & (first < width))
    if not len(late):
        return values
    answer = values.copy()
    for row, begin in zip(late.tolist(), first[late].tolist(), strict=True):
        series, known = answer[row], min(width - begin, day)  # the period, then a multiple of it
        while begin:
            more = min(known, begin)
            series[begin - more : begin] = series[begin + known - more : begin + known]
            begin, known = begin - more, known + more
    return answer
