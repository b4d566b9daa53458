"""Forecasts that nothing in their series' history supports, each with a code and its numbers.

| code               | when                                                                                      |
|--------------------|-------------------------------------------------------------------------------------------|
| `not-finite`       | some of its values are missing or infinite; without any value it is none, not a wrong one |
| `impossible-level` | the median is further beyond all that was measured than the measured range is wide,       |
|                    | or is below 0 where nothing measured was                                                  |
| `impossible-band`  | the lowest or highest quantile is so by more than three ranges                            |
| `runaway-trend`    | from the first to the last quarter of the horizon the mean of the median moves, and still |
|                    | does in its second half, by 1.25 times what it moved in any span of that length of the    |
|                    | history, and 5 % of the range more                                                        |

The range is the largest less the smallest measured value, at least a tenth of the largest absolute one: a constant
series has no other scale. A trend is compared with at least a day of spans, and needs a horizon of at least four steps;
with less there is no opinion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.errors import InvalidInput
from blocks.series import Float, Forecast, Series
from tasks.forecasting.decide.history import LARGEST, Bool, last_column, steps_in_a_day
from tasks.forecasting.decide.trailing import lag, trailing_mean

LEVEL_RANGES, BAND_RANGES = 1.0, 3.0
TREND_TIMES, TREND_RANGES = 1.25, 0.05
LEAST_RANGE = 0.1  # of the largest absolute value
QUARTERS = 4  # of a horizon; a trend goes from the first to the last
KNOWN_SHARE = 0.5  # of a quarter must be measured

Numbers = NDArray[np.float64]


class ForecastCode(StrEnum):
    """What is wrong with a forecast."""

    NOT_FINITE = "not-finite"
    IMPOSSIBLE_LEVEL = "impossible-level"
    IMPOSSIBLE_BAND = "impossible-band"
    RUNAWAY_TREND = "runaway-trend"


class ForecastReason(NamedTuple):
    """A code and its numbers, values in the series' own unit; steps count from 1, the first after the origin."""

    code: ForecastCode
    numbers: dict[str, float]


@dataclass(frozen=True)
class _Case:
    """A forecast of S series over H steps beside what was measured.

    Attributes
    ----------
    values: (S, H, Q) quantiles. median: (S, H) the one nearest to 0.5.
    past: (S, T) what was measured, NaN where missing.
    low, high, span: (S,) extremes of it and their range; NaN where nothing was measured.
    day, step_s: steps in a day, seconds in a step.
    """

    values: Numbers
    median: Numbers
    past: Float
    low: Numbers
    high: Numbers
    span: Numbers
    day: int
    step_s: int


def check_forecast(forecast: Forecast, history: Series) -> tuple[tuple[ForecastReason, ...], ...]:
    """What is wrong with the forecast of each series, in the order of the table above; empty where nothing is.

    Parameters
    ----------
    forecast:
        quantiles of S series over H steps.
    history:
        the same S series, same step. Only columns at or before the forecast's `as_of` are read.

    Raises
    ------
    InvalidInput: the two are not of the same series or step.
    """
    if forecast.unique_id != history.unique_id or forecast.step_s != history.step_s:
        raise InvalidInput(f"a forecast of {len(forecast.unique_id)} series at {forecast.step_s} s and a history of "
                           f"{len(history.unique_id)} at {history.step_s} s", where="forecast checks",
                           fix="pass the history that the forecast was made from")  # fmt: skip
    case = _case(forecast, history)
    found: list[list[ForecastReason]] = [[] for _ in forecast.unique_id]
    for code, check in CHECKS.items():
        wrong, numbers = check(case)
        columns = {name: np.broadcast_to(np.asarray(column), wrong.shape) for name, column in numbers.items()}
        for row in np.flatnonzero(wrong):
            found[row].append(ForecastReason(code, {name: float(column[row]) for name, column in columns.items()}))
    return tuple(tuple(reasons) for reasons in found)


