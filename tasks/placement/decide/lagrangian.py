"""Prices of the sites' resources, and a bound on what any placement costs.

Relaxing the capacities of min sum c_ij x_ij, sum_j x_ij = 1, sum_i a_ir x_ij <= C_jr with prices pi_jr >= 0 leaves, for
every unit, the cheapest site at its priced cost: LB(pi) = sum_i min_j (c_ij + sum_r pi_jr a_ir) - sum_jr pi_jr C_jr.
Fisher (1981), The Lagrangian relaxation method for solving integer programming problems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.placement.decide.compiled import Compiled, Float, Int

PASSES = 250
WARM_PASSES = 30
HALVE_AFTER = 10  # passes without a better bound before the step is halved
TARGET_ABOVE = 0.03  # how far above the best bound the step aims, as a share of it
MEMORY = 0.8  # of the last direction in the next one: damps the zigzag (Camerini, Fratta and Maffioli 1975)


@dataclass(frozen=True, eq=False)
class Prices:
    """(J, R) prices of one unit of a resource, in units of cost, and the bound that they prove."""

    price: Float
    bound: float


def priced(problem: Compiled, price: Float) -> Float:
    """(W, K) cost of each candidate with what its resources are worth there."""
    total = problem.cost.copy()
    for column in range(len(problem.resources)):
        total += price[:, column][problem.site] * problem.requests[:, column, None]
    return total


def _bound_at(problem: Compiled, price: Float) -> float:
    """The bound that prices prove; also for the sites that were left out of the candidates, whose prices are >= 0."""
    least = _least_priced(priced(problem, price).min(axis=1), problem.floor)
    return float(least.sum() - (price * problem.capacity).sum())


def _least_priced(total: Float, floor: Float) -> Float:
    """(W,) least priced cost of each unit; 0 for one that may stand nowhere, of which prices say nothing."""
    least = np.minimum(total, floor)
    return np.where(np.isfinite(least), least, 0.0)


def find_prices(problem: Compiled, start: Float | None = None, passes: int | None = None) -> Prices:
    """The best prices of a deflected subgradient search.

    Parameters
    ----------
    start:
        (J, R) prices of the pass before; with them fewer passes are enough.
    passes:
        how many; by default `PASSES`, or `WARM_PASSES` from a start.
    """
    sites, resources = problem.capacity.shape
    price = np.zeros((sites, resources)) if start is None else start.copy()
    if not len(problem.members) or not resources:
        return Prices(price, _bound_at(problem, price))
    scale = np.maximum(problem.requests.mean(axis=0), 1e-12)  # resources are made alike for the search
    requests, capacity = problem.requests / scale, problem.capacity / scale
    price = price * scale
    best, best_price, since = -np.inf, price, 0
    theta, direction = 1.0 if start is None else 0.3, np.zeros_like(price)
    rows, usable = np.arange(len(requests)), np.isfinite(problem.cost).any(axis=1, keepdims=True)
    for _ in range(passes or (PASSES if start is None else WARM_PASSES)):
        total = problem.cost.copy()
        for column in range(resources):
            total += price[:, column][problem.site] * requests[:, column, None]
        pick = total.argmin(axis=1)
        least = _least_priced(total[rows, pick], problem.floor)
        value = float(least.sum() - (price * capacity).sum())
        if value > best:
            since = 0 if value > best + 1e-5 * abs(best) else since + 1
            best, best_price = value, price
        else:
            since += 1
        if since >= HALVE_AFTER:
            theta, since = theta / 2, 0
        at = problem.site[rows, pick]
        excess = _loads(at, requests * usable, sites) - capacity
        direction = excess + MEMORY * direction
        direction = np.where((price <= 0) & (direction < 0), 0.0, direction)
        norm = float((direction * direction).sum())
        if norm <= 1e-12:
            break
        aim = best + TARGET_ABOVE * max(abs(best), 1e-9)
        price = np.maximum(price + theta * (aim - value) / norm * direction, 0.0)
    return Prices(best_price / scale, _bound_at(problem, best_price / scale))


def _loads(at: Int, requests: Float, sites: int) -> Float:
    """(J, R) what stands at each site."""
    columns = [np.bincount(at, weights=requests[:, r], minlength=sites) for r in range(requests.shape[1])]
    return np.stack(columns, axis=1)
