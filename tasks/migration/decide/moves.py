"""Which workloads move, and where to: smoothed costs, what comes, what a move costs, and a cap; a row a workload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.migration.decide.failback import Homes
from tasks.migration.decide.joint import HELD_BACK, NO_ROOM, Room, share
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
    At most `policy.cap` of the workloads go, one at least, those that fail first, then those that gain most. Where the
    best places have no room for all of them, they are chosen together, each among the places that the rule lets through
    (`share`); room that this pass frees is not given away before it is free. A workload whose place
    is not measured stays, and no workload goes where nothing is measured: missing is not cheap.
    """
    rows = np.arange(len(place))
    total = costs.total if ahead is None else costs.total + ahead
    known = np.where(np.isnan(total), np.float32(np.inf), total)
    failing = np.nan_to_num(costs.errors[rows, place]) > policy.error_limit
    _bar(known, place, failing, idle_slots * slot_s, policy, came_from, homes)
    slots = np.float32(policy.horizon_s / slot_s)
    goes_home = _goes_home(known, place, failing, move_cost, slots, policy, homes)
    best = known.argmin(axis=1)
    if homes is not None:
        best = np.where(goes_home, homes.site, best)
    offer = _offer(known, costs, rows, place, best)
    benefit, enough, pays = _weigh(offer, move_cost, failing, slots, policy)
    cooling = (idle_slots * slot_s < policy.cooldown_s) & ~failing
    reason = _reasons(offer, best == place, cooling, enough | goes_home, pays | goes_home, policy)
    goes = np.flatnonzero(reason == GOES)
    goes = goes[np.lexsort((-(benefit - move_cost)[goes], ~failing[goes]))]
    most = max(int(policy.cap * len(place)), 1) if policy.cap else 0
    if room is None or room.holds(goes[:most], best[goes[:most]]):
        reason[goes[most:]] = CAPPED
    else:
        gains = _gains(known, costs, goes, place, best, move_cost, failing, goes_home, slots, policy)
        site = share(gains, failing[goes], Room(room.size[goes], room.free), most)
        reason[goes[site == NO_ROOM]] = FULL
        reason[goes[site == HELD_BACK]] = CAPPED
        goes, gains, site = goes[site >= 0], gains[site >= 0], site[site >= 0]
        best[goes], benefit[goes] = site, gains[np.arange(len(goes)), site] + move_cost[goes]
    moves = reason == GOES
    reason[moves & goes_home] = HOME
    reason[moves & failing] = FAILING
    return Chosen(np.where(moves, best, place), reason, benefit, move_cost)


@dataclass(frozen=True)
class _Offer:
    """Another place: its total beside that of the place now, and its latency and money as shares of those now."""

    here: Floats
    there: Floats
    latency: Floats
    money: Floats


def _offer(known: Floats, costs: Costs, rows: Ints, place: Ints, sites: Ints | slice) -> _Offer:
    """What `sites` are to the workloads in `rows`, which stand in `place`: one site each (W,), or a slice, all of them.

    For all of them each attribute has two dimensions.
    """
    shape = (len(rows), 1) if isinstance(sites, slice) else (len(rows),)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [each[rows, sites] / each[rows, place].reshape(shape) for each in (costs.latency, costs.money)]
    return _Offer(known[rows, place].reshape(shape), known[rows, sites], *shares)


def _weigh(
    offer: _Offer, move_cost: Floats, failing: Bools, slots: np.float32, policy: Policy
) -> tuple[Floats, Bools, Bools]:
    """The benefit over the horizon, whether a place is better by enough, and whether it is worth the move."""
    here, there = offer.here, offer.there
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(here) & np.isfinite(there)
        benefit = np.where(known, (here - there) * slots, 0).astype(np.float32)
        gain = np.where(here > 0, 1 - there / here, 0)
    better = (1 - offer.latency > policy.latency_gain) | (1 - offer.money > policy.cost_gain)
    enough = (benefit > 0 if policy.greedy else better) & (gain >= policy.least_gain)
    return benefit, np.asarray(enough | failing), np.asarray(move_cost < policy.overhead * benefit)


def _reasons(
    offer: _Offer, stands_best: Bools, cooling: Bools, enough: Bools, pays: Bools, policy: Policy
) -> NDArray[np.object_]:
    """(W,) why each workload may not go, the first that holds; `GOES` where it may."""
    weighed = not policy.greedy
    why = [(UNKNOWN, ~np.isfinite(offer.here)), (NOWHERE, ~np.isfinite(offer.there)), (BEST, stands_best),
           (LITTLE, ~enough), (DEAR, ~pays & weighed), (COOLING, cooling & weighed)]  # fmt: skip
    if not policy.moves:
        why = [(BEST, np.ones(len(pays), np.bool_))]
    return np.select([holds for _, holds in why], [np.array(code, object) for code, _ in why], np.array(GOES, object))


def _gains(
    known: Floats, costs: Costs, rows: Ints, place: Ints, best: Ints, move_cost: Floats, failing: Bools,
    goes_home: Bools, slots: np.float32, policy: Policy,
) -> Floats:  # fmt: skip
    """(M, S) what each move that may be made brings at each site that the rule lets through; -inf elsewhere."""
    column = move_cost[rows, None]
    offer = _offer(known, costs, rows, place[rows], slice(None))
    benefit, enough, pays = _weigh(offer, column, failing[rows, None], slots, policy)
    lets = enough & (pays | policy.greedy) & np.isfinite(offer.there) & (benefit > 0) & ~goes_home[rows, None]
    lets[np.arange(len(rows)), best[rows]] = True
    return np.where(lets, benefit - column, np.float32(-np.inf))


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


def entries(names: list[str], sites: list[str], place: Ints, chosen: Chosen) -> list[dict[str, Any]]:
    """A record a workload, as decisions keep it."""
    return [
        {"unique_id": name, "action": "move" if chosen.target[row] != place[row] else "stay",
         "source": sites[place[row]], "target": sites[chosen.target[row]],
         "reasons": [{"code": str(chosen.reason[row]), "benefit": float(chosen.benefit[row]),
                      "overhead": float(chosen.overhead[row])}]}
        for row, name in enumerate(names)
    ]  # fmt: skip
