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
        if self.observed[:, -1].all():
            return np.zeros(len(self.observed), np.int64)
        found = self.observed[:, ::-1].argmax(axis=1)
        return np.asarray(np.where(self.observed.any(axis=1), found, self.observed.shape[1]))


def first_observed(observed: Bool) -> Index:
    """(N,) column of the first measured value, the width where there is none."""
    if observed[:, 0].all():
        return np.zeros(len(observed), np.int64)
    return np.asarray(np.where(observed.any(axis=1), observed.argmax(axis=1), observed.shape[1]))


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
    whole = observed.all(axis=1)
    if whole.all():
        return Past(block, observed, day, hour, ahead)
    values = block.copy()
    holed = observed[~whole]
    filled = fill(block[~whole], holed, day, hour)
    values[~whole] = extend_backwards(filled, first_observed(holed), day)
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
    steps = block.shape[1]
    columns = np.arange(steps)
    source = np.maximum.accumulate(np.where(observed, columns, -1), axis=1)
    carried = np.take_along_axis(block, np.maximum(source, 0), axis=1)
    values = np.where((source >= 0) & (columns - source <= hour), carried, np.float32(np.nan))
    for start in range(0, steps, day):
        now = slice(start, min(start + day, steps))
        width = now.stop - now.start
        before = values[:, start - day : start - day + width] if start else np.full_like(values[:, now], np.nan)
        replacement = np.where(np.isnan(before), np.where(source[:, now] >= 0, carried[:, now], np.nan), before)
        values[:, now] = np.where(np.isnan(values[:, now]), replacement, values[:, now])
    return values.astype(np.float32, copy=False)


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
    begin = first[late, None]
    columns = np.arange(width)
    period = np.minimum(width - begin, day)
    answer[late] = np.take_along_axis(
        values[late], np.where(columns < begin, begin + (columns - begin) % period, columns), axis=1
    )
    return answer
