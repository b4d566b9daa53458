"""Which workloads move, and where to: smoothed costs, what comes, what a move costs, and a cap; a row a workload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.migration.decide.failback import Homes
from tasks.migration.decide.policies import Policy

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Why a workload stays or goes; the first that holds.
GOES, FAILING, HOME, NOWHERE, BEST, LITTLE, DEAR, COOLING, CAPPED, FULL, UNKNOWN = (
    "pays", "source-failing", "failback", "no-candidate", "best-already", "gain-too-small", "move-costs-too-much",
    "cooling-down", "capped", "target-full", "not-measured",
)  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """(W, S) of a slot at each site, in slots of the workload's usual cost; NaN where not known, inf where not allowed.

    Attributes
    ----------
    total: what is weighed. latency, money: its parts, unweighted, for the seed's thresholds. errors: ratio, 0-1.
    """

    total: Floats
    latency: Floats
    money: Floats
    errors: Floats


@dataclass(frozen=True)
class Room:
    """Capacity in R resources: `size` (W, R) that each workload takes, `free` (S, R) at each site."""

    size: NDArray[np.float64]
    free: NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """(W,) the target of each workload (its own place where it stays), why, and the terms of the comparison."""

    target: Ints
    reason: NDArray[np.object_]
    benefit: Floats
    overhead: Floats


def smoothed(before: Floats | None, now: Floats, alpha: float) -> Floats:
    """EWMA of measurements; one that is missing leaves the smoothed value as it is."""
    if before is None or alpha >= 1:
        return now
    mixed = before + np.float32(alpha) * (now - before)
    return np.where(np.isnan(now), before, np.where(np.isnan(before), now, mixed))


def decide_moves(
    place: Ints, costs: Costs, move_cost: Floats, idle_slots: Floats, policy: Policy, slot_s: float,
    ahead: Floats | None = None, came_from: Ints | None = None, room: Room | None = None, homes: Homes | None = None,
) -> Chosen:  # fmt: skip
    """Choose moves.

    Parameters
    ----------
    place: (W,) site of each workload now.
    move_cost: (W,) data, disruption and coordination of one move, in slots.
    idle_slots: (W,) slots since the workload moved last.
    came_from: (W,) site before the last move, -1 where there was none.
    ahead: (W, S) mean change of the total over the policy's horizon from now on; None: it stays as it is.
    room: what the moves of this pass share at their targets; None: as much as they want.
    homes: where workloads fled from. Nobody goes back before that has settled, unless its place fails too; then whoever
        prefers its home goes there, unless the rule would take it here again at once.

    Returns
    -------
    At most `policy.cap` of the workloads go, one at least, those that fail first, then those that gain most, each while
    its target has room; room that this pass frees is not given away before it is free. A workload whose place
    is not measured stays, and no workload goes where nothing is measured: missing is not cheap.
    """
    rows = np.arange(len(place))
    total = costs.total if ahead is None else costs.total + ahead
    known = np.where(np.isnan(total), np.float32(np.inf), total)
    here = known[rows, place]
    failing = np.nan_to_num(costs.errors[rows, place]) > policy.error_limit
    _bar(known, place, failing, idle_slots * slot_s, policy, came_from, homes)
    slots = np.float32(policy.horizon_s / slot_s)
    goes_home = _goes_home(known, place, failing, move_cost, slots, policy, homes)
    best = known.argmin(axis=1)
    if homes is not None:
        best = np.where(goes_home, homes.site, best)
    there = known[rows, best]
    with np.errstate(invalid="ignore", divide="ignore"):
        benefit = np.where(np.isfinite(here) & np.isfinite(there), (here - there) * slots, 0).astype(np.float32)
        gain = np.where(here > 0, 1 - there / here, 0)
        latency = 1 - costs.latency[rows, best] / costs.latency[rows, place]
        money = 1 - costs.money[rows, best] / costs.money[rows, place]
    triggered = (latency > policy.latency_gain) | (money > policy.cost_gain) | failing
    if policy.greedy:
        triggered = benefit > 0
    reason = np.full(len(place), GOES, object)
    if not policy.greedy:
        reason[(idle_slots * slot_s < policy.cooldown_s) & ~failing] = COOLING
        reason[(move_cost >= policy.overhead * benefit) & ~goes_home] = DEAR
    reason[(~triggered | (gain < policy.least_gain)) & ~failing & ~goes_home] = LITTLE
    reason[best == place] = BEST
    reason[~np.isfinite(there)] = NOWHERE
    reason[~np.isfinite(here)] = UNKNOWN
    if not policy.moves:
        reason[:] = BEST
    _limit(reason, best, benefit - move_cost + np.where(failing, np.float32(1e9), 0), policy.cap, room)
    goes = reason == GOES
    reason[goes & goes_home] = HOME
    reason[goes & failing] = FAILING
    return Chosen(np.where(goes, best, place), reason, benefit, move_cost)


def _bar(
    known: Floats, place: Ints, failing: Bools, idle_s: Floats, policy: Policy, came_from: Ints | None,
    homes: Homes | None,
) -> None:  # fmt: skip
    """Put what a workload has left lately, or a home that has not settled, out of reach of one whose place is well."""
    bars = []
    if came_from is not None and policy.no_return_s:
        lately = (idle_s < policy.no_return_s) & (came_from >= 0) & (came_from != place)
        bars.append((lately if homes is None else lately & ~((came_from == homes.site) & homes.settled), came_from))
    if homes is not None:
        bars.append(((homes.site >= 0) & (homes.site != place) & ~homes.settled, homes.site))
    for mask, column in bars:
        rows = np.flatnonzero(mask & ~failing)
        known[rows, column[rows]] = np.inf


def _goes_home(
    known: Floats, place: Ints, failing: Bools, move_cost: Floats, slots: np.float32, policy: Policy,
    homes: Homes | None,
) -> Bools:  # fmt: skip
    """(W,) who goes home though it may not pay; not who would be taken here again by the rule, as soon as it may."""
    if homes is None or not policy.moves:
        return np.zeros(len(place), np.bool_)
    rows = np.arange(len(place))
    here, there = known[rows, place], known[rows, homes.site]
    may = (homes.site >= 0) & (homes.site != place) & homes.settled & homes.preferred & ~failing
    with np.errstate(invalid="ignore", divide="ignore"):
        worse = there - here
        again = (worse * slots * policy.overhead > move_cost) & (worse >= policy.least_gain * there)
    return np.asarray(may & np.isfinite(here) & np.isfinite(there) & ~again)


def _limit(reason: NDArray[np.object_], best: Ints, urgent: Floats, cap: float, room: Room | None) -> None:
    """Hold back, in `reason`, what goes beyond the cap or finds its target full; the most urgent go first."""
    goes = np.flatnonzero(reason == GOES)
    order = goes[np.argsort(-urgent[goes], kind="stable")]
    most = max(int(cap * len(reason)), 1) if cap else 0
    if room is not None:
        free, kept = room.free.astype(np.float64), list[int]()
        for row in order.tolist():
            if len(kept) < most and (room.size[row] > free[best[row]]).any():
                reason[row] = FULL
                continue
            kept.append(row)
            free[best[row]] -= room.size[row]
        order = np.array(kept, np.int64)
    reason[order[most:]] = CAPPED


def entries(names: list[str], sites: list[str], place: Ints, chosen: Chosen) -> list[dict[str, Any]]:
    """A record a workload, as decisions keep it."""
    return [
        {"unique_id": name, "action": "move" if chosen.target[row] != place[row] else "stay",
         "source": sites[place[row]], "target": sites[chosen.target[row]],
         "reasons": [{"code": str(chosen.reason[row]), "benefit": float(chosen.benefit[row]),
                      "overhead": float(chosen.overhead[row])}]}
        for row, name in enumerate(names)
    ]  # fmt: skip
