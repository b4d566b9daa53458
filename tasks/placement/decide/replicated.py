"""Functions on one to three sites each: least demand x latency within capacities, one budget and an availability.

min sum_fu d_fu min_{s in S_f} l_us over sets S_f of 1 to 3 sites with sum_{s in S_f} log(1 - a_s) <= log(1 - A_f),
sum_f m_fr [s in S_f] <= C_sr and sum_f sum_{s in S_f} usd_fs <= B. Prices on the capacities and the budget make the
functions independent; the best set of each at these prices is known exactly (`replica_sets`), so their sum is a bound.
The plan is then made of the sets that are nearly best at the prices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from blocks.errors import InvalidInput
from tasks.placement.decide.outcome import gap_of
from tasks.placement.decide.replica_plan import IN_PROGRAM, make_plan, program
from tasks.placement.decide.replica_sets import FULL_SITES, Float, Int, Pool, Replicated, Sets

ROUNDS = 12  # of prices, then new sets at the new prices, at most
STAYING, ENTERING = 6, 4  # sets of a function that stay in the pool, and that come into it, in each round
NEAR = 0.05  # share of a function's best value beyond which none come in
CLOSE = 5e-3  # share of the program's value up to which the bound is as good as it
GUESSES = (0.0, 0.25, 1.0, 4.0, 16.0)  # prices of the budget for the first pool, of what all service is worth
KEPT = 40  # sets of a function in the first pool
WITHIN = 0.005  # share of a function's best value in which new sets are looked for
PENALTY = 8.0  # for exceeding a limit by all of itself, of the service of all functions at their best
EXACT_GAP = 1e-7
SINGLE = 1e-6  # relative error of services in single precision, taken off the bound


@dataclass(frozen=True, eq=False)
class ReplicaPrices:
    """(J, R) price of a unit of each resource at each site, and of one USD of the budget."""

    capacity: Float
    budget: float


@dataclass(frozen=True, eq=False)
class ReplicaPlan:
    """Sites of each function (empty for one that got none), demand x latency, and how far from the best it can be.

    Where a function got no site nothing is proven: the bound and the gap are infinite.
    """

    sites: tuple[tuple[str, ...], ...]
    objective: float
    bound: float
    gap: float
    usd: float
    unplaced: tuple[str, ...]
    prices: ReplicaPrices


def decide_replicas(problem: Replicated, prices: ReplicaPrices | None = None, time_limit_s: float = 5.0) -> ReplicaPlan:
    """A plan for every function, with its bound. Pure; deterministic unless HiGHS reaches its time limit.

    Raises
    ------
    InvalidInput: a function has no legal set of sites at all, whatever the capacities and the budget.
    """
    sets = Sets(problem)
    whole = sets.first_pool()
    missing = np.setdiff1d(np.arange(len(problem.functions)), whole.function)
    if len(missing):
        worth = np.zeros_like(problem.usd)
        _, more = sets.best_at(worth, WITHIN, np.full(len(worth), np.inf))
        lacking = np.setdiff1d(missing, more.function)
        if len(lacking):
            name = problem.functions[int(lacking[0])]
            raise InvalidInput(f"no {problem.most} sites where it may stand reach its availability together",
                               where=f"function {name}",
                               fix="allow it more sites, or lower its availability")  # fmt: skip
        whole = Pool.join(whole, more)
    pool = _first_pool(problem, whole, prices)
    bound, best = -np.inf, ReplicaPrices(np.zeros_like(problem.capacity), 0.0)
    for number in range(ROUNDS):
        found, upper = _prices_of(problem, pool)
        value = values(problem, whole, found)
        known = np.full(len(problem.functions), np.inf)
        np.minimum.at(known, whole.function, value)
        kept = _nearest(pool, values(problem, pool, found), STAYING)
        near = np.flatnonzero(value <= known[whole.function] + NEAR * abs(known[whole.function]))
        pool = Pool.join(kept, _nearest(whole.take(near), value[near], ENTERING))
        income = _income(problem, found)
        if number < ROUNDS - 1 and known.sum() - income < upper - CLOSE * abs(upper):
            continue  # the first pool itself has better sets at these prices: no need to scan all of them yet
        least, more = sets.best_at(_worth(problem, found), WITHIN, known)
        proven = float(least.sum()) * (1 - SINGLE) - income
        if proven > bound:
            bound, best = proven, found
        whole, pool = Pool.join(whole, more), Pool.join(pool, more)
        if bound >= upper - CLOSE * abs(upper):
            break
    plan = _planned(problem, pool, best, bound, time_limit_s)
    return _finished(problem, whole, plan, time_limit_s) if len(problem.sites) <= FULL_SITES else plan


def _finished(problem: Replicated, whole: Pool, plan: ReplicaPlan, time_limit_s: float) -> ReplicaPlan:
    """The best plan of all, where the pool holds all sets: those that cost more than the gap can be in none better."""
    if plan.unplaced or plan.gap <= SINGLE:
        return plan
    value = values(problem, whole, plan.prices)
    least = np.full(len(problem.functions), np.inf)
    np.minimum.at(least, whole.function, value)
    bound = float(least.sum()) * (1 - SINGLE) - _income(problem, plan.prices)
    slack = plan.objective - bound + SINGLE * abs(plan.objective)
    rows = np.flatnonzero(value - least[whole.function] <= slack)
    if len(rows) > IN_PROGRAM:
        return plan
    pool = whole.take(rows)
    picks, proven = program(problem, pool, value[rows], np.zeros(0, np.int64), time_limit_s, EXACT_GAP)
    bound = max(bound, proven)
    if picks is None or float(pool.service[picks].sum()) > plan.objective:
        return replace(plan, bound=min(bound, plan.objective), gap=gap_of(plan.objective, bound))
    return _plan_of(problem, pool, picks, plan.prices, bound)


def values(problem: Replicated, pool: Pool, prices: ReplicaPrices) -> Float:
    """(N,) service of each set with what its replicas are worth."""
    total = pool.service + prices.budget * pool.usd
    for r in range(problem.capacity.shape[1]):
        padded = np.append(prices.capacity[:, r], 0.0)
        worth = padded[pool.sites[:, 0]] + padded[pool.sites[:, 1]] + padded[pool.sites[:, 2]]
        total += problem.requests[pool.function, r] * worth
    return np.asarray(total)


def _worth(problem: Replicated, prices: ReplicaPrices) -> Float:
    """(F, J) price of a replica."""
    return np.asarray(prices.budget * problem.usd + problem.requests @ prices.capacity.T)


def _income(problem: Replicated, prices: ReplicaPrices) -> float:
    return float((prices.capacity * problem.capacity).sum() + prices.budget * problem.budget_usd)


def _nearest(pool: Pool, value: Float, count: int) -> Pool:
    """The best `count` sets of each function."""
    order = np.lexsort((value, pool.function))
    function = pool.function[order]
    begins = np.r_[True, function[1:] != function[:-1]]
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    return pool.take(order[place < count])


def _first_pool(problem: Replicated, whole: Pool, prices: ReplicaPrices | None) -> Pool:
    """Sets that are good at the prices of the pass before; without any, at every price of the budget."""
    if prices is not None:
        return _nearest(whole, values(problem, whole, prices), KEPT)
    least = np.full(len(problem.functions), np.inf)
    np.minimum.at(least, whole.function, whole.service)
    worth = float(least.sum()) / max(problem.budget_usd, 1e-12)
    none = np.zeros_like(problem.capacity)
    parts = [_nearest(whole, values(problem, whole, ReplicaPrices(none, worth * factor)), KEPT // len(GUESSES))
             for factor in GUESSES]  # fmt: skip
    return reduce(Pool.join, parts)


def _prices_of(problem: Replicated, pool: Pool) -> tuple[ReplicaPrices, float]:
    """The prices, and the value, of the linear program over one pool: the duals of its capacities and its budget.

    All rows are scaled to a right-hand side of one. Each may be exceeded at a penalty, so that a pool without any plan
    has prices too, and none runs away.
    """
    count, sites, resources = len(pool.function), *problem.capacity.shape
    column, capacity = np.arange(count), np.maximum(problem.capacity, 1e-12)
    once = sp.csr_matrix((np.ones(count), (pool.function, column)), shape=(len(problem.functions), count))
    row, which = np.nonzero(pool.sites < sites)
    at = pool.sites[row, which]
    held = [sp.csr_matrix((problem.requests[pool.function[row], r] / capacity[at, r], (at, row)), shape=(sites, count))
            for r in range(resources)]  # fmt: skip
    paid = sp.csr_matrix(pool.usd[None] / max(problem.budget_usd, 1e-12))
    limits = sp.vstack([*held, paid])
    rows = limits.shape[0]
    penalty = PENALTY * float(np.minimum.reduceat(pool.service, _begins(pool.function)).sum())
    found = linprog(
        np.r_[pool.service, np.full(rows, penalty)],
        A_ub=sp.hstack([limits, -sp.eye(rows)]).tocsr(), b_ub=np.ones(rows),
        A_eq=sp.hstack([once, sp.csr_matrix((len(problem.functions), rows))]).tocsr(),
        b_eq=np.ones(len(problem.functions)), method="highs",
    )  # fmt: skip
    if found.ineqlin is None or found.x is None:
        return ReplicaPrices(np.zeros_like(capacity), 0.0), np.inf
    worth = np.maximum(-found.ineqlin.marginals, 0.0)
    price = worth[:-1].reshape(resources, sites).T / capacity
    return ReplicaPrices(price, float(worth[-1]) / max(problem.budget_usd, 1e-12)), float(found.fun)


def _begins(function: Int) -> Int:
    """First row of each function in an ordered pool."""
    return np.flatnonzero(np.r_[True, function[1:] != function[:-1]])


def _planned(problem: Replicated, pool: Pool, prices: ReplicaPrices, bound: float, time_limit_s: float) -> ReplicaPlan:
    picks = make_plan(problem, pool, values(problem, pool, prices), time_limit_s)
    return _plan_of(problem, pool, picks, prices, bound)


def _plan_of(problem: Replicated, pool: Pool, picks: Int, prices: ReplicaPrices, bound: float) -> ReplicaPlan:
    sites = [tuple(problem.sites[s] for s in pool.sites[row].tolist() if s < len(problem.sites)) if row >= 0 else ()
             for row in picks.tolist()]  # fmt: skip
    placed = picks[picks >= 0]
    unplaced = tuple(problem.functions[f] for f in np.flatnonzero(picks < 0).tolist())
    objective = float(pool.service[placed].sum())
    bound = -np.inf if unplaced else min(bound, objective)
    gap = np.inf if unplaced else gap_of(objective, bound)
    return ReplicaPlan(tuple(sites), objective, bound, gap, float(pool.usd[placed].sum()),
                       unplaced, prices)  # fmt: skip
