"""Rows of (series, time, value) put on one regular grid; what does not fit it is named and left out alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Float, Series, utc
from tasks.forecasting.rows import Index, Rows, distances, runs
from tasks.forecasting.slots import averaging, why_left_out

MOST_CELLS = 300_000_000  # float32 cells of the matrix: 1.2 GB
OFF_GRID = 0.25  # a time further than this share of a step from its slot belongs to no slot
MOST_OFF_GRID = 1 / 3  # with more of its rows between the steps, a series has another step
LOOSE = 0.05  # with more of them, and a step that was asked for, it is averaged over the steps


@dataclass(frozen=True)
class Gridded:
    """A matrix, what was known beforehand, and the series' phases.

    Attributes
    ----------
    history: (S, T). phase_s: (S,) seconds that each series' own times lie after the column times.
    features: (K, S, T') from the same first column on, reaching as far as any row does.
    """

    history: Series
    phase_s: Index
    features: Float


def put_on_grid(
    rows: Rows, step_s: int, where: Path, refused: list[str], notes: list[str], *, asked: bool = False
) -> Gridded:
    """The matrix of the rows; refusals and notes are added to the lists.

    Parameters
    ----------
    asked:
        whether a person named the step: then irregular series are averaged over it too (`slots.averaging`).

    Raises
    ------
    InvalidInput: no series is left, or the matrix would not fit in memory.
    """
    backwards = (np.diff(rows.number) == 0) & (np.diff(rows.time_s) < 0)
    if backwards.any():
        notes.append(f"{len(np.unique(rows.number[1:][backwards]))} series were not in time order: sorted")
    ordered = rows.take(np.lexsort((rows.line, rows.time_s, rows.number)))
    ordered = _without_repeats(ordered, ordered.time_s, "has a value for this time already", refused)
    phase, off_grid = _phases(ordered, step_s)
    misfits = (off_grid > MOST_OFF_GRID) | _other_steps(ordered, step_s)
    means = averaging(ordered, step_s, misfits, off_grid > LOOSE if asked else None)
    for number in np.flatnonzero(misfits & ~means.chosen):
        refused.append(f"series {rows.names[number]}: {why_left_out(ordered, int(number), step_s)}")
    ordered = ordered.take(~(misfits & ~means.chosen)[ordered.number])
    phase[means.chosen] = 0
    ordered = means.applied(ordered, step_s, notes)
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


def _phases(ordered: Rows, step_s: int) -> tuple[Index, NDArray[np.float64]]:
    """(S,) most frequent remainder of a series' times by the step, and the share of its rows that lie elsewhere."""
    phase = np.zeros(len(ordered.names), dtype=np.int64)
    elsewhere = np.zeros(len(ordered.names))
    rest = ordered.time_s % step_s
    for number, (begin, end) in enumerate(runs(ordered.number, len(ordered.names))):
        if begin == end:
            continue
        found, count = np.unique(rest[begin:end], return_counts=True)
        phase[number] = found[count.argmax()]
        away = np.abs(rest[begin:end] - phase[number])
        elsewhere[number] = (np.minimum(away, step_s - away) > OFF_GRID * step_s).mean()
    return phase, elsewhere


def _other_steps(ordered: Rows, step_s: int) -> NDArray[np.bool_]:
    """(S,) whether more than half of a series' distances are twice the step or longer."""
    number, distance = distances(ordered)
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
    mine = held[ordered.number]
    slot, ordered, known = slot[mine], ordered.take(mine), known[mine]
    first = int(slot[known].min())
    steps, reach = int(slot[known].max()) - first + 1, int(slot.max()) - first + 1
    kept, wide = np.flatnonzero(held), ordered.features.shape[1]
    if steps * len(kept) > MOST_CELLS or reach * len(kept) * wide > MOST_CELLS:
        raise InvalidInput(f"{len(kept)} series over {max(steps, reach if wide else 0)} steps of {step_s} s are more "
                           f"than {MOST_CELLS:,} values", where=str(where),
                           fix="split the file, or check its earliest and latest time")  # fmt: skip
    values = np.full((len(kept), steps), np.nan, dtype=np.float32)
    features = np.full((wide, len(kept), reach if wide else 0), np.nan, dtype=np.float32)
    row = (np.cumsum(held) - 1)[ordered.number]
    values[row[known], slot[known] - first] = ordered.value[known]
    if wide:
        since = slot >= first
        features[:, row[since], slot[since] - first] = ordered.features[since].T
    names = tuple(ordered.names[number] for number in kept)
    return Gridded(Series(names, first * step_s, step_s, values), phase[kept], features)
