"""Traffic weights by LP: seconds, optimality and what simpler rules cost; prints a table, or JSON with --json.

Run: `python tests/benchmarks/bench_placement_traffic.py [--quick] [--json]`.

Made-up instances, fresh seed for each size: zones and sites in a square, latency by distance plus noise, log-normal
demand, 40 % of the sites hold a replica of a function, capacity 1.25 / 0.9 times the demand. `shared`: sites limit the
functions together as well (1.6 times the demand). Warm: demand moved by up to 10 %, prices of the last pass; with the
`highspy` extra also its model kept in memory. Peers: the whole LP without pruning (HiGHS dual simplex through scipy),
each zone to its nearest replicas until they are full, zones in order of demand (nearest with spill-over), and the bound
without capacities.
"""

from __future__ import annotations

import one_thread  # noqa: F401  isort: skip
import argparse
import json
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import linprog
from scipy.sparse import csc_array, eye_array, hstack, kron, vstack

from tasks.placement.decide.traffic import FILL_RATIO, Traffic, decide_traffic
from tasks.placement.decide.traffic_flow import Optimum, unserved_price
from tasks.placement.warm_traffic import WarmSimplex

Floats = NDArray[np.float64]
SIZES = {"50 x 20 x 20": (50, 20, 20), "200 x 50 x 50": (200, 50, 50)}
MUST_S, STRETCH_WARM_S = 3.0, 1.0


def instance(zones: int, functions: int, sites: int, seed: int, *, shared: bool) -> Traffic:
    """One problem."""
    draw = np.random.default_rng(seed)
    here, there = draw.uniform(0, 1, (zones, 2)), draw.uniform(0, 1, (sites, 2))
    far = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1))
    latency = 2 + 80 * far + draw.exponential(3, (zones, sites))
    demand = draw.lognormal(2, 1, (zones, 1)) * draw.lognormal(0, 0.5, (zones, functions))
    placed = draw.random((functions, sites)) < 0.4
    placed[np.arange(functions), draw.integers(0, sites, functions)] = True
    raw = placed * draw.lognormal(0, 0.6, placed.shape)
    capacity = raw / raw.sum(axis=1, keepdims=True) * demand.sum(axis=0)[:, None] * 1.25 / FILL_RATIO
    room = draw.lognormal(0, 0.4, sites) * capacity.sum(axis=0)
    names = [tuple(f"{kind}{at}" for at in range(count)) for kind, count in zip("zfs", (zones, functions, sites),
                                                                               strict=True)]  # fmt: skip
    return Traffic(*names, demand, capacity, latency,
                   site_capacity=room / room.sum() * demand.sum() * 1.6 / FILL_RATIO if shared else None)  # fmt: skip


def nearest_with_spill(traffic: Traffic) -> tuple[float, float]:
    """Mean latency and unserved requests/s of zones that take the nearest replicas with room, the largest first."""
    left = FILL_RATIO * traffic.capacity
    room = np.full(left.shape[1], np.inf) if traffic.site_capacity is None else FILL_RATIO * traffic.site_capacity
    spent = sent = 0.0
    for zone in np.argsort(-traffic.demand.sum(axis=1)):
        for function in range(left.shape[0]):
            wanted = traffic.demand[zone, function]
            for site in np.argsort(traffic.latency_ms[zone]):
                taken = min(wanted, left[function, site], room[site])
                left[function, site] -= taken
                room[site] -= taken
                wanted -= taken
                spent += taken * traffic.latency_ms[zone, site]
                sent += taken
    return spent / sent, float(traffic.demand.sum() - sent)


def whole_lp(traffic: Traffic) -> tuple[float, float]:
    """Mean latency of the LP with every column, and its seconds."""
    zones, functions, sites = *traffic.demand.shape, len(traffic.sites)
    rows = zones * functions
    serve = hstack([kron(eye_array(rows), np.ones((1, sites))), eye_array(rows)])
    per_replica = kron(np.ones((1, zones)), eye_array(functions * sites))
    per_site = kron(np.ones((1, rows)), eye_array(sites))
    load = hstack([vstack([per_replica, per_site]), csc_array((functions * sites + sites, rows))])
    shared = np.full(sites, 1e12) if traffic.site_capacity is None else FILL_RATIO * traffic.site_capacity
    each = np.repeat(traffic.latency_ms, functions, axis=0).reshape(zones, functions, sites).ravel()
    costs = np.concatenate([each, np.full(rows, unserved_price(sites) * each.max())])
    before = time.process_time()
    found = linprog(costs, A_ub=load.tocsc(), b_ub=np.concatenate([FILL_RATIO * traffic.capacity.ravel(), shared]),
                    A_eq=serve.tocsc(), b_eq=traffic.demand.ravel(), method="highs-ds")  # fmt: skip
    return float(found.fun / traffic.demand.sum()), time.process_time() - before


