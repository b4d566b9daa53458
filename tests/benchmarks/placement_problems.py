"""Generated problems of bench_placement: OR-Library-like graphs and facilities, functions on replicated sites."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.placement.decide.facility import Facilities
from tasks.placement.decide.replica_sets import Replicated
from tasks.placement.files import graph_facilities

# nodes and p of OR-Library's pmed1-40
PMED = [(n, p) for n in range(100, 700, 100) for p in (5, 10, n // 10, n // 5, n // 3)]
PMED += [(700, 5), (700, 10), (700, 70), (700, 140), (800, 5), (800, 10), (800, 80), (900, 5), (900, 10), (900, 90)]
# sites and opening cost of cap71-74, 101-104, 131-134: 50 clients, capacities that do not bind
CAP = [(sites, cost) for sites in (16, 25, 50) for cost in (7_500, 12_500, 17_500, 25_000)]


def pmed(nodes: int, p: int, seed: int) -> Facilities:
    """A random connected graph with n^2 / 50 edges of length 1 to 100, complete to shortest paths (Beasley 1985)."""
    rng = np.random.default_rng([seed, nodes, p])
    count = nodes * nodes // 50
    tree = np.column_stack([np.arange(1, nodes), (rng.random(nodes - 1) * np.arange(1, nodes)).astype(np.int64)])
    edges = np.concatenate([rng.integers(0, nodes, (count, 2)), tree])
    return graph_facilities(nodes, edges, rng.integers(1, 101, len(edges)).astype(np.float64), p)


def cap(sites: int, open_cost: float, seed: int) -> Facilities:
    """50 clients in a square, demand lognormal, cost by demand x distance, about 5 of the sites open at the best."""
    rng = np.random.default_rng([seed, sites, int(open_cost)])
    clients, places, demand = rng.random((50, 2)), rng.random((sites, 2)), rng.lognormal(6, 1, (50, 1))
    cost = np.linalg.norm(clients[:, None] - places[None], axis=2) * demand * 540_000 / demand.sum()
    return Facilities(tuple(f"c{row:02}" for row in range(50)), tuple(f"s{row:02}" for row in range(sites)), cost,
                      np.full(sites, float(open_cost)), requests=demand,
                      capacity=np.full((sites, 1), float(demand.sum())), split=True)  # fmt: skip


def binding_cap(sites: int, open_cost: float, seed: int) -> Facilities:
    """The same where a site holds a fifth of all demand: harder than OR-Library's."""
    loose = cap(sites, open_cost, seed)
    assert loose.requests is not None
    return replace(loose, capacity=np.full((sites, 1), float(loose.requests.sum()) / 5))


def functions(count: int, sites: int, zones: int, seed: int) -> Replicated:
    """Functions with demand in a tenth of the zones; capacities for three replicas of each, the budget below two.

    The budget is 1.95 times what the cheapest legal number of the cheapest sites costs.
    """
    rng = np.random.default_rng([seed, count, sites, zones])
    at, users = rng.random((sites, 2)), rng.random((zones, 2))
    away = np.linalg.norm(users[:, None] - at[None], axis=2)
    latency_ms = 2 + 80 * away * rng.uniform(0.9, 1.2, away.shape)
    demand = np.where(rng.random((count, zones)) < 0.1, rng.lognormal(1, 1, (count, zones)), 0.0)
    demand[np.arange(count), rng.integers(0, zones, count)] += 1.0
    requests = rng.choice([0.5, 1.0, 2.0, 4.0], (count, 1))
    usd = requests * rng.uniform(0.5, 2.0, sites)
    down = np.log(1 - rng.uniform(0.97, 0.999, sites))
    limit = np.log(1 - rng.choice([0.95, 0.99, 0.999], count))
    share = rng.lognormal(0, 0.4, (sites, 1))
    capacity = np.maximum(share / share.sum() * requests.sum() * 3.0, 4.0)
    need = np.searchsorted(-np.cumsum(np.sort(down)), -limit) + 1
    least = sum(float(np.sort(usd[row])[:number].sum()) for row, number in enumerate(need.tolist()))
    return Replicated(tuple(f"f{row:04}" for row in range(count)), tuple(f"s{row:03}" for row in range(sites)), demand,
                      latency_ms, requests, capacity, usd, 1.95 * least, down, limit)  # fmt: skip


def spent_budget(count: int, sites: int, zones: int, seed: int) -> Replicated:
    """The same with a budget of 1.65 times the least; whether a plan for every function exists is not known."""
    loose = functions(count, sites, zones, seed)
    return replace(loose, budget_usd=loose.budget_usd * 1.65 / 1.95)
