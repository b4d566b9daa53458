"""Demand in node units: what is in use now, and the forecast's peak until new nodes could be Ready."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np

from blocks.series import Forecast
from tasks.reasons import ReasonLog
from tasks.scaling.decide.inputs import (
    MEASURED,
    NODES_LIMIT,
    RESOURCES,
    Bool,
    Float,
    Int,
    Observed,
    Pools,
    node_sizes,
    usage,
)
from tasks.scaling.decide.policies import Number, Policy
from tasks.scaling.decide.reasons import ReasonCode

TOLD_OUTRUN = 0.05  # share of present use; less than this is noise, and moves little
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
    requested, requested_nodes: (P, R) what pods request, and over one node's size; NaN where nobody looked.
    unseen: (P, R) counted, but its usage or what is requested is not known.
    peak: (P, R) highest forecast at the policy's quantile until new nodes could be Ready, raised where demand has
        outrun the forecast; NaN none.
    peak_nodes: (P, R) `peak` over one node's size.
    peak_at_s: (P, R) time of that peak, seconds since 1970 UTC; NaN none.
    unforeseen: (P, R) counted, but the forecast does not cover all of that time.
    quantile: level at which the peak was read, one for all or (P,); NaN without a forecast.
    forecast_age_s: NaN without a forecast.
    forecast_row: (P, R) row in the forecast, -1 none or not to be used.
    """

    counted: Bool
    used: Float
    used_nodes: Float
    requested: Float
    requested_nodes: Float
    unseen: Bool
    peak: Float
    peak_nodes: Float
    peak_at_s: Float
    unforeseen: Bool
    quantile: Number
    forecast_age_s: float
    forecast_row: Int


def each_resource(number: Number) -> Float:
    """(1,) or (P, 1), to be spread over (P, R)."""
    return np.asarray(number, np.float64)[..., None]


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
    requested = _believed_requests(observed, counted, log)
    rows, age_s = _forecast_rows(pools, counted, forecast, policy, as_of=as_of, log=log)
    peak, at_s, whole, quantile = _peaks(pools, forecast, rows, policy, as_of.timestamp())
    outrun = _outrun(forecast, rows, used, as_of.timestamp())
    for column, resource in enumerate(RESOURCES[:MEASURED]):
        above = outrun[:, column]
        raised = (above > TOLD_OUTRUN * np.nan_to_num(used[:, column])) & (np.asarray(policy.outrun_gain) > 0)
        log.add(ReasonCode.FORECAST_OUTRUN, raised, resource, **{f"outrun_{resource}": above})
    peak = peak + each_resource(policy.outrun_gain) * np.nan_to_num(outrun, nan=0.0)
    unforeseen = counted & ~whole
    unforeseen[:, MEASURED:] = False
    incomplete = unforeseen & (rows >= 0)
    horizon_s = _horizon_s(pools, policy)
    for column, resource in enumerate(RESOURCES[:MEASURED]):
        log.add(ReasonCode.FORECAST_INCOMPLETE, incomplete[:, column], resource, horizon_s=horizon_s)
    measured = np.arange(len(RESOURCES)) < MEASURED
    asked = observed.requested is not None
    return Needs(
        counted=counted,
        used=used,
        used_nodes=used / sizes,
        requested=requested,
        requested_nodes=requested / sizes,
        unseen=counted & ((np.isnan(used) & measured) | (np.isnan(requested) & asked)),
        peak=peak,
        peak_nodes=peak / sizes,
        peak_at_s=at_s,
        unforeseen=unforeseen,
        quantile=quantile,
        forecast_age_s=age_s,
        forecast_row=rows,
    )


def _believed_requests(observed: Observed, counted: Bool, log: ReasonLog) -> Float:
    """(P, R) what pods request; NaN where it is not known, not counted or nobody looked."""
    if observed.requested is None:
        return np.full(counted.shape, np.nan)
    good = np.isfinite(observed.requested) & (observed.requested >= 0)
    log.add(ReasonCode.REQUESTS_UNKNOWN, np.asarray((counted & ~good).any(axis=1)))
    return np.where(counted & good, observed.requested, np.nan)


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
    for column, resource in enumerate(RESOURCES[:MEASURED]):
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
    rows = _matching_rows(pools.unique_id, forecast.unique_id)
    for column, resource in enumerate(RESOURCES[:MEASURED]):
        log.add(ReasonCode.FORECAST_MISSING, counted[:, column] & (rows[:, column] < 0), resource)
    return np.where(counted, rows, -1), age_s


@lru_cache(maxsize=8)
def _matching_rows(pools: tuple[str, ...], series: tuple[str, ...]) -> Int:
    """(P, R) row of each pool's resource among the series, -1 none; a replay asks for the same again and again."""
    row_of = {name: row for row, name in enumerate(series)}
    found = [[row_of.get(f"{name}/{resource}", -1) for resource in RESOURCES] for name in pools]
    return np.array(found, np.int64).reshape(len(pools), len(RESOURCES))