def measured(
    size: tuple[int, int, int], seed: int, optimum: Optimum | None, *, shared: bool, whole: bool
) -> dict[str, Any]:
    """One row of the table."""
    traffic = instance(*size, seed, shared=shared)
    before = time.process_time()
    cold = decide_traffic(traffic, optimum=optimum)
    cold_s = time.process_time() - before
    factor = np.random.default_rng(seed + 1).uniform(0.9, 1.1, traffic.demand.shape)
    moved = Traffic(**{**traffic.__dict__, "demand": traffic.demand * factor})
    before = time.process_time()
    warm = decide_traffic(moved, before=cold.weights, known=cold.prices, optimum=optimum)
    warm_s = time.process_time() - before
    spill_ms, spill_unserved = nearest_with_spill(traffic)
    alone = np.where(traffic.capacity > 0, traffic.latency_ms[:, None], np.inf).min(axis=2)
    told: dict[str, Any] = {
        "optimum_ms": cold.planned_latency_ms, "proven": cold.proven and warm.proven, "cold_cpu_s": round(cold_s, 2),
        "warm_cpu_s": round(warm_s, 2), "unserved": float(cold.unserved.sum()), "weights_ms": cold.mean_latency_ms,
        "overload_ratio": float(cold.overload.sum() / traffic.demand.sum()),
        "largest_change": int(np.abs(warm.weights - cold.weights).max()),
        "spill_over_optimum": spill_ms / cold.planned_latency_ms - 1, "spill_unserved": spill_unserved,
        "bound_without_capacity": float((alone * traffic.demand).sum() / traffic.demand.sum()),
    }  # fmt: skip
    if whole:
        told["whole_lp_ms"], told["whole_lp_cpu_s"] = whole_lp(traffic)
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the small size only")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {}
    for at, (name, size) in enumerate(SIZES.items()):
        if asked.quick and at:
            continue
        for shared in (False, True):
            for solver in ("scipy", "highspy") if find_spec("highspy") else ("scipy",):
                optimum = None if solver == "scipy" else WarmSimplex()
                row = measured(size, 7_000 + 10 * at + shared, optimum, shared=shared, whole=solver == "scipy")
                found[f"{name}{', shared' * shared}, {solver}"] = row
    print(json.dumps(found, indent=2)) if asked.json else _show(found)


def _show(found: dict[str, Any]) -> None:
    table = Table(title=f"zones x functions x sites (200 x 50 x 50 must: optimum in {MUST_S:g} s, 0 unserved; "
                  f"stretch: {STRETCH_WARM_S:g} s warm)")  # fmt: skip
    heads = ("problem", "optimum ms", "proven", "cold / warm CPU-s", "unserved", "rounded to 1 %", "beyond capacity",
             "nearest, spill-over", "its unserved", "no capacities", "whole LP ms, CPU-s")  # fmt: skip
    for head in heads:
        table.add_column(head, justify="right", no_wrap=head == "problem")
    for name, row in found.items():
        best = row["optimum_ms"]
        whole = f"{row['whole_lp_ms']:.4f}, {row['whole_lp_cpu_s']:.2f}" if "whole_lp_ms" in row else "-"
        table.add_row(
            name, f"{best:.4f}", "yes" if row["proven"] else "no", f"{row['cold_cpu_s']} / {row['warm_cpu_s']}",
            f"{row['unserved']:.2g}", f"{row['weights_ms'] / best - 1:+.2%}", f"{row['overload_ratio']:.2%}",
            f"{row['spill_over_optimum']:+.1%}", f"{max(row['spill_unserved'], 0):.1f}",
            f"{row['bound_without_capacity'] / best - 1:+.1%}", whole,
        )  # fmt: skip
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
