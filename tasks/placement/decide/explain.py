"""Why a workload stands where it stands: the sites it did not get, what barred it there, what would have to change."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tasks.placement.decide.compiled import BY_REGION, TOLERANCE, Compiled, Float, Int
from tasks.placement.decide.construct import NOWHERE
from tasks.placement.decide.ejection import loads
from tasks.placement.decide.outcome import Barrier, Explanation, Obstacle, RunnerUp
from tasks.placement.decide.scores import Bar, Scores
from tasks.placement.problem import PlacementWorkload, Problem

LISTED = 3  # sites that are told for a replica that stands nowhere

BARRIERS = {
    Bar.NO_COST: Barrier.NO_COST,
    Bar.NOT_ALLOWED: Barrier.NOT_ALLOWED,
    Bar.TIER: Barrier.TIER,
    Bar.RESIDENCY: Barrier.RESIDENCY,
    Bar.LATENCY: Barrier.LATENCY,
    Bar.LATENCY_UNKNOWN: Barrier.LATENCY_UNKNOWN,
    Bar.AVAILABILITY: Barrier.AVAILABILITY,
}
_CHANGES = {  # the field of the problem that a barrier is about
    Barrier.CAPACITY: "capacity",
    Barrier.TOO_LARGE: "capacity",
    Barrier.APART: "apart",
    Barrier.NO_COST: "cost names the site",
    Barrier.NOT_ALLOWED: "allowed",
    Barrier.TIER: "allowed_tiers",
    Barrier.RESIDENCY: "residency",
    Barrier.LATENCY: "latency_limit_ms",
    Barrier.LATENCY_UNKNOWN: "latency_ms",
    Barrier.AVAILABILITY: "availability",
    Barrier.NOT_SEARCHED: "candidates",
}


class Situation:
    """A problem and the picks made for it; everything is worked out when it is first asked for."""

    def __init__(self, problem: Problem, scores: Scores, compiled: Compiled, picks: Int) -> None:
        self.problem, self.scores, self.compiled, self.picks = problem, scores, compiled, picks

    @cached_property
    def workloads(self) -> dict[str, PlacementWorkload]:
        """By name."""
        return {each.name: each for each in self.problem.workloads}

    @cached_property
    def units(self) -> dict[str, list[int]]:
        """Units of each workload, by replica."""
        found: dict[str, list[int]] = {}
        for unit, members in enumerate(self.compiled.members):
            for member in members:
                found.setdefault(member.workload, []).append(unit)
        return found

    @cached_property
    def free(self) -> Float:
        """(J, R) what is left at each site."""
        return np.asarray(self.compiled.capacity - loads(self.compiled, self.picks))

    @cached_property
    def rivals(self) -> dict[int, list[tuple[int, int]]]:
        """For each unit with rivals: the other units, and the level at which they must stand apart."""
        found: dict[int, list[tuple[int, int]]] = {}
        for a, b, level in self.compiled.conflicts:
            found.setdefault(a, []).append((b, level))
            found.setdefault(b, []).append((a, level))
        return found

    def site_of(self, unit: int) -> int:
        """Where a unit stands, `NOWHERE` for none."""
        pick = int(self.picks[unit])
        return NOWHERE if pick == NOWHERE else int(self.compiled.site[unit, pick])

    def costs_of(self, unit: int) -> Float:
        """(J,) what the unit would cost at each site, barred or not; infinite where that is not known."""
        members = self.compiled.members[unit]
        rows = [self.scores.costs_anywhere(self.workloads[each.workload]) for each in members]
        return np.asarray(np.sum(rows, axis=0))

    def explain(self, workload: str, count: int) -> tuple[Explanation, ...]:
        """Every replica of a workload with `count` runners-up."""
        return tuple(self._explained(workload, replica, unit, count)
                     for replica, unit in enumerate(self.units[workload]))  # fmt: skip

    def _explained(self, workload: str, replica: int, unit: int, count: int) -> Explanation:
        each, here = self.workloads[workload], self.site_of(unit)
        cost = self.costs_of(unit)
        order = [site for site in _by_cost(cost) if site != here and np.isfinite(cost[site])][:count]
        now = float(cost[here]) if here != NOWHERE else np.nan
        name = None if here == NOWHERE else self.compiled.sites[here]
        runners = tuple(self._runner_up(unit, each, site, float(cost[site] - now)) for site in order)
        terms = None if name is None else self.scores.terms(each, name)
        return Explanation(workload, replica, name, now, terms, runners)

    def _runner_up(self, unit: int, workload: PlacementWorkload, site: int, extra: float) -> RunnerUp:
        name = self.compiled.sites[site]
        obstacles = tuple(self.obstacles(unit, site))
        changes = [(_CHANGES[each.barrier], each.subject, each.lacking) for each in obstacles]
        if extra > 0:
            changes.append(("cost", name, extra))
        known = extra if np.isfinite(extra) else None
        return RunnerUp(name, known, self.scores.terms(workload, name), obstacles, tuple(changes))

    def obstacles(self, unit: int, site: int) -> list[Obstacle]:
        """Everything that bars a unit from a site, beside what stands where it stands."""
        name, found = self.compiled.sites[site], []
        for member in self.compiled.members[unit]:
            workload = self.workloads[member.workload]
            if bar := Bar(int(self.scores.bars(workload)[site])):
                lacking = max(self.scores.latency_excess_ms(workload, name), 0.0) if bar == Bar.LATENCY else 0.0
                found.append(Obstacle(BARRIERS[bar], workload.name, lacking))
        asked = self.compiled.requests[unit]
        for r, resource in enumerate(self.compiled.resources):
            for barrier, room in ((Barrier.TOO_LARGE, self.compiled.capacity), (Barrier.CAPACITY, self.free)):
                if asked[r] > room[site, r] + TOLERANCE * max(1.0, self.compiled.capacity[site, r]):
                    found.append(Obstacle(barrier, resource, float(asked[r] - room[site, r])))
                    break
        found += [Obstacle(Barrier.APART, self.compiled.members[other][0].workload)
                  for other in self.rivals_at(unit, site)]  # fmt: skip
        if not found and site not in self.compiled.site[unit][np.isfinite(self.compiled.cost[unit])]:
            found.append(Obstacle(Barrier.NOT_SEARCHED, name))
        return found

    def rivals_at(self, unit: int, site: int) -> list[int]:
        """Units at a site, or in its region, that the unit must not stand with."""
        return [other for other, level in self.rivals.get(unit, []) if self._meets(other, site, level)]

    def _meets(self, other: int, site: int, level: int) -> bool:
        at, keys = self.site_of(other), self.compiled.keys
        if at == NOWHERE:
            return False
        return at == site or (level == BY_REGION and keys is not None and keys[level, at] == keys[level, site])


def obstacles_of(situation: Situation, unit: int) -> tuple[tuple[str, Obstacle], ...]:
    """What bars a unit that stands nowhere from its cheapest sites: for each the first obstacle."""
    found = []
    for site in _by_cost(situation.costs_of(unit))[:LISTED]:
        obstacles = situation.obstacles(unit, site)
        if obstacles:
            found.append((situation.compiled.sites[site], obstacles[0]))
    return tuple(found)


def _by_cost(cost: Float) -> list[int]:
    order: list[int] = np.lexsort((np.arange(len(cost)), cost)).tolist()
    return order
