"""What is known beforehand of windows: when their clocks are changed, and features of the steps to come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float

Steps = NDArray[np.int64]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Ahead:
    """What the calendar knows of N windows of W steps and of the H steps after each.

    Attributes
    ----------
    clock: (P, W + H) whole steps that a local clock is ahead of that at the window's end, for each of P ways in which
        one is changed; nearly always there is none. pattern: (N,) which of them a window goes by, -1 is none.
    known: (K, N, H) features of the steps to come, less what they were, in their sizes; 0 is as usual.
    """

    clock: Steps
    pattern: Steps
    known: Float

    def rows(self, chosen: slice | Steps | NDArray[np.bool_]) -> Ahead:
        """Those of some windows."""
        return Ahead(self.clock, self.pattern[chosen], self.known[:, chosen])


def by_local_day(values: NDArray[Kind], ahead: Ahead | None, day: int) -> NDArray[Kind]:
    """(N, W) the values in columns of the clock at the window's end: a day before is the same local time."""
    if ahead is None or not len(ahead.clock):
        return values
    answer, source = values.copy(), sources(ahead.clock[:, : values.shape[1]], day)
    for pattern in np.unique(ahead.pattern[ahead.pattern >= 0]):
        rows = np.flatnonzero(ahead.pattern == pattern)
        answer[rows] = values[rows][:, source[pattern]]
    return answer


def by_clock(values: Float, ahead: Ahead | None, day: int, pick: Callable[[Float], Float]) -> Float:
    """(..., H, N) what `pick` takes from the columns (N, W) for the steps ahead, each by the clock of that step.

    Parameters
    ----------
    pick:
        gives (..., H, N) of (N, W) columns in which a day before is the same local time.
    """
    answer = pick(by_local_day(values, ahead, day))
    if ahead is None or not len(ahead.clock):
        return answer
    behind, coming = np.split(ahead.clock, [values.shape[1]], axis=1)
    for change in np.unique(coming[coming != 0]):
        source = sources(behind - change, day)
        for pattern in np.flatnonzero((coming == change).any(axis=1)):
            rows, steps = np.flatnonzero(ahead.pattern == pattern), np.flatnonzero(coming[pattern] == change)
            if len(rows):
                answer[..., steps[:, None], rows] = pick(values[rows][:, source[pattern]])[..., steps, :]
    return answer


def sources(offset: Steps, day: int) -> Steps:
    """(N, W) column that shows the local time which each column would show if the clock had never been changed.

    A local time that was skipped, or has not come yet, is that of the day before; one that came twice is the second.

    Parameters
    ----------
    offset:
        (N, W) steps that the clock was ahead of the wanted one.
    day:
        steps in a day; W is more than one.

    >>> sources(np.array([[-1, -1, -1, -1, 0, 0, 0]]), 3).tolist()  # put on by one: column 3 was skipped
    [[1, 2, 3, 1, 4, 5, 6]]
    """
    width = offset.shape[1]
    columns, found = np.arange(width), np.full(offset.shape, -1)
    for shift in np.unique(offset):
        at = columns - shift
        inside = (at >= 0) & (at < width)
        holds = inside & (offset[:, np.clip(at, 0, width - 1)] == shift)
        found = np.where(holds, np.maximum(found, at), found)
    found[:, :day] = np.where(found[:, :day] < 0, found[:, day : 2 * day][:, :day], found[:, :day])
    for begin in range(day, width, day):
        now = found[:, begin : begin + day]
        found[:, begin : begin + day] = np.where(now < 0, found[:, begin - day : begin - day + now.shape[1]], now)
    return found