def _peaks(
    pools: Pools, forecast: Forecast | None, rows: Int, policy: Policy, now_s: float
) -> tuple[Float, Float, Bool, Number]:
    """(P, R) peak, (P, R) its time, (P, R) whether every step until the horizon is there, the level it was read at.

    The peak is the maximum's own quantile, which is higher than the highest quantile of a step. A forecast whose first
    steps are over would count those too, so there the highest quantile of the steps to come is taken.
    """
    peak = np.full(rows.shape, np.nan)
    at_s, whole = peak.copy(), np.zeros(rows.shape, dtype=np.bool_)
    if forecast is None or 0 in forecast.values.shape or not rows.size:
        return peak, at_s, whole, float("nan")
    quantile, below, above, share = _between_levels(np.array(forecast.levels), np.asarray(policy.quantile), len(rows))
    until_s = now_s + _horizon_s(pools, policy)
    times = forecast.times()
    near = np.flatnonzero((times + forecast.step_s > now_s) & (times <= until_s.max()))
    # the first step may begin one step after now: what happens until then is seen by the usage
    in_time = (times[0] <= now_s + forecast.step_s) & (times[-1] + forecast.step_s + _SAME_TIME_S >= until_s)
    if near.size == 0:
        return peak, at_s, whole, quantile
    inside = times[near][None, :] <= until_s[:, None]
    reach = np.maximum(inside.sum(axis=1) - 1, 0)
    for column in range(MEASURED):
        row = rows[:, column]
        block = forecast.values[row[:, None], near[None, :]].astype(np.float64)
        values = _at_level(block, below[:, None], above[:, None], share[:, None])
        good = np.isfinite(values) & (values >= 0) & (row >= 0)[:, None]
        ranked = np.where(good & inside, values, -1.0)
        best = ranked.argmax(axis=1)
        top = np.take_along_axis(ranked, best[:, None], axis=1)[:, 0]
        if near[0] == 0:
            own = _at_level(forecast.peaks[row, reach].astype(np.float64), below, above, share)
            top = np.where((top >= 0) & np.isfinite(own), np.maximum(own, top), top)
        peak[:, column] = np.where(top >= 0, top, np.nan)
        at_s[:, column] = np.where(top >= 0, times[near][best], np.nan)
        whole[:, column] = (good | ~inside).all(axis=1) & in_time & (row >= 0)
    return peak, at_s, whole, quantile


def _outrun(forecast: Forecast | None, rows: Int, used: Float, now_s: float) -> Float:
    """(P, R) how far present use is above the forecast's median for the step that is going on; 0 where it is not.

    A demand that is ahead of its forecast stays ahead for a while, so the forecast's peak is moved up; a demand behind
    it moves nothing: the next forecast will know.
    """
    above = np.zeros(rows.shape)
    if forecast is None or 0 in forecast.values.shape or not rows.size:
        return above
    step = int(np.floor((now_s - forecast.start_s) / forecast.step_s)) if now_s > forecast.start_s else 0
    if step >= forecast.values.shape[1]:
        return above
    _, low, high, share = _between_levels(np.array(forecast.levels), np.array(0.5), len(rows))
    for column in range(MEASURED):
        expected = _at_level(forecast.values[rows[:, column], step].astype(np.float64), low, high, share)
        known = (rows[:, column] >= 0) & np.isfinite(expected) & np.isfinite(used[:, column])
        above[:, column] = np.where(known, np.maximum(used[:, column] - expected, 0.0), 0.0)
    return above


def _between_levels(levels: Float, quantile: Float, count: int) -> tuple[Float, Int, Int, Float]:
    """(P,) the level that is read, the levels below and above it, and the share of the upper one.

    A level beyond the outer ones is read at the outer one.
    """
    inside = np.broadcast_to(np.clip(quantile, levels[0], levels[-1]), (count,))
    above = np.searchsorted(levels, inside - 1e-9)
    below = np.maximum(above - 1, 0)
    gap = levels[above] - levels[below]
    return inside, below, above, np.where(gap > 0, (inside - levels[below]) / np.where(gap > 0, gap, 1), 1.0)


def _at_level(values: Float, below: Int, above: Int, share: Float) -> Float:
    """Values (..., Q) between two of their levels, linear in the probability."""
    low, high = (np.take_along_axis(values, np.broadcast_to(level, values.shape[:-1])[..., None], axis=-1)[..., 0]
                 for level in (below, above))  # fmt: skip
    with np.errstate(invalid="ignore"):  # an infinite quantile is found out later
        return np.where(share == 1, high, low + share * (high - low))
