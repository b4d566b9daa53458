"""Hourly carbon intensity to come from its own past: ridge on logarithms, plain means, and a blend, chosen by regret.

Regret is what counts for a scheduler: what a job emits when its start is chosen by the forecast, over what perfect
knowledge would have chosen. Models with the smaller percentage error are not always those that choose better hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blocks.errors import InvalidInput
from tasks.carbon.decide.grid import HOUR_S, Floats, Intensity, Ints

WEEK_H, LAGS_H, DAY_H = 168, 48, 24
RIDGE = 0.1  # of the standardised features' own variance
LEAST_G = 1.0  # lower values count as this in logarithms
LEAST_HISTORY_H = 8 * WEEK_H
METHODS = ("ridge", "ridge and 7-day mean", "7-day mean", "same hour yesterday")
JOB_H, SLACK_H = 6, 24  # the job that methods are compared by


@dataclass(frozen=True)
class Ridge:
    """Direct forecasts of H hours: (F,) means and scales of the features, (F, H) weights, (H,) offsets."""

    mean: Floats
    scale: Floats
    weights: Floats
    offset: Floats


@dataclass(frozen=True)
class CarbonForecast:
    """(H,) g CO2e/kWh from `start_s` on; the method chosen, and the share of the perfect saving that each took.

    Shares are those of the last quarter of the history, unseen by the models there; NaN where nothing could be saved.
    """

    start_s: int
    g_per_kwh: Floats
    method: str
    captured: dict[str, float]


def decide_forecast(history: Intensity, horizon_h: int = 48) -> CarbonForecast:
    """Forecast the hours after a history, by the method that served its last quarter best.

    Raises
    ------
    InvalidInput: the history is not hourly, or shorter than eight weeks.
    """
    values = history.g_per_kwh
    if history.step_s != HOUR_S:
        raise InvalidInput(f"steps of {history.step_s // 60} min", where="carbon forecast", fix="give hourly values")
    if len(values) < LEAST_HISTORY_H:
        raise InvalidInput(f"{len(values)} hours of history are too few", where="carbon forecast",
                           fix=f"give {LEAST_HISTORY_H} hours or more")  # fmt: skip
    first_h = history.start_s // HOUR_S
    captured = choose(values, first_h, len(values) * 3 // 4)
    method = max(METHODS, key=lambda name: -1.0 if np.isnan(captured[name]) else captured[name])
    model = fit(values, first_h, horizon_h)
    told = forecasts(values, first_h, np.array([len(values)]), horizon_h, model)[method][0]
    return CarbonForecast(history.end_s, told, method, captured)


def choose(values: Floats, first_h: int, split: int) -> dict[str, float]:
    """Share of the perfect saving by method: models fitted before `split`, starts chosen from there on."""
    span = JOB_H + SLACK_H
    origins = np.arange(max(split, WEEK_H), len(values) - span + 1)
    made = forecasts(values, first_h, origins, span, fit(values[:split], first_h, span))
    actual = np.lib.stride_tricks.sliding_window_view(values, span)[origins]
    return {name: captured_share(told, actual) for name, told in made.items()}


def captured_share(told: Floats, actual: Floats, job_h: int = JOB_H) -> float:
    """Share of the perfect saving that starts chosen by a forecast take: 1 - regret. NaN where nothing can be saved.

    told, actual: (N, slack + job) g CO2e/kWh, a row a job that arrives at its first hour.

    >>> captured_share(np.array([[3.0, 1.0, 2.0]]), np.array([[4.0, 3.0, 2.0]]), 1)
    0.5
    """
    arrival, chosen, perfect = chosen_costs(told, actual, job_h)
    possible = float((arrival - perfect).sum())
    return float((arrival - chosen).sum()) / possible if possible > 0 else float("nan")


def chosen_costs(told: Floats, actual: Floats, job_h: int = JOB_H) -> tuple[Floats, Floats, Floats]:
    """(N,) cost at arrival, at the start that the forecast chooses, and at the best: sums over the job."""
    runs = [np.lib.stride_tricks.sliding_window_view(each, job_h, axis=1).sum(axis=2) for each in (told, actual)]
    rows = np.arange(len(actual))
    return runs[1][:, 0], runs[1][rows, runs[0].argmin(axis=1)], runs[1].min(axis=1)


def forecasts(values: Floats, first_h: int, origins: Ints, horizon_h: int, model: Ridge) -> dict[str, Floats]:
    """(N, H) g CO2e/kWh by method; row n knows `values` before `origins[n]` alone (at least a week)."""
    logs = np.log(np.maximum(values, LEAST_G))
    features, week = _features(logs, first_h, origins)
    ahead = np.arange(horizon_h) % DAY_H
    ridge = np.exp((features - model.mean) / model.scale @ model.weights + model.offset + week[:, ahead])
    mean = values[origins[:, None] - WEEK_H + np.arange(WEEK_H)].reshape(-1, 7, DAY_H).mean(axis=1)[:, ahead]
    yesterday = values[origins[:, None] - DAY_H + ahead]
    return {"ridge": ridge, "ridge and 7-day mean": (ridge + mean) / 2, "7-day mean": mean,
            "same hour yesterday": yesterday}  # fmt: skip


def fit(values: Floats, first_h: int, horizon_h: int) -> Ridge:
    """Ridge of log intensity less its 7-day mean of the hour, for every origin of `values` that has all its hours."""
    logs = np.log(np.maximum(values, LEAST_G))
    origins = np.arange(WEEK_H, len(values) - horizon_h + 1)
    features, week = _features(logs, first_h, origins)
    wanted = np.lib.stride_tricks.sliding_window_view(logs, horizon_h)[origins]
    wanted = wanted - week[:, np.arange(horizon_h) % DAY_H]
    mean, scale, offset = features.mean(axis=0), features.std(axis=0) + 1e-9, wanted.mean(axis=0)
    standard = (features - mean) / scale
    gram = standard.T @ standard + RIDGE * len(standard) * np.eye(standard.shape[1])
    return Ridge(mean, scale, np.linalg.solve(gram, standard.T @ (wanted - offset)), offset)


def _features(logs: Floats, first_h: int, origins: Ints) -> tuple[Floats, Floats]:
    """(N, 48 + 24 + 1 + 31) features, and the (N, 24) 7-day mean of each hour from the origin's own on."""
    past = np.lib.stride_tricks.sliding_window_view(logs, WEEK_H)[origins - WEEK_H]
    level = past.mean(axis=1, keepdims=True)
    week = past.reshape(-1, 7, DAY_H).mean(axis=1)
    hour = np.eye(DAY_H)[(first_h + origins) % DAY_H]
    weekday = np.eye(7)[(first_h + origins) // DAY_H % 7]
    return np.concatenate([past[:, -LAGS_H:] - level, week - level, level, hour, weekday], axis=1), week
