"""Demand in node units: what is in use now, and the forecast's peak until new nodes could be Ready."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from blocks.series import Forecast
from tasks.scaling.decide.inputs import NODES_LIMIT, RESOURCES, Bool, Float, Int, Observed, Pools, node_sizes, usage
from tasks.scaling.decide.policies import Policy
from tasks.scaling.decide.reasons import ReasonCode, ReasonLog

_SAME_TIME_S = 1.0  # boot times and steps are whole seconds; less than this is rounding
_ROUNDING_NODES = 1e-6  # float32 forecasts: 3.0000001 nodes are three


@dataclass(frozen=True, eq=False)
class Needs:
    """Demand of P pools by R resources, in nodes at 100 % utilisation.

    Attributes
    ----------
    counted: (P, R) whether a node's size of the resource is known.
    used: (P, R) in the resource's unit; NaN where missing, stale or not counted.
    used_nodes: (P, R) `used` over one node's size.
    unseen: (P, R) counted, but its usage is not known.
    peak: (P, R) highest forecast at the policy's quantile until new nodes could be Ready; NaN none.
    peak_nodes: (P, R) `peak` over one node's size.
    peak_at_s: (P, R) time of that peak, seconds since 1970 UTC; NaN none.
    unforeseen: (P, R) counted, but the forecast does not cover all of that time.
    quantile: level at which the peak was read; NaN without a forecast.
    forecast_age_s: NaN without a forecast.
    forecast_row: (P, R) row in the forecast, -1 none or not to be used.
    """

    counted: Bool
    used: Float
    used_nodes: Float
    unseen: Bool
    peak: Float
    peak_nodes: Float
    peak_at_s: Float
    unforeseen: Bool
    quantile: float
    forecast_age_s: float
    forecast_row: Int


def whole_nodes(nodes: Float) -> Int:
    """Nodes rounded up, NaN as 0.

    >>> whole_nodes(np.array([2.0, 2.0000001, 2.1, np.nan])).tolist()
    [2, 2, 3, 0]
    """
    return np.ceil(np.clip(np.nan_to_num(nodes, nan=0.0), 0, NODES_LIMIT) - _ROUNDING_NODES).astype(np.int64)


def measure(
    pools: Pools, observed: Observed, forecast: Forecast | None, policy: Policy, *, as_of: datetime, log: ReasonLog
) -> Needs:
    """Read usage and forecast; what cannot be believed is NaN and has its reason in the log."""
    sizes = node_sizes(pools)
    counted = np.isfinite(sizes)
    used = believed_usage(pools, observed, policy, log)
    rows, age_s = _forecast_rows(pools, counted, forecast, policy, as_of=as_of, log=log)
    peak, at_s, whole, quantile = _peaks(pools, forecast, rows, policy, as_of.timestamp())
    unforeseen = counted & ~whole
    incomplete = unforeseen & (rows >= 0)
    horizon_s = _horizon_s(pools, policy)
    for column, resource in enumerate(RESOURCES):
        log.add(ReasonCode.FORECAST_INCOMPLETE, incomplete[:, column], resource, horizon_s=horizon_s)
    return Needs(
        counted=counted,
        used=used,
        used_nodes=used / sizes,
        unseen=counted & np.isnan(used),
        peak=peak,
        peak_nodes=peak / sizes,
        peak_at_s=at_s,
        unforeseen=unforeseen,
        quantile=quantile,
        forecast_age_s=age_s,
        forecast_row=rows,
    )


def believed_usage(pools: Pools, observed: Observed, policy: Policy, log: ReasonLog) -> Float:
    """(P, R) usage that a decision may rest on; NaN where it is missing, negative, infinite, stale or a doubtful zero.

    A sample from the future is as doubtful as an old one: some clock is wrong.
    """
    seen, counted = usage(observed), np.isfinite(node_sizes(pools))
    stale = np.isfinite(observed.age_s) & (np.abs(observed.age_s) > policy.stale_after_s)
    bad = ~(np.isfinite(seen) & (seen >= 0)) | ~np.isfinite(observed.age_s)[:, None]
    zero = ~bad & (seen == 0) & (observed.ready > 0)[:, None] & policy.zero_is_missing
    log.add(
        ReasonCode.STALE_DATA,
        stale & counted.any(axis=1),
        age_s=np.asarray(observed.age_s, np.float64),
        limit_s=policy.stale_after_s,
    )
    for column, resource in enumerate(RESOURCES):
        known = counted[:, column] & ~stale
        log.add(ReasonCode.MISSING_DATA, known & bad[:, column], resource)
        log.add(ReasonCode.ZERO_USAGE, known & zero[:, column], resource, ready_nodes=observed.ready)
    return np.where(counted & ~bad & ~zero & ~stale[:, None], seen, np.nan)


def _horizon_s(pools: Pools, policy: Policy) -> Float:
    return np.maximum(pools.boot_s + policy.decision_s, policy.min_horizon_s)


def _forecast_rows(
    pools: Pools, counted: Bool, forecast: Forecast | None, policy: Policy, *, as_of: datetime, log: ReasonLog
) -> tuple[Int, float]:
    rows = np.full(counted.shape, -1, dtype=np.int64)
    pooled = np.asarray(counted.any(axis=1))
    if forecast is None:
        log.add(ReasonCode.FORECAST_MISSING, pooled)
        return rows, float("nan")
    age_s = (as_of - forecast.as_of).total_seconds()
    if not abs(age_s) <= policy.forecast_stale_after_s:
        log.add(ReasonCode.FORECAST_STALE, pooled, age_s=age_s, limit_s=policy.forecast_stale_after_s)
        return rows, age_s
    row_of = {name: row for row, name in enumerate(forecast.unique_id)}
    for column, resource in enumerate(RESOURCES):
        rows[:, column] = [row_of.get(f"{name}/{resource}", -1) for name in pools.unique_id]
        log.add(ReasonCode.FORECAST_MISSING, counted[:, column] & (rows[:, column] < 0), resource)
    return np.where(counted, rows, -1), age_s


def _peaks(
    pools: Pools, forecast: Forecast | None, rows: Int, policy: Policy, now_s: float
) -> tuple[Float, Float, Bool, float]:
    """(P, R) peak, (P, R) its time, (P, R) whether every step until the horizon is there, the level it was read at.

    The peak is the maximum's own quantile, which is higher than the highest quantile of a step. A forecast whose first
    steps are over would count those too, so there the highest quantile of the steps to come is taken.
    """
    peak = np.full(rows.shape, np.nan)
    at_s, whole = peak.copy(), np.zeros(rows.shape, dtype=np.bool_)
    if forecast is None or 0 in forecast.values.shape or not rows.size:
        return peak, at_s, whole, float("nan")
    level = min(int(np.searchsorted(forecast.levels, policy.quantile - 1e-9)), len(forecast.levels) - 1)
    until_s = now_s + _horizon_s(pools, policy)
    times = forecast.times()
    near = np.flatnonzero((times + forecast.step_s > now_s) & (times <= until_s.max()))
    # the first step may begin one step after now: what happens until then is seen by the usage
    in_time = (times[0] <= now_s + forecast.step_s) & (times[-1] + forecast.step_s + _SAME_TIME_S >= until_s)
    if near.size == 0:
        return peak, at_s, whole, forecast.levels[level]
    inside = times[near][None, :] <= until_s[:, None]
    for column in range(rows.shape[1]):
        values = forecast.values[:, near, level][rows[:, column]].astype(np.float64)
        good = np.isfinite(values) & (values >= 0) & (rows[:, column] >= 0)[:, None]
        ranked = np.where(good & inside, values, -1.0)
        best = ranked.argmax(axis=1)
        top = np.take_along_axis(ranked, best[:, None], axis=1)[:, 0]
        if near[0] == 0:
            reach = np.maximum(inside.sum(axis=1) - 1, 0)
            own = forecast.peaks[rows[:, column], reach, level].astype(np.float64)
            top = np.where((top >= 0) & np.isfinite(own), np.maximum(own, top), top)
        peak[:, column] = np.where(top >= 0, top, np.nan)
        at_s[:, column] = np.where(top >= 0, times[near][best], np.nan)
        whole[:, column] = (good | ~inside).all(axis=1) & in_time & (rows[:, column] >= 0)
    return peak, at_s, whole, forecast.levels[level]
