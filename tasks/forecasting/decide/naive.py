"""The two honest baselines, with a spread taken from each series' own past errors."""

from __future__ import annotations

import numpy as np

from blocks.series import Float
from tasks.forecasting.decide.ahead import by_clock, by_local_day
from tasks.forecasting.decide.features import slots
from tasks.forecasting.decide.history import Past


def row_quantiles(values: Float, levels: tuple[float, ...]) -> Float:
    """(N, Q) empirical quantiles of each row, linear between order statistics, NaN left out; NaN for an empty row.

    >>> row_quantiles(np.array([[3, 1, np.nan, 2]], np.float32), (0.25, 0.5))
    array([[1.5, 2. ]], dtype=float32)
    """
    ordered = np.sort(values, axis=1)
    top = np.isfinite(values).sum(axis=1)[:, None] - 1
    place = np.array(levels) * np.maximum(top, 0)
    low = place.astype(np.int64)
    below = np.take_along_axis(ordered, low, axis=1)
    above = np.take_along_axis(ordered, np.minimum(low + 1, np.maximum(top, 0)), axis=1)
    return np.asarray(below + (above - below) * (place - low), dtype=np.float32)


def spread(errors: Float, levels: tuple[float, ...]) -> Float:
    """(N, Q) quantiles of errors about their own median: the median of the forecast stays the plain baseline."""
    found = row_quantiles(errors, (*levels, 0.5))
    return found[:, :-1] - found[:, -1:]


def predict_seasonal_naive(view: Past, horizon: int, levels: tuple[float, ...]) -> Float:
    """(N, H, Q): the same local time of the latest known day, plus the quantiles of its day-over-day errors of a week.

    The errors of a step k days ahead are those of one day times sqrt(k) (Hyndman and Athanasopoulos, "Forecasting:
    Principles and Practice", 3rd ed., 5.5). Where less than an hour of them is known, the values' own spread about
    their median over the last day stands in for them.
    """
    values = by_local_day(view.values, view.ahead, view.day)
    observed = by_local_day(view.observed, view.ahead, view.day)
    both = observed[:, view.day :] & observed[:, : -view.day]
    errors = np.where(both, values[:, view.day :] - values[:, : -view.day], np.float32(np.nan))
    today = np.where(view.observed[:, -view.day :], view.values[:, -view.day :], np.float32(np.nan))
    few = both.sum(axis=1) < view.hour
    band = np.where(few[:, None], spread(today, levels), spread(errors, levels))
    days = np.sqrt(1 + np.arange(horizon) // view.day).astype(np.float32)
    slot = by_clock(view.values, view.ahead, view.day, lambda columns: columns[:, slots(horizon, view.day)].T).T
    return slot[:, :, None] + days[:, None] * band[:, None, :]


def predict_last_value(view: Past, horizon: int, levels: tuple[float, ...]) -> Float:
    """(N, H, Q): the last measured value, plus the quantiles of y[t + h] - y[t] over the last two days.

    A horizon with less than an hour of such differences takes those of the longest horizon that has them, times
    sqrt(h / that horizon) as a random walk would grow. A series with a single value gets a band of no width.
    """
    seen = np.where(view.observed, view.values, np.float32(np.nan))
    rows = np.arange(len(seen))
    last = seen[rows, -1 - np.minimum(view.staleness(), seen.shape[1] - 1)]
    reach = min(2 * view.day, seen.shape[1])
    answer = np.empty((len(seen), horizon, len(levels)), np.float32)
    band, known = np.zeros((len(seen), len(levels)), np.float32), np.ones(len(seen))
    for step in range(1, horizon + 1):
        if step < reach:
            errors = seen[:, seen.shape[1] - reach + step :] - seen[:, seen.shape[1] - reach : -step]
            enough = np.isfinite(errors).sum(axis=1) >= view.hour
            known = np.where(enough, step, known)
            band = np.where(enough[:, None], spread(errors, levels), band)
        grown = np.sqrt(step / known).astype(np.float32)
        answer[:, step - 1] = last[:, None] + grown[:, None] * band
    return answer
