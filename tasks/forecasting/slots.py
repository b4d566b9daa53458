"""Rows that are not one a step: averaged over each step, by stated rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.forecasting.rows import Index, Rows, distances, runs

CLOSER = 0.75  # rows whose median distance is at most this share of a step are closer than the step
SPARSE_S = 3600  # irregular rows at most this far apart (median) are a series with holes: holes of an hour are bridged
REGULAR = 2 / 3  # of the distances of a regular series are multiples of one of them, within TOLERANCE of it
TOLERANCE = 0.05
HALF = 0.5  # of a step's rows must be there, or the step is missing


@dataclass(frozen=True)
class Averaging:
    """How the series that are not one row a step are put on the grid.

    Attributes
    ----------
    chosen: (S,) which series. needed: (S,) rows with a value that a step must have, or it is missing.
    """

    chosen: NDArray[np.bool_]
    needed: Index

    def applied(self, rows: Rows, step_s: int, notes: list[str]) -> Rows:
        """One row a series and step in place of the chosen series' rows, at the step's beginning; notes are added.

        The value is the mean of the rows from the step's beginning until the next one's; so are features.
        """
        if not self.chosen.any():
            return rows
        mine = self.chosen[rows.number]
        ours, others = rows.take(mine), rows.take(~mine)
        slot = ours.time_s // step_s
        first = np.flatnonzero(np.concatenate([[True], (np.diff(ours.number) != 0) | (np.diff(slot) != 0)]))
        known = np.isfinite(ours.value)
        held = np.add.reduceat(known.astype(np.int64), first)
        enough = held >= self.needed[ours.number[first]]
        total = np.add.reduceat(np.where(known, ours.value, 0), first)
        value = np.where(enough, total / np.maximum(held, 1), np.nan)
        means = Rows(rows.names, ours.number[first], slot[first] * step_s, value, ours.line[first],
                     _mean_features(ours.features, first))  # fmt: skip
        for number in np.flatnonzero(self.chosen):
            notes.append(self._note(rows, means, held, enough, int(number), step_s))
        together = others.joined(means)
        return together.take(np.lexsort((together.line, together.time_s, together.number)))

    def _note(self, rows: Rows, means: Rows, held: Index, enough: NDArray[np.bool_], number: int, step_s: int) -> str:
        mine = means.number == number
        thin = int((mine & ~enough & (held > 0)).sum())
        words = (f"series {rows.names[number]}: {int((rows.number == number).sum())} rows, not one each {step_s} s: "
                 f"averaged over each step to {int((mine & enough).sum())} values")  # fmt: skip
        return words + (f"; {thin} steps with fewer than {self.needed[number]} rows are missing" if thin else "")


def _mean_features(features: NDArray[np.float32], first: Index) -> NDArray[np.float32]:
    known = np.isfinite(features)
    count = np.add.reduceat(known.astype(np.int64), first, axis=0)
    total = np.add.reduceat(np.where(known, features, 0), first, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def averaging(ordered: Rows, step_s: int, misfits: NDArray[np.bool_], loose: NDArray[np.bool_] | None) -> Averaging:
    """Which series are averaged over the steps.

    Rules, by the median distance of a series' rows:

    - a series that misfits the step and whose rows are closer than it (at most 3/4 of it) is averaged;
    - with a step that was asked for, so is an irregular series (less than 2/3 of its distances are multiples of the
      most frequent one, or more than 1 row in 20 lies between the steps) whose rows are at most an hour apart;
    - a step needs half of the rows it would hold (5-minute rows and 15 min: two of three), one at least.

    Parameters
    ----------
    ordered:
        by series and time, no time twice.
    misfits:
        (S,) series whose rows are not one a step.
    loose:
        (S,) series with more than 1 row in 20 between the steps; None where the step was not asked for.
    """
    chosen, needed = np.zeros(len(ordered.names), dtype=bool), np.ones(len(ordered.names), dtype=np.int64)
    wanted = misfits if loose is None else misfits | loose
    for number, apart in _each(ordered, wanted):
        median = float(np.median(apart))
        close = median <= CLOSER * step_s
        irregular = median <= SPARSE_S and loose is not None and (loose[number] or not _regular(apart))
        chosen[number] = irregular or (close and misfits[number])
        needed[number] = np.ceil(HALF * step_s / median) if close else 1
    return Averaging(chosen, needed)


def _each(ordered: Rows, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, Index]]:
    """Number and distances of each wanted series that has two rows."""
    number, distance = distances(ordered)
    for place, (begin, end) in enumerate(runs(number, len(ordered.names))):
        if wanted[place] and end > begin:
            yield place, distance[begin:end]


def _regular(apart: Index) -> bool:
    found, count = np.unique(apart, return_counts=True)
    share = apart / found[count.argmax()]
    return bool((np.abs(share - np.maximum(np.round(share), 1)) <= TOLERANCE).mean() >= REGULAR)


def why_left_out(ordered: Rows, number: int, step_s: int) -> str:
    """Why a series that has two rows is neither on the grid nor averaged, and what to do."""
    apart = dict(_each(ordered, np.arange(len(ordered.names)) == number))[number]
    if _regular(apart):
        return (f"its rows are not {step_s} s apart but about {np.median(apart):g} s: series left out; forecast it "
                "from a file of its own with its own --freq")  # fmt: skip
    return (f"its rows are not {step_s} s apart but irregular, about {np.median(apart):g} s: series left out; "
            "forecast it with a longer --freq, which averages them")  # fmt: skip


def without_value(rows: Rows, after_s: float) -> Rows:
    """The same rows, those later than a moment without their value: their features stay."""
    return replace(rows, value=np.where(rows.time_s > after_s, np.nan, rows.value))
