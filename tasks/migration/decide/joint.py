"""Targets of one pass chosen together by the placement engine, where several want a place that has no room for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.compiled import LEAST_CANDIDATES, TOLERANCE, Bool, Compiled, Float, Int, Member
from tasks.placement.decide.construct import place_in_order
from tasks.placement.decide.lagrangian import find_prices
from tasks.placement.decide.placement import PlacementPolicy, assign

HELD_BACK, NO_ROOM = -1, -2  # instead of a target: the cap, and what the others leave
ENGINE = PlacementPolicy(time_limit_s=0.5, polish_rounds=0)
TOGETHER = 500  # moves that the engine weighs: within a second of work
LEAST = 1e-3  # slots that a move is worth that the rule lets through though it does not pay


@dataclass(frozen=True)
class Room:
    """Capacity in R resources: `size` (W, R) that each workload takes, `free` (S, R) at each site."""

    size: NDArray[np.float64]
    free: NDArray[np.float64]

    def holds(self, rows: Int, sites: Int) -> bool:
        """Whether these workloads fit at these sites, all at once."""
        load = np.zeros(self.free.shape)
        np.add.at(load, sites, self.size[rows])
        return bool((load <= self.free * (1 + TOLERANCE)).all())


def share(gain: NDArray[np.floating[Any]], first: Bool, room: Room, most: int) -> Int:
    """(M,) the site of each of M moves, `NO_ROOM` or `HELD_BACK`; at most `most` go, and what goes has room.

    A row that is `first` counts more than all the others together; beyond that it is the sum of the gains that is
    largest. In the order of the rows each takes its best place that has room. Where that gives somebody less than its
    best place, the engine chooses anew for all who go, and the most urgent of those who found no room, 500 in all, and
    is followed where it is better. Of more than 500 that go, each keeps what it took.

    Parameters
    ----------
    gain: (M, S) of each move to each site, in slots, net of the move; -inf where the rule does not let it through. The
        most urgent row comes first. first: (M,). room: of these rows.
    """
    problem = _compiled(gain, first, room)
    picks = place_in_order(problem, np.arange(len(gain)), problem.cost)
    going = np.flatnonzero(_goes(problem, picks))[:most]
    seen = int(going[-1]) + 1 if most and len(going) == most else len(gain)
    site = np.full(len(gain), HELD_BACK)
    site[:seen] = NO_ROOM
    staying = np.setdiff1d(np.arange(seen), going)
    if picks[going].any() or len(staying):
        rows = np.sort(np.append(going, staying[: max(TOGETHER - len(going), 0)]))
        if len(rows) <= TOGETHER:
            part = _part(problem, rows)
            found = _capped(part, assign(part, find_prices(part), ENGINE)[0], most)
            if _cost(part, found) < _cost(part, picks[rows]):
                picks[rows], going = found, rows[_goes(part, found)]
    site[going] = problem.site[going, picks[going]]
    return site


def decide_rescues(total: NDArray[np.float32], size: Float, due: Bool, free: Float, cap: float) -> tuple[Int, Float]:
    """(W,) where the workloads of silent clusters are started, below 0 where they wait; and the room that is left.

    total: (W, S) what each place costs; NaN or infinite where one may not go. due: (W,) silent for long enough. cap:
    share of them that may start in one pass, one at least.
    """
    site, left, rows = np.full(len(total), NO_ROOM), free.copy(), np.flatnonzero(due)
    if len(rows):
        gain = np.where(np.isfinite(total[rows]), -total[rows], -np.inf)
        most = max(int(cap * len(total)), 1) if cap else 0
        site[rows] = share(gain, np.ones(len(rows), np.bool_), Room(size[rows], free), most)
    goes = np.flatnonzero(site >= 0)
    np.subtract.at(left, site[goes], size[goes])
    return site, np.maximum(left, 0.0)


def _compiled(gain: NDArray[np.floating[Any]], first: Bool, room: Room) -> Compiled:
    """The moves as the engine's units; its last site holds those who stay."""
    count, sites = gain.shape
    alone = (room.size[:, None, :] <= room.free * (1 + TOLERANCE)).all(axis=2)
    cost = np.where(alone, -gain, np.inf).astype(np.float64)
    width = min(sites, LEAST_CANDIDATES)
    near = np.argpartition(cost, width - 1, axis=1)[:, :width]
    near = np.take_along_axis(near, np.argsort(np.take_along_axis(cost, near, axis=1), axis=1, kind="stable"), axis=1)
    cost = np.take_along_axis(cost, near, axis=1)
    reached = np.where(np.isfinite(cost), np.abs(cost), 0.0)
    stays = np.maximum(np.where(np.isfinite(cost[:, 0]), cost[:, 0], 0.0), 0.0) + LEAST
    stays += np.where(first, 1 + 2 * reached.max(axis=1).sum() + stays.sum(), 0.0)
    everybody = room.size.sum(axis=0) + 1
    return Compiled(
        (*map(str, range(sites)), "stays"), tuple((Member(str(row), 0),) for row in range(count)),
        tuple(map(str, range(room.size.shape[1]))), np.column_stack([near, np.full(count, sites)]),
        np.column_stack([cost, stays]), np.full(count, np.inf), room.size, np.vstack([room.free, everybody]),
    )  # fmt: skip


def _part(problem: Compiled, rows: Int) -> Compiled:
    return replace(problem, members=tuple(problem.members[row] for row in rows), site=problem.site[rows],
                   cost=problem.cost[rows], floor=problem.floor[rows], requests=problem.requests[rows])  # fmt: skip


def _goes(problem: Compiled, picks: Int) -> Bool:
    return np.asarray((picks >= 0) & (picks < problem.cost.shape[1] - 1))


def _cost(problem: Compiled, picks: Int) -> float:
    return float(problem.cost[np.arange(len(picks)), picks].sum())


def _capped(problem: Compiled, picks: Int, most: int) -> Int:
    """Picks of which the least worth beyond `most` stay."""
    stays = problem.cost.shape[1] - 1
    picks = np.where(picks >= 0, picks, stays)
    worth = problem.cost[:, stays] - problem.cost[np.arange(len(picks)), picks]
    return np.where(np.argsort(np.argsort(-worth, kind="stable")) < most, picks, stays)
