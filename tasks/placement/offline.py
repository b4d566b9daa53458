"""Placement problems solved without a fleet: what the offline commands call."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from blocks.errors import InvalidInput
from blocks.native_output import on_stderr
from tasks.placement.decide.gpus import GpuNodes, GpuPods, replay
from tasks.placement.decide.latency_matrix import FIBRE_KM_PER_MS, ROUTE_FACTOR, latency_matrix
from tasks.placement.decide.replica_sets import Replicated
from tasks.placement.decide.replicated import ReplicaPlan
from tasks.placement.decide.traffic import Traffic
from tasks.placement.problem import PlacementSite, Problem

Answer = TypeVar("Answer")


def timed(decide: Callable[[], Answer]) -> tuple[Answer, float]:
    """What a decision answers, and the seconds that it took; what its solver prints goes to stderr."""
    begin = time.perf_counter()
    with on_stderr():
        answer = decide()
    return answer, time.perf_counter() - begin


def traffic_of(problem: Problem) -> Traffic:
    """The functions of a problem, where they stand, and who asks for them.

    Prices and carbon of a request are not in a problem: sites are compared by their price of a `cpu`, and by carbon
    intensity x PUE; only their ratios count.

    Raises
    ------
    InvalidInput: no functions, or a replica without a capacity.
    """
    if not problem.functions:
        raise InvalidInput("it has no functions", where="problem.functions",
                           fix="give each a name, sites, capacity and demand")  # fmt: skip
    names, latency = latency_matrix(problem, problem.sites)
    zone = {name: row for row, name in enumerate(names)}
    site = {each.name: column for column, each in enumerate(problem.sites)}
    demand = np.zeros((len(names), len(problem.functions)))
    capacity = np.zeros((len(problem.functions), len(site)))
    servers = np.full(capacity.shape, np.nan)
    processing = [np.nan if each.processing_ms is None else each.processing_ms for each in problem.functions]
    for row, function in enumerate(problem.functions):
        for name, rps in function.demand.items():
            demand[zone[name], row] = rps
        for place, name in enumerate(function.sites):
            if name not in function.capacity:
                raise InvalidInput(f"`{name}` has a replica and no capacity",
                                   where=f"problem: functions[{row}].sites[{place}]",
                                   fix=f"give functions[{row}].capacity.{name} in requests per second")  # fmt: skip
            capacity[row, site[name]] = function.capacity[name]
            servers[row, site[name]] = function.servers.get(name, np.nan)
    carbon = [np.nan if each.carbon_g_per_kwh is None else each.carbon_g_per_kwh * each.pue for each in problem.sites]
    return Traffic(
        zones=names, functions=tuple(each.name for each in problem.functions), sites=tuple(site), demand=demand,
        capacity=capacity, latency_ms=latency, processing_ms=np.array(processing), servers=servers,
        distance_km=latency * FIBRE_KM_PER_MS / ROUTE_FACTOR / 2,
        usd_per_million=np.array([_cpu_price(each) for each in problem.sites]),
        g_per_million=None if np.isnan(carbon).any() else np.array(carbon),
    )  # fmt: skip


def _cpu_price(site: PlacementSite) -> float:
    price = site.usd_per_unit
    return price.get("cpu", 0.0) if isinstance(price, dict) else price


def replicas_record(problem: Replicated, plan: ReplicaPlan) -> dict[str, Any]:
    """Sites of each function, and how far from the best they can be; None where nothing is proven."""
    return {
        "functions": [{"function": name, "sites": list(sites)}
                      for name, sites in zip(problem.functions, plan.sites, strict=True)],
        "unplaced": list(plan.unplaced), "objective": plan.objective,
        "bound": plan.bound if np.isfinite(plan.bound) else None, "gap": plan.gap if np.isfinite(plan.gap) else None,
        "usd_per_hour": plan.usd,
    }  # fmt: skip


def packed_gpus(
    nodes: GpuNodes, pods: GpuPods, policy: str, load: float, seeds: int, told: Callable[[int], None]
) -> dict[str, Any]:
    """Means over so many replays in random order; `told` is called with the number of each as it ends."""
    ratios, decisions, seconds = [], 0, 0.0
    for seed in range(seeds):
        packed, taken = timed(partial(replay, nodes, pods, policy, load, seed))
        ratios.append(packed.gpu_allocated_ratio)
        decisions, seconds = decisions + len(packed.pod), seconds + taken
        told(seed + 1)
    return {
        "policy": policy, "load": load, "seeds": seeds, "gpu_allocated_ratio": float(np.mean(ratios)),
        "gpu_allocated_ratio_std": float(np.std(ratios)), "decisions_per_s": decisions / seconds if seconds else 0.0,
    }  # fmt: skip
