"""Where to open sites: p-median, facility location with opening costs, and with capacities.

Without capacities: prices of the clients prove a bound, their open sets are improved by interchange. With capacities:
the strong formulation x_ij <= y_i for HiGHS; the weak one (sum_j x_ij <= n y_i) is ten times slower.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from blocks.errors import InvalidInput
from tasks.placement.decide.interchange import interchange
from tasks.placement.decide.outcome import gap_of
from tasks.placement.decide.scores import Scores
from tasks.placement.problem import Problem

Float = NDArray[np.float64]
Int = NDArray[np.int64]

PASSES = 300
HALVE_AFTER = 12
MEMORY = 0.7  # of the last direction in the next one
TARGET_ABOVE = 0.02
TRIED = 8  # open sets of the price search that are improved by interchange
EXACT_GAP = 1e-6


@dataclass(frozen=True, eq=False)
class Facilities:
    """I clients and J sites.

    Attributes
    ----------
    cost: (I, J) of serving the whole client from a site; infinite where that is barred.
    open_cost: (J,). count: exactly so many are opened; None: as many as pay.
    requests: (I, R) and capacity: (J, R); R = 0 where nothing limits a site.
    split: a client may be served from several sites in parts (OR-Library's `cap`).
    """

    clients: tuple[str, ...]
    sites: tuple[str, ...]
    cost: Float
    open_cost: Float
    count: int | None = None
    requests: Float | None = None
    capacity: Float | None = None
    split: bool = False


@dataclass(frozen=True)
class Opened:
    """Sites to open, the site of each client (the one with the largest part where clients are split), and the proof."""

    open: tuple[str, ...]
    assignments: tuple[tuple[str, str], ...]
    objective: float
    bound: float
    gap: float

    def to_record(self) -> dict[str, object]:
        """As JSON, in the fields of `continuum place sites --json`."""
        return {"open": list(self.open), "objective": self.objective, "bound": self.bound, "gap": self.gap}


def facilities_of(problem: Problem) -> Facilities:
    """Clients are the workloads, one for each replica; without any the user zones, by latency.

    Raises
    ------
    InvalidInput: there is neither a workload nor a zone.
    """
    scores = Scores(problem)
    names = tuple(site.name for site in scores.sites)
    open_cost = np.array([site.open_cost for site in scores.sites])
    count = problem.open.count if problem.open else None
    if not problem.workloads:
        if not scores.zones:
            raise InvalidInput("there is neither a workload nor a zone", where="problem",
                               fix="add workloads with a cost per site, or zones with latency_ms")  # fmt: skip
        cost = np.where(np.isnan(scores.latency_ms), np.inf, scores.latency_ms)
        return Facilities(scores.zones, names, cost, open_cost, count)
    ordered = sorted(problem.workloads, key=lambda each: each.name)
    rows, clients, requests = [], [], []
    for each in ordered:
        at, cost_there = scores.costs(each)
        row = np.full(len(names), np.inf)
        row[at] = cost_there
        for _ in range(each.replicas):
            rows.append(row)
            clients.append(each.name)
            requests.append(scores.requests(each))
    asked = np.array(requests)
    found = Facilities(tuple(clients), names, np.array(rows), open_cost, count)
    return replace(found, requests=asked, capacity=scores.capacity) if asked.any() else found


def decide_sites(facilities: Facilities, time_limit_s: float = 20.0) -> Opened:
    """Which sites to open, at least cost of opening and serving, with a proven bound. Pure and deterministic.

    Raises
    ------
    InvalidInput: no choice of sites can serve all clients.
    """
    order = np.argsort(np.array(facilities.sites), kind="stable")
    rows = np.argsort(np.array(facilities.clients), kind="stable")
    if facilities.requests is None or facilities.capacity is None:
        turned = replace(facilities, cost=facilities.cost[np.ix_(rows, order)],
                         open_cost=facilities.open_cost[order])  # fmt: skip
        chosen, serving, bound = _uncapacitated(turned)
        bound = _rounded(turned, bound)
    else:
        turned = replace(facilities, cost=facilities.cost[np.ix_(rows, order)], open_cost=facilities.open_cost[order],
                         requests=facilities.requests[rows], capacity=facilities.capacity[order])  # fmt: skip
        chosen, serving, bound = _capacitated(turned, time_limit_s)
    objective = float((turned.cost[serving > 0] * serving[serving > 0]).sum() + turned.open_cost[chosen].sum())
    names = [facilities.sites[site] for site in order.tolist()]
    to = serving.argmax(axis=1).tolist()
    pairs = [(facilities.clients[row], names[site]) for row, site in zip(rows.tolist(), to, strict=True)]
    bound = min(bound, objective)
    return Opened(tuple(sorted(names[site] for site in chosen.tolist())), tuple(pairs), objective, bound,
                  gap_of(objective, bound))  # fmt: skip


def _rounded(facilities: Facilities, bound: float) -> float:
    """A bound rounded up where every cost is a whole number, so that every objective is one too."""
    known = np.concatenate([facilities.cost[np.isfinite(facilities.cost)], facilities.open_cost])
    return float(np.ceil(bound - 1e-6)) if (known == np.round(known)).all() else bound


def _uncapacitated(facilities: Facilities) -> tuple[Int, Float, float]:
    """Open sites, (I, J) shares, bound."""
    cost = facilities.cost
    barred = float(np.where(np.isfinite(cost), cost, 0.0).sum() + facilities.open_cost.sum()) * 2 + 1
    solid = np.where(np.isfinite(cost), cost, barred)  # a finite stand-in that no plan can afford
    bound, starts = _client_prices(solid, facilities.open_cost, facilities.count)
    results = [interchange(solid, facilities.open_cost, start, facilities.count is None) for start in starts]
    chosen, value = min(results, key=lambda each: (each[1], each[0].tolist()))
    if value >= barred:
        raise InvalidInput("no choice of sites can serve all clients", where="problem.open",
                           fix="open more sites, or allow more sites per workload")  # fmt: skip
    serving = np.zeros(cost.shape)
    serving[np.arange(len(cost)), chosen[cost[:, chosen].argmin(axis=1)]] = 1.0
    return chosen, serving, bound


def _client_prices(cost: Float, open_cost: Float, count: int | None) -> tuple[float, list[Int]]:
    """A bound and promising open sets: Lagrangian relaxation of "every client is served once".

    With prices l_i, site j is worth rho_j = f_j + sum_i min(0, c_ij - l_i); the bound is sum_i l_i plus the `count`
    smallest rho (all below zero without a count). Narula, Ogbu and Samuelsson (1977); Beasley (1993).
    """
    two = np.partition(cost, min(1, cost.shape[1] - 1), axis=1)
    price = two[:, min(1, cost.shape[1] - 1)].copy()
    best, theta, since, direction = -np.inf, 1.0, 0, np.zeros(len(cost))
    seen: dict[bytes, tuple[float, Int]] = {}
    upper = np.inf
    for _ in range(PASSES):
        reduced = cost - price[:, None]
        served = reduced < 0
        rho = np.einsum("ij,ij->j", reduced, served) + open_cost
        chosen = np.sort(np.argsort(rho, kind="stable")[:count]) if count else np.flatnonzero(rho < 0)
        value = float(price.sum() + rho[chosen].sum())
        since = 0 if value > best + 1e-5 * abs(best) else since + 1
        best = max(best, value)
        if since >= HALVE_AFTER:
            theta, since = theta / 2, 0
        tried = chosen if len(chosen) else np.array([int(rho.argmin())])
        whole = float(cost[:, tried].min(axis=1).sum() + open_cost[tried].sum())
        seen[tried.tobytes()] = (whole, tried)
        upper = min(upper, whole)
        direction = (1.0 - served[:, chosen].sum(axis=1)) + MEMORY * direction
        norm = float((direction**2).sum())
        if norm < 1e-12 or upper - best <= 1e-9 * abs(upper) or theta < 1e-4:
            break
        aim = min(upper, best + TARGET_ABOVE * max(abs(best), 1e-9))
        price = price + theta * max(aim - value, 0.0) / norm * direction
    ranked = sorted(seen.values(), key=lambda each: (each[0], each[1].tolist()))[:TRIED]
    return best, [each for _, each in ranked]


def _capacitated(facilities: Facilities, time_limit_s: float) -> tuple[Int, Float, float]:
    """Open sites, (I, J) shares, bound: the strong formulation."""
    cost, requests, capacity = facilities.cost, facilities.requests, facilities.capacity
    assert requests is not None
    assert capacity is not None
    client, site = np.nonzero(np.isfinite(cost))
    cells, sites, clients = len(client), cost.shape[1], len(cost)
    column, ones = np.arange(cells), np.ones(cells)
    size = cells + sites
    served = sp.csr_matrix((ones, (client, column)), shape=(clients, size))
    strong = sp.csr_matrix((np.r_[ones, -ones], (np.r_[column, column], np.r_[column, cells + site])),
                           shape=(cells, size))  # fmt: skip
    rows = [LinearConstraint(served, 1, 1), LinearConstraint(strong, -np.inf, 0)]
    for r in range(requests.shape[1]):
        load = sp.csr_matrix((np.r_[requests[client, r], -capacity[:, r]],
                              (np.r_[site, np.arange(sites)], np.r_[column, cells + np.arange(sites)])),
                             shape=(sites, size))  # fmt: skip
        rows.append(LinearConstraint(load, -np.inf, 0))
        # what all clients ask for together must be open: implied, and it lifts the bound
        rows.append(LinearConstraint(np.r_[np.zeros(cells), capacity[:, r]][None], requests[:, r].sum(), np.inf))
    if facilities.count is not None:
        rows.append(LinearConstraint(np.r_[np.zeros(cells), np.ones(sites)][None], facilities.count, facilities.count))
    whole = np.r_[np.zeros(cells) if facilities.split else ones, np.ones(sites)]
    found = milp(np.r_[cost[client, site], facilities.open_cost], constraints=rows, integrality=whole,
                 bounds=Bounds(0, 1), options={"time_limit": time_limit_s, "mip_rel_gap": EXACT_GAP})  # fmt: skip
    if found.x is None:
        raise InvalidInput("no choice of sites can serve all clients" if found.status == 2 else
                           f"no plan was found within {time_limit_s:g} s", where="problem",
                           fix="add capacity, open more sites, or give more time")  # fmt: skip
    serving = np.zeros(cost.shape)
    serving[client, site] = found.x[:cells] if facilities.split else np.round(found.x[:cells])
    serving[serving < 1e-9] = 0.0
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    return np.flatnonzero(found.x[cells:] > 0.5), serving, bound
