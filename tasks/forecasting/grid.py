"""Rows of (series, time, value) put on one regular grid; what does not fit it is named and left out alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Series, utc

Index = NDArray[np.int64]

MOST_CELLS = 300_000_000  # float32 cells of the matrix: 1.2 GB
OFF_GRID = 0.25  # a time further than this share of a step from its slot belongs to no slot
MOST_OFF_GRID = 1 / 3  # with more of its rows between the steps, a series has another step


@dataclass(frozen=True)
class Rows:
    """N readable rows.

    Attributes
    ----------
    names: series by number. number: (N,) series of each row. time_s: (N,) seconds since 1970 UTC.
    value: (N,) float64, NaN where missing. line: (N,) line in the file.
    """

    names: list[str]
    number: Index
    time_s: Index
    value: NDArray[np.float64]
    line: Index

    def take(self, rows: Index | NDArray[np.bool_]) -> Rows:
        """The same series, some of the rows."""
        return Rows(self.names, self.number[rows], self.time_s[rows], self.value[rows], self.line[rows])


@dataclass(frozen=True)
class Gridded:
    """A matrix and (S,) seconds that each series' own times lie after the column times."""

    history: Series
    phase_s: Index


def usual_step(rows: Rows) -> int | None:
    """Most frequent distance in seconds between neighbouring rows of a series; None where no series has two."""
    distances = _distances(rows.take(np.lexsort((rows.time_s, rows.number))))[1]
    if not len(distances):
        return None
    found, count = np.unique(distances, return_counts=True)
    return int(found[count.argmax()])


def _distances(ordered: Rows) -> tuple[Index, Index]:
    """Series number and distance in seconds of each pair of neighbouring rows of one series, equal times left out."""
    distance = np.diff(ordered.time_s)
    inside = (np.diff(ordered.number) == 0) & (distance > 0)
    return ordered.number[1:][inside], distance[inside]


def put_on_grid(rows: Rows, step_s: int, where: Path, refused: list[str], notes: list[str]) -> Gridded:
    """The matrix of the rows; refusals and notes are added to the lists.

    Raises
    ------
    InvalidInput: no series is left, or the matrix would not fit in memory.
    """
    backwards = (np.diff(rows.number) == 0) & (np.diff(rows.time_s) < 0)
    if backwards.any():
        notes.append(f"{len(np.unique(rows.number[1:][backwards]))} series were not in time order: sorted")
    ordered = rows.take(np.lexsort((rows.line, rows.time_s, rows.number)))
    ordered = _without_repeats(ordered, ordered.time_s, "has a value for this time already", refused)
    phase, wrong = _phases(ordered, step_s)
    other = _other_steps(ordered, step_s)
    for number in np.flatnonzero(wrong | other):
        refused.append(f"series {rows.names[number]}: its rows are not {step_s} s apart: series left out; resample it, "
                       "or forecast it from a file of its own with its own --freq")  # fmt: skip
    ordered = ordered.take(~(wrong | other)[ordered.number])
    slot = (ordered.time_s - phase[ordered.number] + step_s // 2) // step_s
    off = np.abs(ordered.time_s - phase[ordered.number] - slot * step_s) > OFF_GRID * step_s
    refused += [
        f"line {line}: the time lies between the steps of {step_s} s: row left out" for line in ordered.line[off]
    ]
    ordered, slot = ordered.take(~off), slot[~off]
    ordered = _without_repeats(ordered, slot, f"has a value in this step of {step_s} s already", refused)
    slot = (ordered.time_s - phase[ordered.number] + step_s // 2) // step_s
    return _matrix(ordered, slot, phase, step_s, where, refused)


def _without_repeats(ordered: Rows, key: Index, why: str, refused: list[str]) -> Rows:
    """The rows without those that repeat the key of the row before them in the same series: the first one stays."""
    same = np.zeros(len(key), dtype=bool)
    same[1:] = (np.diff(ordered.number) == 0) & (np.diff(key) == 0)
    for i in np.flatnonzero(same):
        refused.append(f"line {ordered.line[i]}: series {ordered.names[ordered.number[i]]} {why} "
                       f"({utc(int(ordered.time_s[i])).isoformat()}): row left out")  # fmt: skip
    return ordered.take(~same)


def _phases(ordered: Rows, step_s: int) -> tuple[Index, NDArray[np.bool_]]:
    """(S,) most frequent remainder of a series' times by the step, and whether too many of its rows lie elsewhere."""
    phase = np.zeros(len(ordered.names), dtype=np.int64)
    wrong = np.zeros(len(ordered.names), dtype=bool)
    starts = np.searchsorted(ordered.number, np.arange(len(ordered.names) + 1))
    rest = ordered.time_s % step_s
    for number, (begin, end) in enumerate(pairwise(starts)):
        if begin == end:
            continue
        found, count = np.unique(rest[begin:end], return_counts=True)
        phase[number] = found[count.argmax()]
        away = np.abs(rest[begin:end] - phase[number])
        wrong[number] = (np.minimum(away, step_s - away) > OFF_GRID * step_s).mean() > MOST_OFF_GRID
    return phase, wrong


def _other_steps(ordered: Rows, step_s: int) -> NDArray[np.bool_]:
    """(S,) whether more than half of a series' distances are twice the step or longer."""
    number, distance = _distances(ordered)
    count = np.bincount(number, minlength=len(ordered.names))
    longer = np.bincount(number[distance >= 2 * step_s - OFF_GRID * step_s], minlength=len(ordered.names))
    return np.asarray((count >= 3) & (2 * longer > count))


def _matrix(ordered: Rows, slot: Index, phase: Index, step_s: int, where: Path, refused: list[str]) -> Gridded:
    known = np.isfinite(ordered.value)
    held = np.bincount(ordered.number[known], minlength=len(ordered.names)) > 0
    for number in np.flatnonzero(~held & (np.bincount(ordered.number, minlength=len(held)) > 0)):
        refused.append(f"series {ordered.names[number]}: it has no value at all: series left out")
    if not held.any():
        raise InvalidInput(f"no series is left ({refused[-1]})", where=str(where), fix="mend the rows named")
    slot, ordered = slot[known], ordered.take(known)
    first, steps = int(slot.min()), int(slot.max() - slot.min()) + 1
    kept = np.flatnonzero(held)
    if steps * len(kept) > MOST_CELLS:
        raise InvalidInput(f"{len(kept)} series over {steps} steps of {step_s} s are more than {MOST_CELLS:,} values",
                           where=str(where), fix="split the file, or check its earliest and latest time")  # fmt: skip
    values = np.full((len(kept), steps), np.nan, dtype=np.float32)
    row = np.cumsum(held) - 1
    values[row[ordered.number], slot - first] = ordered.value
    names = tuple(ordered.names[number] for number in kept)
    return Gridded(Series(names, first * step_s, step_s, values), phase[kept])
