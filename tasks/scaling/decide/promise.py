"""What a change is expected to bring: violation minutes with and without it, node-hours and USD."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from blocks.series import Forecast
from tasks.scaling.decide.decisions import Promised
from tasks.scaling.decide.inputs import Bool, Float, Int, Observed, Pools, node_sizes
from tasks.scaling.decide.needs import Needs
from tasks.scaling.decide.policies import Policy


def promise(
    pools: Pools,
    observed: Observed,
    forecast: Forecast | None,
    target: Int,
    *,
    needs: Needs,
    policy: Policy,
    as_of: datetime,
) -> Promised:
    """What going to `target` (P,) promises, over `policy.promise_horizon_s` or as far as the forecast goes.

    Minutes are the sum over forecast steps of P(demand > violation_ratio * Ready nodes), the larger of the resources:
    CPU and memory peak together. They cover the resources that have a forecast; NaN where none has.
    """
    peak_nodes = np.where(np.isnan(needs.peak_nodes), -np.inf, needs.peak_nodes).max(axis=1, initial=-np.inf)
    overlap_s, start_s = _steps(forecast, policy, as_of.timestamp())
    horizon_s = np.full(target.shape, policy.promise_horizon_s)
    minutes_if = {}
    if forecast is None or overlap_s.size == 0:
        minutes_if = {"changed": np.full(target.shape, np.nan), "not": np.full(target.shape, np.nan)}
    else:
        foreseen = (needs.forecast_row >= 0).any(axis=1)
        horizon_s = np.where(foreseen, overlap_s.sum(), horizon_s)
        booted = start_s[None, :] >= pools.boot_s[:, None]
        quantiles = _quantiles(forecast, needs.forecast_row, policy, as_of.timestamp())
        for case, size in (("changed", target), ("not", observed.desired)):
            nodes = np.where(booted, size[:, None], np.minimum(observed.ready, size)[:, None])
            risk = _risk(nodes, quantiles, node_sizes(pools), forecast.levels, policy)
            minutes = (risk * overlap_s).sum(axis=1) / 60.0
            minutes_if[case] = np.where(observed.reachable, minutes, np.nan)
    node_hours = (target - observed.desired) * horizon_s / 3600.0
    free = 0 if pools.paid_nodes is None else pools.paid_nodes
    paid = (np.maximum(target, free) - np.maximum(observed.desired, free)) * horizon_s / 3600.0
    return Promised(
        horizon_s=horizon_s,
        peak_nodes=np.where(np.isneginf(peak_nodes), np.nan, peak_nodes),
        violation_minutes_if_changed=minutes_if["changed"],
        violation_minutes_if_not=minutes_if["not"],
        node_hours_delta=node_hours,
        usd_delta=paid * pools.price_usd_per_hour,
    )


def exceedance(capacity: Float, quantiles: Float, levels: tuple[float, ...]) -> Float:
    """P(demand > capacity) by the quantiles (..., Q) at ascending `levels` (Q,); capacity has the shape (...).

    Linear between quantiles. Beyond the outer ones an exponential tail whose scale is that of an exponential law
    through both outer quantiles: (v_last - v_first) / ln((1 - first) / (1 - last)); no spread, no tail.

    >>> exceedance(np.array([1.0, 2.0, 3.0]), np.array([[1.0, 3.0]] * 3), (0.5, 0.9)).round(3).tolist()
    [0.5, 0.3, 0.1]
    """
    grid = np.array(levels)
    below = (quantiles <= capacity[..., None]).sum(axis=-1)
    left = np.clip(below - 1, 0, len(grid) - 1)
    right = np.clip(below, 0, len(grid) - 1)
    v_left = np.take_along_axis(quantiles, left[..., None], axis=-1)[..., 0]
    v_right = np.take_along_axis(quantiles, right[..., None], axis=-1)[..., 0]
    gap = np.where(v_right > v_left, v_right - v_left, 1.0)
    share = np.clip((capacity - v_left) / gap, 0.0, 1.0)
    inner = 1.0 - (grid[left] + share * (grid[right] - grid[left]))
    odds = np.log((1.0 - grid[0]) / (1.0 - grid[-1])) if len(grid) > 1 else 1.0
    first, last = quantiles[..., 0], quantiles[..., -1]
    scale = np.maximum((last - first) / odds, 1e-12)
    above = (1.0 - grid[-1]) * np.exp(-np.maximum(capacity - last, 0.0) / scale)
    under = 1.0 - grid[0] * np.exp(-np.maximum(first - capacity, 0.0) / scale)
    return np.asarray(np.where(below == 0, under, np.where(below == len(grid), above, inner)))


def _near(forecast: Forecast, policy: Policy, now_s: float) -> Bool:
    times = forecast.times()
    return np.asarray((times + forecast.step_s > now_s) & (times < now_s + policy.promise_horizon_s))


def _steps(forecast: Forecast | None, policy: Policy, now_s: float) -> tuple[Float, Float]:
    """(N,) seconds of each step inside the horizon, (N,) start of each step from now, seconds."""
    if forecast is None or 0 in forecast.values.shape:
        return np.empty(0), np.empty(0)
    start_s = forecast.times()[_near(forecast, policy, now_s)] - now_s
    ends_s = np.minimum(start_s + forecast.step_s, policy.promise_horizon_s)
    return ends_s - np.maximum(start_s, 0.0), start_s.astype(np.float64)


def _quantiles(forecast: Forecast, rows: Int, policy: Policy, now_s: float) -> list[Float]:
    """R arrays (P, N, Q); NaN rows where the pool has no forecast of the resource."""
    near = forecast.values[:, _near(forecast, policy, now_s), :].astype(np.float64)
    return [
        np.where((rows[:, column] >= 0)[:, None, None], near[rows[:, column]], np.nan)
        for column in range(rows.shape[1])
    ]


def _risk(nodes: Int, quantiles: list[Float], sizes: Float, levels: tuple[float, ...], policy: Policy) -> Float:
    """(P, N) chance of a violation in each step; NaN where no resource has a forecast."""
    risk = np.full(nodes.shape, np.nan)
    for column, values in enumerate(quantiles):
        size = np.where(np.isfinite(sizes[:, column]), sizes[:, column], 1.0)
        capacity = np.asarray(nodes * size[:, None] * policy.violation_ratio, dtype=np.float64)
        known = np.asarray(np.isfinite(values).all(axis=-1))
        chance = exceedance(capacity, np.where(known[..., None], values, 0.0), levels)
        risk = np.fmax(risk, np.where(known, chance, np.nan))
    return risk
