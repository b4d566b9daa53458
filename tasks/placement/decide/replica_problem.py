"""Workloads with demand by user zone as functions that may stand on one to three sites each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.placement.decide.replica_sets import MOST_REPLICAS, Replicated
from tasks.placement.decide.scores import Bar, Scores
from tasks.placement.problem import PlacementWorkload, Problem

NOT_READ = ("cost", "latency_limit_ms", "affinity", "anti_affinity")


def replicated_of(problem: Problem, budget_usd: float, most: int = MOST_REPLICAS) -> Replicated:
    """Functions, sites and zones of a checked problem, each sorted by name.

    A site costs what a replica's requests cost there per hour; `budget_usd` is for an hour of all replicas. How many
    replicas there are is decided, so `replicas` is not read; availability is asked of all of them together.

    Raises
    ------
    InvalidInput: no workloads, a constraint that functions do not have, a latency between a site and a zone with
        demand that is not known, or `most` is not 1 to 3.
    """
    if not problem.workloads:
        raise InvalidInput("it has no workloads", where="problem.workloads", fix="add one at least")
    for each in problem.workloads:
        if given := [name for name in NOT_READ if getattr(each, name)]:
            raise InvalidInput(f"`{given[0]}` is not read here: requests go to the nearest of its sites",
                               where=f"workload {each.name}",
                               fix="leave it out, or use `continuum place workloads`")  # fmt: skip
    if not 1 <= most <= MOST_REPLICAS:
        raise InvalidInput(f"{most} replicas at most", where="replicas", fix=f"give 1 to {MOST_REPLICAS}")
    scores = Scores(problem)
    workloads = sorted(problem.workloads, key=lambda each: each.name)
    demand = np.array([[each.demand.get(zone, 0.0) for zone in scores.zones] for each in workloads])
    demand = demand.reshape(len(workloads), len(scores.zones))
    unknown = np.isnan(scores.latency_ms) & (demand.sum(axis=0) > 0)[:, None]
    if unknown.any():
        zone, site = (int(each[0]) for each in np.nonzero(unknown))
        raise InvalidInput(f"the latency to {scores.sites[site].name} is not known",
                           where=f"latency_ms.{scores.zones[zone]}",
                           fix="give it, or lat and lon of both")  # fmt: skip
    requests = np.array([scores.requests(each) for each in workloads]).reshape(len(workloads), len(scores.resources))
    return Replicated(
        tuple(each.name for each in workloads), tuple(site.name for site in scores.sites), demand,
        np.nan_to_num(scores.latency_ms, nan=0.0), requests, scores.capacity,
        np.array([scores.terms_usd(each) for each in workloads]).reshape(len(workloads), len(scores.sites)),
        budget_usd, np.log1p(-np.array([site.availability for site in scores.sites])),
        np.log1p(-np.array([each.availability for each in workloads])), most,
        np.array([_barred(scores, each) for each in workloads]),
    )  # fmt: skip


def _barred(scores: Scores, workload: PlacementWorkload) -> NDArray[np.bool_]:
    """(J,) where it may not stand, by its lists of sites, tiers and regions."""
    alone = workload.model_copy(update={"demand": {}, "availability": 0.0})
    return np.asarray(scores.bars(alone) != Bar.NONE)