def _case(forecast: Forecast, history: Series) -> _Case:
    past = history.values[:, : max(last_column(history, forecast.as_of) + 1, 0)]
    past = np.where(np.abs(past) <= LARGEST, past, np.float32(np.nan))
    low, high = _largest(-past) * -1, _largest(past)
    span = np.maximum(high - low, LEAST_RANGE * np.maximum(np.abs(low), np.abs(high)))
    values = forecast.values.astype(np.float64)
    median = values[:, :, int(np.abs(np.array(forecast.levels) - 0.5).argmin())]
    return _Case(values, median, past, low, high, span, steps_in_a_day(history.step_s), history.step_s)


def _not_finite(case: _Case) -> tuple[Bool, dict[str, ArrayLike]]:
    broken: Bool = ~np.asarray(np.isfinite(case.values).all(axis=2))
    none: Bool = np.asarray(np.isnan(case.values).all(axis=(1, 2)))
    return broken.any(axis=1) & ~none, {"steps": broken.sum(axis=1)}


def _impossible_level(case: _Case) -> tuple[Bool, dict[str, ArrayLike]]:
    least = case.low - LEVEL_RANGES * case.span
    least = np.where(case.low >= 0, np.maximum(least, 0), least)
    return _beyond(case, case.median, case.median, least, case.high + LEVEL_RANGES * case.span)


def _impossible_band(case: _Case) -> tuple[Bool, dict[str, ArrayLike]]:
    room = BAND_RANGES * case.span
    return _beyond(case, case.values[:, :, 0], case.values[:, :, -1], case.low - room, case.high + room)


def _beyond(
    case: _Case, lower: Numbers, upper: Numbers, least: Numbers, most: Numbers
) -> tuple[Bool, dict[str, ArrayLike]]:
    """Where (S, H) lower is below (S,) least or upper above most, with the worst of the values and its step."""
    below, above = least[:, None] - lower, upper - most[:, None]
    excess = np.fmax(below, above)
    excess = np.where(np.isnan(excess), -np.inf, excess)
    worst = excess.argmax(axis=1)[:, None]
    value = np.take_along_axis(np.where(below > above, lower, upper), worst, axis=1)[:, 0]
    wrong = np.take_along_axis(excess, worst, axis=1)[:, 0] > 0
    numbers = {"value": value, "step": worst[:, 0] + 1, "measured_low": case.low, "measured_high": case.high}
    return wrong, numbers


def _runaway_trend(case: _Case) -> tuple[Bool, dict[str, ArrayLike]]:
    horizon = case.median.shape[1]
    quarter = horizon // QUARTERS
    nothing = np.zeros(len(case.median), dtype=bool)
    if not quarter or case.past.shape[1] <= horizon:
        return nothing, {}
    means = trailing_mean(case.past, quarter, KNOWN_SHARE)
    moves = means - lag(means, horizon - quarter)
    largest = _largest(np.abs(moves))
    comparable = np.isfinite(moves).sum(axis=1) >= case.day
    last = case.median[:, -quarter:].mean(axis=1)
    change = last - case.median[:, :quarter].mean(axis=1)
    middle = case.median[:, (horizon - quarter) // 2 : (horizon + quarter) // 2].mean(axis=1)
    with np.errstate(invalid="ignore"):
        goes_on = (last - middle) * np.sign(change) > 0
        far = np.abs(change) > TREND_TIMES * largest + TREND_RANGES * case.span
    return goes_on & far & comparable, {
        "change": change, "largest_measured_change": largest, "span_s": horizon * case.step_s,
    }  # fmt: skip


def _largest(values: Float) -> Numbers:
    """(S,) largest value of each row, NaN where there is none."""
    known = ~np.isnan(values)
    found = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf).astype(np.float64)
    return np.where(known.any(axis=1), found, np.nan)


# In the order in which their reasons are given.
CHECKS: dict[ForecastCode, Callable[[_Case], tuple[Bool, dict[str, ArrayLike]]]] = {
    ForecastCode.NOT_FINITE: _not_finite,
    ForecastCode.IMPOSSIBLE_LEVEL: _impossible_level,
    ForecastCode.IMPOSSIBLE_BAND: _impossible_band,
    ForecastCode.RUNAWAY_TREND: _runaway_trend,
}
