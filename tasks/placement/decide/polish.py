"""Iterated local search, region by region: costs are shaken, the search follows them, then the true costs again.

What is better than before is kept (Lourenco, Martin and Stuetzle 2003, Iterated local search). Regions of neighbouring
sites are searched on their own (POP, SOSP 2021): a change in one says nothing about the others, so the work grows with
the number of units and each region accepts its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.placement.decide.compiled import Compiled, Float, Int
from tasks.placement.decide.construct import NOWHERE
from tasks.placement.decide.ejection import current_cost, improve

REGION_SITES = 30
SHAKEN, LEAST, MOST = 0.3, 0.75, 1.3  # share of the costs that are shaken, and between which factors
SHAKEN_SWEEPS = 3
HUB_SHARE = 0.3  # a site that so many units could use belongs to every region


def polish(problem: Compiled, picks: Int, rounds: int, seed: int) -> Int:
    """(W,) picks that cost no more, after `rounds` shakes of each region."""
    rng = np.random.default_rng([seed, len(picks)])
    half = max(rounds // 2, 1)
    for begin in range(0, rounds, half):
        for sites in regions(problem, shift=begin > 0):
            picks = _polish_region(problem, picks, sites, half, rng)
        picks = improve(problem, picks)
    return picks


def regions(problem: Compiled, shift: bool) -> list[Int]:
    """Groups of about `REGION_SITES` sites that share candidates; another partition with `shift`.

    Sites are lined up by walking from each to the unvisited one that shares most units with those just passed.
    """
    count = len(problem.sites)
    if count <= REGION_SITES * 1.5:
        return [np.arange(count)]
    line = _line(problem)
    offset = REGION_SITES // 2 if shift else 0
    cuts = list(range(offset, len(line), REGION_SITES)) if shift else list(range(REGION_SITES, len(line), REGION_SITES))
    return [part for part in np.split(line, cuts) if len(part)]


def hubs(problem: Compiled) -> Int:
    """Sites that a large share of all units could use, such as the cloud."""
    use = np.bincount(problem.site[np.isfinite(problem.cost)], minlength=len(problem.sites))
    return np.flatnonzero(use > HUB_SHARE * len(problem.members)) if len(problem.sites) > REGION_SITES else \
        np.zeros(0, np.int64)  # fmt: skip


def _line(problem: Compiled) -> Int:
    """Sites but hubs, neighbours near one another."""
    nearest = min(6, problem.site.shape[1])
    left = set(range(len(problem.sites))) - set(hubs(problem).tolist())
    shared: list[dict[int, float]] = [{} for _ in problem.sites]
    near = problem.site[:, :nearest].tolist()
    real = np.isfinite(problem.cost[:, :nearest]).tolist()
    for row, usable in zip(near, real, strict=True):
        here = [site for site, ok in zip(row, usable, strict=True) if ok and site in left]
        for a in here:
            for b in here:
                if a != b:
                    shared[a][b] = shared[a].get(b, 0.0) + 1.0
    line: list[int] = []
    pull: dict[int, float] = {}
    while left:
        if len(line) % REGION_SITES == 0:
            pull = {}
        at = max(pull, key=lambda site: (pull[site], -site)) if pull else min(left)
        left.discard(at)
        pull.pop(at, None)
        line.append(at)
        for other, weight in shared[at].items():
            if other in left:
                pull[other] = pull.get(other, 0.0) + weight
    return np.array(line, dtype=np.int64)


def _polish_region(problem: Compiled, picks: Int, sites: Int, rounds: int, rng: np.random.Generator) -> Int:
    rows, part = _part(problem, picks, sites)
    if not len(rows):
        return picks
    best = picks[rows]
    value = float(current_cost(part, best).sum())
    for _ in range(rounds):
        tried = improve(replace(part, cost=_shaken(part.cost, rng)), best, SHAKEN_SWEEPS, deep=False)
        tried = improve(part, tried)
        cost = float(current_cost(part, tried).sum())
        if cost < value - 1e-9:
            best, value = tried, cost
    found = picks.copy()
    found[rows] = best
    return found


def _shaken(cost: Float, rng: np.random.Generator) -> Float:
    return np.where(rng.random(cost.shape) < SHAKEN, cost * rng.uniform(LEAST, MOST, cost.shape), cost)


def _part(problem: Compiled, picks: Int, sites: Int) -> tuple[Int, Compiled]:
    """Units that stand in a region, or at a hub and could stand in it, and their problem: what else stands, stays."""
    inside = np.zeros(len(problem.sites), np.bool_)
    inside[sites] = True
    centre = np.zeros_like(inside)
    centre[hubs(problem)] = True
    placed = picks != NOWHERE
    at = problem.site[np.arange(len(picks)), np.maximum(picks, 0)]
    usable = np.isfinite(problem.cost)
    there = placed & (inside[at] | (centre[at] & (inside[problem.site] & usable).any(axis=1)))
    rows = np.flatnonzero(there)
    scope = inside | centre
    free = problem.capacity.copy()
    others = np.flatnonzero(placed & ~there)
    np.subtract.at(free, at[others], problem.requests[others])
    cost = np.where(scope[problem.site[rows]], problem.cost[rows], np.inf)
    local = np.flatnonzero(scope)
    number = np.zeros(len(problem.sites), np.int64)
    number[local] = np.arange(len(local))
    place = {unit: row for row, unit in enumerate(rows.tolist())}
    near = [(place[a], place[b], level) for a, b, level in problem.conflicts if a in place and b in place]
    cost = _without_outer_rivals(problem, picks, rows, cost)
    return rows, replace(
        problem,
        sites=tuple(problem.sites[row] for row in local.tolist()),
        members=tuple(problem.members[row] for row in rows.tolist()),
        site=number[problem.site[rows]],
        cost=cost, floor=problem.floor[rows], requests=problem.requests[rows],
        capacity=np.maximum(free[local], 0.0), conflicts=tuple(near),
        keys=None if problem.keys is None else problem.keys[:, local],
    )  # fmt: skip


def _without_outer_rivals(problem: Compiled, picks: Int, rows: Int, cost: Float) -> Float:
    """Costs with the sites barred at which a rival outside of the part decides."""
    if not problem.conflicts or problem.keys is None:
        return cost
    number = {unit: row for row, unit in enumerate(rows.tolist())}
    for a, b, level in problem.conflicts:
        for unit, other in ((a, b), (b, a)):
            if unit in number and other not in number and picks[other] != NOWHERE:
                key = problem.keys[level]
                there = key[problem.site[other, picks[other]]]
                cost[number[unit], key[problem.site[unit]] == there] = np.inf
    return cost
