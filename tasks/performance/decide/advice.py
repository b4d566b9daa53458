"""What to do about a bottleneck, and what it would have brought in the week behind; what could be smaller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tasks.performance.decide.bottlenecks import (
    BUSY_RATIO,
    FULL_RATIO,
    LEAST_S,
    WAIT_CHANCE,
    Bottleneck,
    Rule,
    hourly_load,
)
from tasks.performance.decide.week import CPU, RESOURCES, Floats, Week
from tasks.placement.decide.queueing import erlang_c


class Step(StrEnum):
    """What a person may do."""

    RAISE_MAXIMUM = "raise-maximum"
    RAISE_FLOOR = "raise-floor"
    LOWER_FLOOR = "lower-floor"


@dataclass(frozen=True)
class Advice:
    """`nodes`: the new bound. Effects as they would have been, a day: bad minutes by the rule, node-hours, USD.

    `usd` is None where the pool has no price.
    """

    pool: str
    step: Step
    from_nodes: int
    nodes: int
    minutes_before: float
    minutes_after: float
    node_hours: float
    usd: float | None


def advise(week: Week, found: list[Bottleneck]) -> list[Advice]:
    """For each bottleneck the fewest nodes with which no day would have been a bad one; and floors that nothing of the
    week needed. What saves the most minutes first, then what saves the most USD.

    A floor is lowered only where every day is known whole, Ready nodes were counted, and what pods request fits too.
    """
    needed = _needed(week)
    rows = {name: row for row, name in enumerate(week.unique_id)}
    first = {each.pool: each for each in reversed(found)}
    told = [_raise(week, needed, rows[pool], each) for pool, each in first.items()]
    told += [_lower(week, needed, row) for row in _too_high(week, needed) if week.unique_id[row] not in first]
    kept = [each for each in told if each is not None]
    return sorted(kept, key=lambda each: (each.minutes_after - each.minutes_before, each.usd or 0.0, each.pool))


def _needed(week: Week) -> Floats:
    """(P, D, T) nodes that would not have been saturated by either resource; NaN where one is not known."""
    sizes = week.node_sizes[:, :, None, None]
    return np.asarray(np.ceil(week.demand.astype(np.float64) / (FULL_RATIO * sizes)).max(axis=1))


def _raise(week: Week, needed: Floats, row: int, found: Bottleneck) -> Advice | None:
    if found.rule is Rule.QUEUEING:
        enough = _without_queues(week, row)
    else:  # fewer than `steps` of a day may need more
        steps = max(1, int(LEAST_S // week.step_s))
        days = np.sort(np.where(np.isfinite(needed[row]), needed[row], 0), axis=1)[:, ::-1]
        enough = int(days[:, min(steps, days.shape[1]) - 1].max())
    top = int(week.max_nodes[row])
    step = Step.RAISE_MAXIMUM if enough > top else Step.RAISE_FLOOR
    before = top if step is Step.RAISE_MAXIMUM else int(week.min_nodes[row])
    if enough <= before:
        return None
    advice = _effect(week, needed, row, step, before, enough)
    return replace(advice, minutes_before=found.minutes, minutes_after=0.0) if found.rule is Rule.QUEUEING else advice


def _without_queues(week: Week, row: int) -> int:
    """The fewest nodes with which even in the fullest hour little work would have to wait."""
    load = float(np.nanmax(hourly_load(week)[row]))
    cores = float(week.node_sizes[row, CPU])
    nodes = max(1, int(load // cores))
    while float(erlang_c(int(nodes * cores), load)) > WAIT_CHANCE:
        nodes += 1
    return nodes


def _too_high(week: Week, needed: Floats) -> NDArray[np.int64]:
    """Rows whose floor is above all that the week, at 80 %, and the pods' requests asked for."""
    whole = np.isfinite(needed).all(axis=(1, 2)) & np.isfinite(week.nodes).all(axis=(1, 2))
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(whole & (_least(week, needed) < week.min_nodes))


def _least(week: Week, needed: Floats) -> Floats:
    calm = np.ceil(needed.max(axis=(1, 2)) * FULL_RATIO / BUSY_RATIO)
    return np.asarray(np.maximum(1, np.maximum(calm, np.ceil(week.requested_nodes))))


def _lower(week: Week, needed: Floats, row: int) -> Advice:
    return _effect(week, needed, row, Step.LOWER_FLOOR, int(week.min_nodes[row]), int(_least(week, needed)[row]))


def _effect(week: Week, needed: Floats, row: int, step: Step, before: int, bound: int) -> Advice:
    """Play the week again: nodes as they were, but not below the new floor, or up to the new maximum where needed."""
    nodes, need = week.counted()[row].astype(np.float64), needed[row]
    known = np.isfinite(nodes) & np.isfinite(need)
    if step is Step.RAISE_FLOOR:
        then = np.maximum(nodes, bound)
    elif step is Step.RAISE_MAXIMUM:
        then = np.maximum(nodes, np.minimum(need, bound))
    else:
        then = np.where(nodes <= before, np.maximum(bound, need), nodes)
    days = max(1.0, known.sum() * week.step_s / 86_400)
    minutes, after = (float((need > each)[known].sum() * week.step_s / 60 / days) for each in (nodes, then))
    hours = float((then - nodes)[known].sum() * week.step_s / 3600 / days)
    price = week.price_usd_per_hour[row]
    free = week.paid_nodes[row]
    paid = (np.maximum(then, free) - np.maximum(nodes, free))[known].sum() * week.step_s / 3600 / days
    usd = float(paid * price) if np.isfinite(price) else None
    return Advice(week.unique_id[row], step, before, bound, minutes, after, hours, usd)


@dataclass(frozen=True)
class Breach:
    """A pool that will not fit into its maximum: `by` the forecast of the next day, or the trend of the days behind.

    `confidence`: the forecast's chance that it comes to that, or the trend's that it is one.
    """

    pool: str
    resource: str
    by: str
    in_days: float
    demand: float
    capacity: float
    confidence: float


WITHIN_DAYS = 30.0


def breaches(week: Week, level: Floats, slope_per_day: Floats, sure: Floats, least_sure: float) -> list[Breach]:
    """What will pass 90 % of the pool's maximum, soonest first; one a pool and resource.

    Parameters
    ----------
    level, slope_per_day, sure: (P, R) trend of the days' highest demand, in the resource's unit.
    """
    ceiling = FULL_RATIO * week.max_nodes[:, None] * week.node_sizes
    with np.errstate(invalid="ignore", divide="ignore"):
        days = np.maximum(0.0, (ceiling - level) / slope_per_day)
        soon = (slope_per_day > 0) & (days <= WITHIN_DAYS) & (sure > least_sure)
    found = []
    for row, pool in enumerate(week.unique_id):
        for column, resource in enumerate(RESOURCES):
            limit = float(ceiling[row, column])
            if np.isfinite(week.breach_at_s[row, column]):
                ahead = (float(week.breach_at_s[row, column]) - week.as_of.timestamp()) / 86_400
                found.append(Breach(pool, resource, "forecast", max(0.0, ahead), float(week.breach_peak[row, column]),
                                    limit, float(week.breach_chance[row, column])))  # fmt: skip
            elif soon[row, column]:
                found.append(Breach(pool, resource, "trend", float(days[row, column]), float(level[row, column]), limit,
                                    float(sure[row, column])))  # fmt: skip
    return sorted(found, key=lambda each: (each.in_days, each.pool, each.resource))
