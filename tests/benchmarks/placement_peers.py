"""What bench_placement compares with: placement one after another, and HiGHS on the whole program."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from tasks.placement.decide.compiled import Compiled
from tasks.placement.decide.construct import place_in_order
from tasks.placement.decide.milp import model_of
from tasks.placement.decide.replica_plan import Ledger, rows_of
from tasks.placement.decide.replica_sets import Replicated, Sets

Ints = NDArray[np.int64]


def first_come(problem: Compiled) -> Ints:
    """In the order of the file, each to its cheapest site that has room."""
    return place_in_order(problem, np.arange(len(problem.members)), problem.cost)


def best_score(problem: Compiled) -> Ints:
    """In the order of the file, each to the best of 0.3 / 0.7 x (1 - cost / dearest) and 0.4 / 0.7 x free share."""
    return _scored(problem, 0.3 / 0.7, 0.4 / 0.7)


def least_allocated(problem: Compiled) -> Ints:
    """In the order of the file, each to the candidate with the largest mean free share (kube-scheduler)."""
    return _scored(problem, 0.0, 1.0)


def _scored(problem: Compiled, by_cost: float, by_room: float) -> Ints:
    picks = np.full(len(problem.members), -1)
    free, capacity = problem.capacity.copy(), np.maximum(problem.capacity, 1e-12)
    for unit in range(len(picks)):
        sites, cost = problem.site[unit], problem.cost[unit]
        good = np.isfinite(cost) & (free[sites] >= problem.requests[unit]).all(axis=1)
        if not good.any():
            continue
        room = ((free[sites] - problem.requests[unit]) / capacity[sites]).mean(axis=1)
        score = by_cost * (1 - np.where(good, cost, 0.0) / cost[np.isfinite(cost)].max()) + by_room * room
        picks[unit] = int(np.where(good, score, -np.inf).argmax())
        free[sites[picks[unit]]] -= problem.requests[unit]
    return picks


def lp_bound(problem: Compiled) -> float:
    """The value of the linear program over all candidates."""
    model = model_of(problem)
    found = linprog(model.cost, A_ub=model.held, b_ub=model.room, A_eq=model.once, b_eq=np.ones(len(problem.members)),
                    bounds=(0, 1), method="highs")  # fmt: skip
    return float(found.fun)


def highs(problem: Compiled, seconds: float) -> tuple[int, float]:
    """Units left out and cost of what HiGHS finds for the whole program; leaving one out costs 10 of the dearest."""
    model, count = model_of(problem), len(problem.members)
    cost = np.r_[model.cost, np.full(count, 10 * model.cost.max())]
    rows = [LinearConstraint(sp.hstack([model.once, sp.eye(count)]).tocsr(), 1, 1),
            LinearConstraint(sp.hstack([model.held, sp.csr_matrix((model.held.shape[0], count))]).tocsr(),
                             -np.inf, model.room)]  # fmt: skip
    found = milp(cost, constraints=rows, integrality=np.ones(len(cost)), bounds=Bounds(0, 1),
                 options={"time_limit": seconds})  # fmt: skip
    if found.x is None:
        return count, 0.0
    return round(float(found.x[len(model.cost) :].sum())), float(model.cost @ found.x[: len(model.cost)])


def functions_without_prices(problem: Replicated) -> int:
    """Functions that are left out if each takes, one after another, the legal set that serves it best."""
    pool = Sets(problem).first_pool()
    ledger, left = Ledger(problem, pool), 0
    for rows in rows_of(problem, pool):
        fits = rows[ledger.fits(rows)]
        if len(fits):
            ledger.book(int(fits[int(pool.service[fits].argmin())]), -1.0)
        left += not len(fits)
    return left
