"""A finished placement against the problem itself, without what the solvers know: every hard constraint, by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from tasks.placement.decide.outcome import Assignment
from tasks.placement.decide.scores import Scores, is_plain
from tasks.placement.problem import Problem

SLACK = 1e-6  # of a capacity: sums of floats, and HiGHS's tolerance


def violations_of(problem: Problem, scores: Scores, assignments: Sequence[Assignment]) -> tuple[str, ...]:
    """Every hard constraint that is violated, in words; none for a valid placement."""
    return tuple(_found(problem, scores, assignments))


def _found(problem: Problem, scores: Scores, assignments: Sequence[Assignment]) -> Iterator[str]:
    workloads = {each.name: each for each in problem.workloads}
    load = np.zeros_like(scores.capacity)
    at: dict[str, dict[int, str]] = defaultdict(dict)
    for each in assignments:
        load[scores.number[each.site]] += scores.requests(workloads[each.workload])
        if each.replica in at[each.workload]:
            yield f"{each.workload}: replica {each.replica} stands twice"
        at[each.workload][each.replica] = each.site
    over = load > scores.capacity * (1 + SLACK) + SLACK
    for row, column in zip(*np.nonzero(over), strict=True):
        yield f"{scores.sites[row].name}: {scores.resources[column]} holds more than its capacity"
    region = {site.name: site.region or site.name for site in scores.sites}
    for name, sites in sorted(at.items()):
        workload = workloads[name]
        allowed = {scores.sites[row].name for row in scores.costs(workload)[0].tolist()} \
            if not is_plain(workload) or workload.cost is None else set(workload.cost)  # fmt: skip
        yield from (f"{name}: {site} is barred" for site in sorted(set(sites.values()) - allowed))
        places = [region[site] if workload.spread == "region" else site for site in sites.values()]
        if workload.spread != "none" and len(set(places)) < len(places):
            yield f"{name}: replicas are not spread by {workload.spread}"
        for other in workload.affinity:
            if any(at[other].get(replica) != site for replica, site in sites.items()):
                yield f"{name}: stands apart from {other}"
        for other in workload.anti_affinity:
            if set(sites.values()) & set(at[other].values()):
                yield f"{name}: stands with {other}"
