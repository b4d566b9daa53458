"""One plan for the fleet: needs, sizes, what they save and what they risk, and in which order to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Forecast
from tasks.reasons import Reason, ReasonLog
from tasks.resource_plan.decide.inputs import Float, Int, PlanPolicy, PlanPools
from tasks.resource_plan.decide.needs import Day, Needs, day_of, measure, rows_of
from tasks.resource_plan.decide.notes import Code
from tasks.resource_plan.decide.outcome import Priority, ResourcePlan, Step
from tasks.resource_plan.decide.provision import over_and_under, violation_minutes
from tasks.resource_plan.decide.schedule import fewest_changes, filled, led, ready_nodes, saved_node_hours

AT_ONCE = 1024  # pools whose arrays stay in the processor's cache


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns of `ResourcePlan` for some of the pools; `nodes_by_resource` has the pools first here."""

    nodes_by_resource: Float
    needed: Int
    sizes: Int
    unmet: Int
    over: Float
    under: Float
    saved_node_hours: Float
    saved_usd: Float
    minutes_as_is: Float
    minutes_planned: Float
    notes: tuple[tuple[Reason, ...], ...]


def decide_plan(pools: PlanPools, forecast: Forecast | None, policy: PlanPolicy, as_of: datetime) -> ResourcePlan:
    """Plan sizes for the steps of the forecast that are to come. Pure and deterministic; nothing acts on it.

    `forecast` holds the series `cluster/pool/cpu_cores` and `cluster/pool/memory_bytes`, in any order. A pool is
    planned where one of them is there; it goes below its present size only where all that its nodes have is known.
    `as_of` is now, timezone-aware.

    Raises
    ------
    InvalidInput: `as_of` has no time zone.
    """
    if as_of.tzinfo is None:
        raise InvalidInput("as_of has no time zone", where="decide_plan", fix="pass a UTC time")
    day, count = day_of(forecast, policy, as_of), len(pools.unique_id)
    rows = rows_of(pools, day)
    cuts = [slice(begin, begin + AT_ONCE) for begin in range(0, max(count, 1), AT_ONCE)]
    part = _joined([_plan_part(pools.rows(cut), rows[cut], day, policy) for cut in cuts])
    planned = np.isfinite(part.minutes_as_is)
    action = _actions(part, pools.current, planned)
    return ResourcePlan(
        as_of=as_of, start_s=day.start_s, step_s=day.step_s, quantile=day.quantile,
        unique_id=pools.unique_id, current=pools.current, ready=pools.ready, owner=pools.owner,
        action=action, priority=_priorities(part, action, policy),
        order=_order(part, action, pools.unique_id),
        **{field.name: getattr(part, field.name) for field in fields(_Part)
           if field.name != "nodes_by_resource"},
        nodes_by_resource=part.nodes_by_resource.swapaxes(0, 1),
    )  # fmt: skip


def _plan_part(pools: PlanPools, rows: Int, day: Day, policy: PlanPolicy) -> _Part:
    notes = ReasonLog(len(pools.unique_id))
    needs = measure(pools, rows, day, policy, notes)
    lead = np.ceil((pools.boot_s + policy.decision_s) / day.step_s).astype(np.int64)
    sizes = _sizes(pools, needs, lead, day, policy)
    unmet = np.maximum(needs.needed.max(axis=1, initial=0) - np.maximum(pools.max_nodes, pools.current), 0)
    unmet = np.where(needs.planned, unmet, 0)
    staying = np.broadcast_to(pools.current[:, None], sizes.shape)
    minutes = [
        violation_minutes(ready_nodes(size, pools.current, pools.ready, lead), needs, day, policy.violation_ratio)
        for size in (staying, sizes)
    ]
    saved = np.where(needs.planned, saved_node_hours(sizes, pools.current, day.step_s), np.nan)
    free = pools.paid_nodes
    paid = saved_node_hours(np.maximum(sizes, free[:, None]), np.maximum(pools.current, free), day.step_s)
    usd = np.where(needs.planned, paid, np.nan) * pools.price_usd_per_hour
    over, under = over_and_under(pools, needs)
    _tell(pools, needs, lead, unmet, notes)
    return _Part(needs.nodes.swapaxes(0, 1), needs.needed, sizes, unmet, over, under, saved,
                 usd, minutes[0], minutes[1], tuple(notes))  # fmt: skip


