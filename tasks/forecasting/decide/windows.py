"""Which windows of the past the linear engine learns from, and which recent ones it keeps back to check itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from blocks.series import Float, Series
from tasks.forecasting.decide.features import window_width
from tasks.forecasting.decide.history import Bool, Index, Past, past

TRAINING_WINDOWS = 12_000  # twice as many change MASE and WQL by less than 1 %
CALIBRATION_WINDOWS = 3_000
WINDOWS_PER_SERIES = 1_500  # more of one series overlap so much that they add time, not knowledge
MOST_STEPS = 288  # a longer horizon is fitted on fewer windows, so that its targets fit in memory
MOST_SERIES = 400  # a larger fleet is represented by this many series, evenly spaced in the order of their names
CALIBRATION_SHARE = 0.2  # the most recent share of each series' origins is kept back
WARM_UP_DAYS = 2  # no origin is closer to a series' first value
ROWS_AT_ONCE = 256  # windows handled at once: 2 MB at 5 min, which stays in the processor's cache


@dataclass(frozen=True)
class Windows:
    """N origins in a filled matrix.

    Attributes
    ----------
    whole: (S, T) the matrix. rows, origins: (N,) row and column of each origin. horizon: H steps after it.
    """

    whole: Past
    rows: Index
    origins: Index
    horizon: int

    def series(self) -> int:
        """Number of different series among the origins."""
        return len(np.unique(self.rows))

    def cut(self) -> Iterator[tuple[Past, Float]]:
        """Yield windows (n, W) up to their origins with their targets (n, H), NaN where none was measured."""
        back = np.arange(1 - window_width(self.whole.day), 1)
        ahead = np.arange(1, self.horizon + 1)
        for begin in range(0, len(self.rows), ROWS_AT_ONCE):
            rows = self.rows[begin : begin + ROWS_AT_ONCE, None]
            origins = self.origins[begin : begin + ROWS_AT_ONCE, None]
            columns = origins + back
            inside = columns >= 0
            # Before the matrix begins, its first days are repeated backwards, as `fill` does with a young series.
            days = -(np.minimum(columns, 0) // self.whole.day)
            values = self.whole.values[rows, columns + days * self.whole.day]
            observed = self.whole.observed[rows, np.maximum(columns, 0)] & inside
            target = self.whole.values[rows, origins + ahead]
            measured = self.whole.observed[rows, origins + ahead]
            yield (Past(values, observed, self.whole.day, self.whole.hour),
                   np.where(measured, target, np.float32(np.nan)))  # fmt: skip


def sample(series: Series, last: int, horizon: int, day: int) -> tuple[Windows, Windows] | None:
    """Training windows and, from the most recent origins, calibration windows; None where there is too little past.

    No target of a training window lies after a calibration origin, and no column after `last` is read. Series are
    taken in the order of their names, so a permuted matrix gives the same windows.
    """
    last = min(last, series.values.shape[1] - 1)
    if last < WARM_UP_DAYS * day + horizon:
        return None
    order = np.argsort(np.array(series.unique_id))
    if len(order) > MOST_SERIES:
        order = order[np.linspace(0, len(order) - 1, MOST_SERIES).astype(np.int64)]
    whole = past(series.values[order, : last + 1], day)
    oldest = whole.first() + WARM_UP_DAYS * day - 1
    newest = last - whole.staleness() - horizon
    kept = np.maximum(((newest - oldest + 1) * CALIBRATION_SHARE).astype(np.int64), 1)
    border = newest - kept  # the newest origin that is not kept back
    rows = np.flatnonzero(border - horizon >= oldest)
    if not len(rows):
        return None
    share = min(1.0, MOST_STEPS / horizon)
    training = _spread(rows, oldest[rows], border[rows] - horizon, int(TRAINING_WINDOWS * share))
    calibration = _spread(rows, border[rows] + 1, newest[rows], int(CALIBRATION_WINDOWS * share))
    return Windows(whole, *training, horizon), Windows(whole, *calibration, horizon)


def _spread(rows: Index, low: Index, high: Index, wanted: int) -> tuple[Index, Index]:
    """(N,) rows and (N,) evenly spaced origins between low and high of each row, both included."""
    each = np.minimum(np.clip(wanted // len(rows), 1, WINDOWS_PER_SERIES), high - low + 1)
    number = np.repeat(np.arange(len(rows)), each)
    place = np.arange(len(number)) - np.repeat(np.cumsum(each) - each, each)
    origins = low[number] + ((place + 0.5) / each[number] * (high - low + 1)[number]).astype(np.int64)
    return rows[number], origins


def eligible(view: Past) -> Bool:
    """(N,) whether a window is fit for the linear engine.

    Two days of life, a value measured within the last hour, and half a day of measured values in the week.
    """
    enough = view.observed.sum(axis=1) * 2 >= view.day
    return np.asarray((view.age() >= WARM_UP_DAYS * view.day) & (view.staleness() <= view.hour) & enough)
