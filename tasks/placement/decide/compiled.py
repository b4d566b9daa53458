"""The problem as the solvers see it: units to place, a short list of candidate sites for each, arrays in name order.

A unit is one replica of a workload, or of several that stand together. Sites and workloads are sorted by name, so that
their order in the file changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.scores import Scores
from tasks.placement.problem import PlacementWorkload, Problem

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

TOLERANCE = 1e-9  # of a capacity: sums of floats
MAX_CELLS = 400_000  # candidates in all: more are cut to the cheapest, and those with the most room
LEAST_CANDIDATES, ROOMY = 24, 4
BY_SITE, BY_REGION = 0, 1


@dataclass(frozen=True)
class Member:
    """One replica of a workload."""

    workload: str
    replica: int


@dataclass(frozen=True, eq=False)
class Compiled:
    """W units, K candidates each, J sites, R resources.

    Attributes
    ----------
    sites: (J,) names, sorted. members: (W,) what each unit consists of. resources: (R,) names.
    site: (W, K) candidate sites, by cost; 0 where there are fewer, with an infinite cost.
    cost: (W, K) cost there. floor: (W,) cost of the cheapest site that was left out; infinite where none was.
    requests: (W, R). capacity: (J, R).
    conflicts: pairs of units that must not stand at one site (`BY_SITE`) or in one region (`BY_REGION`).
    keys: (2, J) number of the site, and of its region.
    """

    sites: tuple[str, ...]
    members: tuple[tuple[Member, ...], ...]
    resources: tuple[str, ...]
    site: Int
    cost: Float
    floor: Float
    requests: Float
    capacity: Float
    conflicts: tuple[tuple[int, int, int], ...] = ()
    keys: Int | None = None

    @property
    def room(self) -> Float:
        """(J, R) capacity with the tolerance of its sums."""
        return self.capacity * (1 + TOLERANCE) + 1e-12

    def left_out(self, picks: Int) -> int:
        """Replicas that stand nowhere; a unit may be several."""
        return sum(len(members) for members, pick in zip(self.members, picks.tolist(), strict=True) if pick < 0)

    def rivals(self) -> list[list[tuple[int, list[int]]]]:
        """(W,) for each unit the units it must not stand with, and the keys of the sites that decide it."""
        found: list[list[tuple[int, list[int]]]] = [[] for _ in self.members]
        levels = [] if self.keys is None else self.keys.tolist()
        for a, b, level in self.conflicts:
            found[a].append((b, levels[level]))
            found[b].append((a, levels[level]))
        return found


def compile_problem(problem: Problem, scores: Scores) -> Compiled:
    """Arrays of a checked problem."""
    names = tuple(site.name for site in scores.sites)
    groups = _groups(problem.workloads)
    count = sum(group[0].replicas for group in groups)
    limit = max(LEAST_CANDIDATES, MAX_CELLS // max(count, 1))
    members: list[tuple[Member, ...]] = []
    rows: list[tuple[Int, Float, float]] = []
    requests: list[Float] = []
    for group in groups:
        asked = np.sum([scores.requests(each) for each in group], axis=0)
        at, cost = _candidates(group, scores, asked)
        row = _cut(at, cost, limit, scores)
        for replica in range(group[0].replicas):
            members.append(tuple(Member(each.name, replica) for each in group))
            rows.append(row)
            requests.append(asked)
    width = max((len(at) for at, _, _ in rows), default=1) or 1
    site, cost = np.zeros((count, width), np.int64), np.full((count, width), np.inf)
    for number, (at, each, _) in enumerate(rows):
        site[number, : len(at)], cost[number, : len(at)] = at, each
    regions = {name: number for number, name in enumerate(sorted({s.region or s.name for s in scores.sites}))}
    keys = np.array([range(len(names)), [regions[s.region or s.name] for s in scores.sites]])
    return Compiled(
        names, tuple(members), scores.resources, site, cost, np.array([floor for _, _, floor in rows]),
        np.array(requests).reshape(count, len(scores.resources)), scores.capacity,
        tuple(_conflicts(groups)), keys,
    )  # fmt: skip


def _groups(workloads: Sequence[PlacementWorkload]) -> list[list[PlacementWorkload]]:
    """Workloads that stand together, each group and the groups sorted by name."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for each in workloads:
        for other in each.affinity:
            low, high = sorted((root(each.name), root(other)))
            parent[high] = low
    found: dict[str, list[PlacementWorkload]] = defaultdict(list)
    for each in sorted(workloads, key=lambda each: each.name):
        found[root(each.name)].append(each)
    return [found[name] for name in sorted(found)]


def _candidates(group: Sequence[PlacementWorkload], scores: Scores, asked: Float) -> tuple[Int, Float]:
    """Sites that every workload of the group may stand at and that could hold it alone, by cost, and their costs."""
    at, cost = scores.costs(group[0])
    for each in group[1:]:
        other, more = scores.costs(each)
        at, mine, theirs = np.intersect1d(at, other, assume_unique=True, return_indices=True)
        cost = cost[mine] + more[theirs]
    fits = (asked <= scores.capacity[at] * (1 + TOLERANCE) + 1e-12).all(axis=1)
    at, cost = at[fits], cost[fits]
    order = np.lexsort((at, cost))
    return at[order], cost[order]


def _cut(at: Int, cost: Float, limit: int, scores: Scores) -> tuple[Int, Float, float]:
    """At most `limit` candidates, the cheapest and a few with the most room, and the cost of the cheapest left out."""
    if len(at) <= limit:
        return at, cost, np.inf
    rest = np.arange(limit - ROOMY, len(at))
    roomy = rest[np.argsort(-scores.size[at[rest]], kind="stable")[:ROOMY]]
    kept = np.sort(np.concatenate([np.arange(limit - ROOMY), roomy]))
    return at[kept], cost[kept], float(np.delete(cost, kept).min())


def _conflicts(groups: Sequence[Sequence[PlacementWorkload]]) -> Iterator[tuple[int, int, int]]:
    """Pairs of units: replicas that are spread, and workloads that must stand apart."""
    first: dict[str, tuple[int, int]] = {}
    begin = 0
    for group in groups:
        for each in group:
            first[each.name] = (begin, each.replicas)
        begin += group[0].replicas
    pairs: set[tuple[int, int, int]] = set()
    for group in groups:
        for each in group:
            start, count = first[each.name]
            if each.spread != "none":
                level = BY_REGION if each.spread == "region" else BY_SITE
                pairs |= {(start + a, start + b, level) for b in range(count) for a in range(b)}
            for other in each.anti_affinity:
                theirs, more = first[other]
                pairs |= {(min(a, b), max(a, b), BY_SITE) for a in range(start, start + count)
                          for b in range(theirs, theirs + more)}  # fmt: skip
    yield from sorted(pairs)