def _sizes(pools: PlanPools, needs: Needs, lead: Int, day: Day, policy: PlanPolicy) -> Int:
    """(P, H) planned sizes; `current` where there is no plan."""
    now = pools.current[:, None]
    if not day.steps:
        return np.empty((len(now), 0), np.int64)
    group, low, high = pools.multiple_of[:, None], pools.min_nodes[:, None], pools.max_nodes[:, None]
    fits = -(-low // group) * group <= high // group * group  # else no whole group lies within the bounds, which win
    low, high = np.where(fits, -(-low // group) * group, low), np.where(fits, high // group * group, high)
    asked = led(-(-needs.needed // group) * group, lead)
    # a pool above its maximum is not cut for that alone: it stays until demand fits into the maximum
    kept = np.logical_and.accumulate(asked > high, axis=1) & (now > high)
    asked = np.where(kept, now, np.clip(asked, low, high))
    asked = np.where(needs.blind[:, None], np.maximum(asked, now), asked)
    held = filled(asked, int(np.ceil(policy.least_hold_s / day.step_s)))
    sizes = fewest_changes(held, pools.current, policy.change_node_hours * 3600.0 / day.step_s)
    return np.where(needs.planned[:, None], sizes, now)


def _tell(pools: PlanPools, needs: Needs, lead: Int, unmet: Int, notes: ReasonLog) -> None:
    planned, peak = needs.planned, needs.needed.max(axis=1, initial=0)
    soon = np.arange(needs.needed.shape[1])[None, :] < lead[:, None]
    short = np.where(soon, needs.needed - np.minimum(pools.ready, pools.current)[:, None], 0).max(axis=1, initial=0)
    notes.add(Code.NOT_LOWERED, planned & needs.blind)
    notes.add(Code.AT_MAX, planned & (unmet > 0), max_nodes=pools.max_nodes, peak_nodes=peak, unmet_nodes=unmet)
    notes.add(Code.ABOVE_MAX, planned & (pools.current > pools.max_nodes), max_nodes=pools.max_nodes,
              current_nodes=pools.current)  # fmt: skip
    notes.add(Code.TOO_SOON, planned & (short > 0), short_nodes=short, boot_s=pools.boot_s)
    notes.add(Code.OWNED, planned & np.array([owner != "" for owner in pools.owner], np.bool_))


def _actions(part: _Part, current: Int, planned: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Step, ...]:
    least = part.sizes.min(axis=1, initial=np.iinfo(np.int64).max)
    grows, shrinks = part.sizes.max(axis=1, initial=0) > current, least < current
    names = np.select([~planned, part.unmet > 0, grows & shrinks, grows, shrinks], range(5), 5)
    steps = (Step.UNKNOWN, Step.RAISE_MAX, Step.FOLLOW, Step.GROW, Step.SHRINK, Step.KEEP)
    return tuple(steps[name] for name in names.tolist())


def _priorities(part: _Part, action: Sequence[Step], policy: PlanPolicy) -> tuple[Priority, ...]:
    risk = _risk_taken_away(part, action)
    names = np.select([risk >= policy.urgent_minutes, risk >= policy.risky_minutes], range(2), 2).tolist()
    ranks = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)
    return tuple(Priority.NONE if step in (Step.KEEP, Step.UNKNOWN) else ranks[name]
                 for step, name in zip(action, names, strict=True))  # fmt: skip


def _risk_taken_away(part: _Part, action: Sequence[Step]) -> Float:
    """(P,) expected violation minutes of the day fewer than if nothing is done; a higher maximum may take away all."""
    raised = np.array([step is Step.RAISE_MAX for step in action], np.bool_)
    left = np.where(raised, 0.0, part.minutes_planned)
    return np.maximum(np.nan_to_num(part.minutes_as_is - left, nan=0.0), 0.0)


def _order(part: _Part, action: Sequence[Step], names: Sequence[str]) -> Int:
    """Pools with something to do first; by whole minutes of violation taken away, USD, node-hours saved, name."""
    idle = np.array([step in (Step.KEEP, Step.UNKNOWN) for step in action], np.bool_)
    keys = (
        np.array(names, dtype=np.str_),
        -np.nan_to_num(part.saved_node_hours, nan=0.0),
        -np.nan_to_num(part.saved_usd, nan=-np.inf),
        -np.floor(_risk_taken_away(part, action)),
        idle,
    )
    return np.lexsort(keys).astype(np.int64)


def _joined(parts: Sequence[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(_Part)}
    notes = tuple(note for part in columns.pop("notes") for note in part)
    return _Part(**{name: np.concatenate(values) for name, values in columns.items()}, notes=notes)
