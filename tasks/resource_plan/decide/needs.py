"""Nodes that each resource of each pool needs in each step of the day, and what is not known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from blocks.series import Forecast
from tasks.reasons import ReasonLog
from tasks.resource_plan.decide.inputs import FORESEEN, NODES_LIMIT, RESOURCES, Bool, Float, Int, PlanPolicy, PlanPools
from tasks.resource_plan.decide.notes import Code

ROUNDING_NODES = 1e-6  # float32 forecasts: 3.0000001 nodes are three


@dataclass(frozen=True, eq=False)
class Day:
    """The steps of the forecast that are still to come, H of them; none where it cannot be used.

    Attributes
    ----------
    values: (S, H, Q) quantiles at `levels`. rows: row of `values` by the name of a series.
    quantile: level that nodes are planned for, within `levels`; NaN without a forecast.
    why: what is wrong with the forecast. age_s: its age; NaN without one.
    """

    start_s: int
    step_s: int
    steps: int
    levels: tuple[float, ...]
    quantile: float
    values: np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
    rows: Mapping[str, int]
    why: Code | None
    age_s: float

    def planned_for(self, quantiles: Float) -> Float:
        """(...) of quantiles (..., Q): those at the planned level, linear between the levels beside it."""
        above = int(np.searchsorted(self.levels, self.quantile - 1e-9))
        below = max(above - 1, 0)
        gap = self.levels[above] - self.levels[below]
        share = (self.quantile - self.levels[below]) / gap if gap > 0 else 1.0
        return np.asarray(quantiles[..., below] * (1 - share) + quantiles[..., above] * share)


def day_of(forecast: Forecast | None, policy: PlanPolicy, as_of: datetime) -> Day:
    """The part of a forecast that is to come; a forecast that is missing, stale or over gives a day of no steps."""
    empty, none = np.empty((0, 0, 0), np.float32), float("nan")
    if forecast is None or 0 in forecast.values.shape:
        return Day(int(as_of.timestamp()), 900, 0, (), none, empty, {}, Code.FORECAST_MISSING, none)
    age_s = (as_of - forecast.as_of).total_seconds()
    coming = forecast.times() + forecast.step_s > as_of.timestamp()
    if not abs(age_s) <= policy.forecast_stale_after_s or not coming.any():
        return Day(int(as_of.timestamp()), forecast.step_s, 0, (), none, empty, {}, Code.FORECAST_STALE, age_s)
    first = int(coming.argmax())
    quantile = min(max(policy.quantile, forecast.levels[0]), forecast.levels[-1])
    rows = {name: row for row, name in enumerate(forecast.unique_id)}
    return Day(int(forecast.times()[first]), forecast.step_s, int(coming.sum()), forecast.levels, quantile,
               forecast.values[:, first:], rows, None, age_s)  # fmt: skip


def rows_of(pools: PlanPools, day: Day) -> Int:
    """(P, FORESEEN) row of each pool's series in the forecast; -1 none."""
    return np.array(
        [[day.rows.get(f"{name}/{resource}", -1) for resource in RESOURCES[:FORESEEN]] for name in pools.unique_id],
        np.int64,
    ).reshape(-1, FORESEEN)


@dataclass(frozen=True, eq=False)
class Needs:
    """What the day needs.

    Attributes
    ----------
    nodes: (R, P, H) nodes by each resource, not rounded; NaN unknown.
    quantiles: FORESEEN arrays (P, H, Q) of demand in nodes at 100 %; NaN unknown.
    needed: (P, H) whole nodes, the most of the known resources; 0 where none is known.
    planned: (P,) some resource has a forecast.
    blind: (P,) some resource that the nodes have is not known, so that the plan goes below no present size.
    """

    nodes: Float
    quantiles: tuple[Float, ...]
    needed: Int
    planned: Bool
    blind: Bool


def measure(pools: PlanPools, rows: Int, day: Day, policy: PlanPolicy, notes: ReasonLog) -> Needs:
    """Read the forecast for these pools; what cannot be believed is NaN and has its note."""
    count = len(pools.unique_id)
    nodes = np.full((len(RESOURCES), count, day.steps), np.nan)
    quantiles = tuple(_quantiles(pools, rows, day, column) for column in range(FORESEEN))
    foreseen = np.zeros((count, FORESEEN), np.bool_)
    for column, values in enumerate(quantiles):
        known = (
            np.isfinite(values).all(axis=(1, 2)) & (values >= 0).all(axis=(1, 2)) & pools.reachable & (day.steps > 0)
        )
        values[~known] = np.nan
        foreseen[:, column] = known
        if day.steps:
            nodes[column] = day.planned_for(values) / policy.target_ratio
    for column in range(FORESEEN, len(RESOURCES)):
        nodes[column] = _requested_nodes(pools, column)[:, None]
    counted = ~(pools.node_sizes == 0)
    blind = (counted[:, :FORESEEN] & ~foreseen).any(axis=1)
    blind |= ((pools.node_sizes > 0) & np.isnan(pools.requested))[:, FORESEEN:].any(axis=1)
    _tell(pools, rows, day, foreseen, notes)
    planned = np.asarray(foreseen.any(axis=1))
    most = np.nan_to_num(np.fmax.reduce(nodes, axis=0), nan=0.0) if day.steps else np.zeros((count, 0))
    needed = np.ceil(np.clip(most, 0, NODES_LIMIT) - ROUNDING_NODES).astype(np.int64)
    return Needs(nodes, quantiles, needed, planned, blind)


def _quantiles(pools: PlanPools, rows: Int, day: Day, column: int) -> Float:
    """(P, H, Q) demand in nodes at 100 %."""
    size = pools.node_sizes[:, column]
    here = (rows[:, column] >= 0) & (size > 0)
    answer = np.full((len(rows), day.steps, len(day.levels)), np.nan)
    if day.steps:
        answer[here] = day.values[rows[here, column]] / size[here, None, None]
    return answer


def _requested_nodes(pools: PlanPools, column: int) -> Float:
    """(P,) nodes that hold what pods request now; NaN unknown."""
    size, requested = pools.node_sizes[:, column], pools.requested[:, column]
    known = (size > 0) & np.isfinite(requested) & pools.reachable
    return np.asarray(np.divide(requested, size, out=np.full(len(size), np.nan), where=known))


def _tell(pools: PlanPools, rows: Int, day: Day, foreseen: Bool, notes: ReasonLog) -> None:
    here, sizes = pools.reachable, pools.node_sizes
    notes.add(Code.UNREACHABLE, ~here)
    if day.why is not None:
        notes.add(day.why, here, age_s=day.age_s)
    for column, resource in enumerate(RESOURCES):
        size_known = np.isfinite(sizes[:, column])
        notes.add(Code.CAPACITY_UNKNOWN, here & ~size_known, resource)
        if column >= FORESEEN:
            unknown = here & (sizes[:, column] > 0) & np.isnan(pools.requested[:, column])
            notes.add(Code.REQUESTS_UNKNOWN, unknown, resource)
        elif day.why is None:
            lost = here & (sizes[:, column] > 0) & ~foreseen[:, column]
            notes.add(Code.FORECAST_MISSING, lost & (rows[:, column] < 0), resource)
            notes.add(Code.FORECAST_INCOMPLETE, lost & (rows[:, column] >= 0), resource)
    notes.add(Code.PRICE_UNKNOWN, here & np.isnan(pools.price_usd_per_hour))
