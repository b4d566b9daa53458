"""Which windows of the past the global models learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from blocks.series import Calendar, Float, Series
from tasks.forecasting.decide.almanac import Almanac, almanac
from tasks.forecasting.decide.features import BOUND, YOUNG_DAYS, Design, design, joined, window_width
from tasks.forecasting.decide.history import (
    LARGEST,
    Bool,
    Index,
    Past,
    extend_backwards,
    fill,
    first_observed,
)
from tasks.forecasting.decide.known_features import Known

WINDOWS_PER_SERIES = 1_500  # more of one series overlap so much that they add time, not knowledge
MOST_STEPS = 288  # a longer horizon is fitted on fewer windows, so that its targets fit in memory
MOST_SERIES = 400  # a larger fleet is represented by this many series, evenly spaced in the order of their names
KEPT_BACK = 0.2  # the most recent share of each series' life is left to calibration, at most KEPT_BACK_DAYS
KEPT_BACK_DAYS = 4
WARM_UP_HOURS = 3  # no origin is closer to a series' first value
YOUNG_SHARE = 0.2  # of the windows, this share has its past cut off: the models must know series of a few hours
ROWS_AT_ONCE = 256  # windows handled at once: 2 MB at 5 min, which stays in the processor's cache


@dataclass(frozen=True)
class Examples:
    """N windows to learn from.

    Attributes
    ----------
    design: their features. answers: (H, N) what came, in shares of each window's scale above its centre; NaN unknown.
    series: how many series they are of. known: the known-future features of the design.
    """

    design: Design
    answers: Float
    series: int
    known: Known

    def __len__(self) -> int:
        return int(self.answers.shape[1])


def pooled(parts: list[Examples]) -> Examples:
    """The examples of several matrices together."""
    if len(parts) == 1:
        return parts[0]
    return Examples(joined([part.design for part in parts]), np.concatenate([part.answers for part in parts], axis=1),
                    sum(part.series for part in parts), parts[0].known)  # fmt: skip


def examples(
    series: Series, last: int, horizon: int, day: int, wanted: int, calendar: Calendar | None, known: Known
) -> Examples | None:
    """About `wanted` windows of the columns up to `last`; None where there is too little past.

    Series are taken in the order of their names, so a permuted matrix gives the same windows. The newest fifth of each
    series is kept back, so that calibration meets a model that does not know it. Constant windows teach nothing and are
    left out. A share of the windows has its past cut off at an age between three hours and two days.
    """
    last = min(last, series.values.shape[1] - 1)
    order = np.argsort(np.array(series.unique_id))
    if len(order) > MOST_SERIES:
        order = order[np.linspace(0, len(order) - 1, MOST_SERIES).astype(np.int64)]
    if last < 0 or not len(order):
        return None
    block = series.values[order, : last + 1]
    observed = np.abs(block) <= LARGEST
    rows, origins = _origins(observed, horizon, day, int(wanted * min(1.0, MOST_STEPS / horizon)))
    if not len(rows):
        return None
    names = tuple(series.unique_id[row] for row in order.tolist())
    whole = almanac(calendar, replace(series, unique_id=names), known, horizon, (0, last))
    cut = _Cut(fill(block, observed, day, max(1, day // 24)), observed, rows, origins, horizon, day, whole)
    designs, answers = zip(*cut.learned(), strict=True)
    return Examples(joined(list(designs)), np.concatenate(answers, axis=1), len(np.unique(rows)), known)


def _origins(observed: Bool, horizon: int, day: int, wanted: int) -> tuple[Index, Index]:
    """(N,) rows and (N,) columns of the windows' ends, evenly spaced over each series' life."""
    steps = observed.shape[1]
    first = first_observed(observed)
    oldest = first + _warm_up(day)
    end = steps - 1 - np.where(observed.any(axis=1), observed[:, ::-1].argmax(axis=1), steps)
    kept = np.minimum((end - first) * KEPT_BACK, KEPT_BACK_DAYS * day).astype(np.int64)
    newest = end - horizon - kept
    rows = np.flatnonzero(newest >= oldest)
    if not len(rows):
        return rows, rows
    low, high = oldest[rows], newest[rows]
    each = np.minimum(np.clip(wanted // len(rows), 1, WINDOWS_PER_SERIES), high - low + 1)
    number = np.repeat(np.arange(len(rows)), each)
    place = np.arange(len(number)) - np.repeat(np.cumsum(each) - each, each)
    return rows[number], low[number] + ((place + 0.5) / each[number] * (high - low + 1)[number]).astype(np.int64)


def _warm_up(day: int) -> int:
    return max(1, day * WARM_UP_HOURS // 24)


@dataclass(frozen=True)
class _Cut:
    """N origins in a matrix (S, T) whose holes are filled; steps before a series' first value are NaN."""

    values: Float
    observed: Bool
    rows: Index
    origins: Index
    horizon: int
    day: int
    almanac: Almanac | None

    def learned(self) -> Iterator[tuple[Design, Float]]:
        """Yield the designs and answers of windows, a few hundred at once; an empty one if none is usable."""
        hour = max(1, self.day // 24)
        for begin in range(0, len(self.rows), ROWS_AT_ONCE):
            chosen = slice(begin, begin + ROWS_AT_ONCE)
            view = self._view(self.rows[chosen], self.origins[chosen], np.arange(len(self.rows))[chosen], hour)
            ahead = self.origins[chosen, None] + np.arange(1, self.horizon + 1)
            target = self.values[self.rows[chosen, None], ahead]
            known = self.observed[self.rows[chosen, None], ahead]
            fit = eligible(view)
            found = design(view.rows(fit), self.horizon)
            alive = found.scale > 0
            answers = (np.where(known, target, np.float32(np.nan))[fit] - found.centre[:, None])[alive]
            # an answer far outside the window's scale (an all but constant week that jumps) must not become a leaf
            yield found.take(alive), np.clip(answers / found.scale[alive, None], -BOUND, BOUND).T

    def _view(self, rows: Index, origins: Index, number: Index, hour: int) -> Past:
        width = window_width(self.day)
        columns = origins[:, None] + np.arange(1 - width, 1)
        inside = columns >= 0
        observed = self.observed[rows[:, None], np.maximum(columns, 0)] & inside
        first = np.maximum(first_observed(observed), self._begin(number, width))
        later = np.arange(width) >= first[:, None]
        values = np.where(inside & later, self.values[rows[:, None], np.maximum(columns, 0)], np.float32(np.nan))
        ahead = self.almanac.at(rows, origins) if self.almanac else None
        return Past(extend_backwards(values, first, self.day), observed & later, self.day, hour, ahead)

    def _begin(self, number: Index, width: int) -> Index:
        """(n,) column before which a window's past is cut off: 0 for most."""
        every = round(1 / YOUNG_SHARE)
        # ages spread evenly in their logarithm; the golden ratio never falls into step with the origins' spacing
        place = (number // every * 0.6180339887) % 1
        shortest, longest = _warm_up(self.day), YOUNG_DAYS * self.day
        age = shortest * (longest / shortest) ** place
        return np.asarray(np.where(number % every == 0, width - age.astype(np.int64), 0))


def eligible(view: Past) -> Bool:
    """(N,) whether a window is fit for the global models.

    Three hours of life, a value measured within the last hour, and measured values for half of its life or half a day
    in the week, whichever is less.
    """
    answer = np.full(len(view.values), view.values.shape[1] >= _warm_up(view.day))
    holed = np.flatnonzero(~view.observed.all(axis=1))
    if len(holed):
        measured, age = view.observed[holed].sum(axis=1), view.age()[holed]
        alive = (age >= _warm_up(view.day)) & (view.staleness()[holed] <= view.hour)
        answer[holed] = alive & (measured * 2 >= np.minimum(age, view.day))
    return answer
