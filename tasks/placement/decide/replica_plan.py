"""One set of sites for each function, within the capacities and the budget: by prices, then repaired, then improved.

The budget is reserved: a function may spend only what leaves the cheapest legal set to each that comes after it.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from tasks.placement.decide.replica_sets import Float, Int, Pool, Replicated

SWEEPS = 40
IN_PROGRAM = 6_000  # sets in the program that HiGHS finishes with, the best at the prices
PROGRAM_GAP = 1e-3
NONE = -1


def make_plan(problem: Replicated, pool: Pool, value: Float, time_limit_s: float) -> Int:
    """(F,) row of the pool for each function, `NONE` where nothing fitted. `value` (N,) are priced services."""
    picks = _improved(problem, pool, _constructed(problem, pool, value), value)
    exact, _ = program(problem, pool, value, picks, time_limit_s, PROGRAM_GAP)
    if exact is None:
        return picks
    exact = _improved(problem, pool, exact, value)
    return min((picks, exact), key=lambda each: ((each < 0).sum(), pool.service[each[each >= 0]].sum()))


class Ledger:
    """What is left of the capacities (a last row without limit for absent sites) and of the budget."""

    def __init__(self, problem: Replicated, pool: Pool) -> None:
        self.pool, self.requests = pool, problem.requests
        self.free = np.vstack([problem.capacity * (1 + 1e-9), np.full((1, problem.capacity.shape[1]), np.inf)])
        self.money = problem.budget_usd * (1 + 1e-9)

    def book(self, row: int, sign: float) -> None:
        """Take (-1) or give back (+1) what a set uses."""
        self.free[self.pool.sites[row]] += sign * self.requests[self.pool.function[row]]
        self.free[-1] = np.inf
        self.money += sign * self.pool.usd[row]

    def fits(self, rows: Int, reserve: float = 0.0) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each set fits by itself."""
        asked = self.requests[self.pool.function[rows]]
        room = (self.free[self.pool.sites[rows]] >= asked[:, None, :]).all(axis=(1, 2))
        return np.asarray(room & (self.pool.usd[rows] <= self.money - reserve))


def rows_of(problem: Replicated, pool: Pool) -> list[Int]:
    """Rows of the pool for each function."""
    order = np.argsort(pool.function, kind="stable")
    cuts = np.searchsorted(pool.function[order], np.arange(1, len(problem.functions)))
    return np.split(order, cuts)


def _constructed(problem: Replicated, pool: Pool, value: Float) -> Int:
    """Functions that lose most without their best set first, each the best set that fits and leaves enough money."""
    rows = rows_of(problem, pool)
    cheapest = np.array([pool.usd[each].min() if len(each) else 0.0 for each in rows])
    regret = np.array([_regret(value[each]) for each in rows])
    order = np.lexsort((np.arange(len(rows)), -regret * problem.requests.sum(axis=1)))
    ledger, picks, reserve = Ledger(problem, pool), np.full(len(rows), NONE), float(cheapest.sum())
    for f in order.tolist():
        reserve -= float(cheapest[f])
        fits = rows[f][ledger.fits(rows[f], reserve)]
        if len(fits):
            picks[f] = fits[int(value[fits].argmin())]
            ledger.book(int(picks[f]), -1.0)
    return picks


def _regret(value: Float) -> float:
    if len(value) < 2:
        return 1e300
    two = np.partition(value, 1)[:2]
    return float(two[1] - two[0])


def _improved(problem: Replicated, pool: Pool, picks: Int, value: Float) -> Int:
    """Functions without a set first, then every function changes to a set that serves better, while any can.

    Odd sweeps go by the priced value, so that what is scarce is given back before it is spent again.
    """
    rows, ledger, picks = rows_of(problem, pool), Ledger(problem, pool), picks.copy()
    for row in picks[picks >= 0].tolist():
        ledger.book(row, -1.0)
    best = picks.copy()
    for sweep in range(SWEEPS):
        by = value if sweep % 2 == 0 else pool.service
        changed = 0
        for f in np.argsort(picks >= 0, kind="stable").tolist():
            now = int(picks[f])
            if now >= 0:
                ledger.book(now, 1.0)
            fits = rows[f][ledger.fits(rows[f])]
            to = int(fits[int(by[fits].argmin())]) if len(fits) else now
            to = now if now >= 0 and by[to] >= by[now] - 1e-9 * abs(by[now]) else to
            if to >= 0:
                ledger.book(to, -1.0)
            changed += to != now
            picks[f] = to
        if _rank(pool, picks) < _rank(pool, best):
            best = picks.copy()
        elif sweep % 2:
            break
        if not changed and sweep % 2:
            break
    return best


def _rank(pool: Pool, picks: Int) -> tuple[int, float]:
    return int((picks < 0).sum()), float(pool.service[picks[picks >= 0]].sum())


def program(
    problem: Replicated, pool: Pool, value: Float, picks: Int, time_limit_s: float, gap: float
) -> tuple[Int | None, float]:
    """The best plan made of the sets that are nearly best at the prices, and a bound on all such plans.

    None where HiGHS found no plan in the time.
    """
    least = np.full(len(problem.functions), np.inf)
    np.minimum.at(least, pool.function, value)
    reduced = value - least[pool.function]
    rows = np.argsort(reduced, kind="stable")[:IN_PROGRAM]
    rows = np.unique(np.concatenate([rows, picks[picks >= 0]]))
    count, sites, functions = len(rows), len(problem.sites), len(problem.functions)
    column, f = np.arange(count), pool.function[rows]
    once = sp.csr_matrix((np.ones(count), (f, column)), shape=(functions, count))
    constraints = [LinearConstraint(once, 1, 1),
                   LinearConstraint(pool.usd[rows][None], -np.inf, problem.budget_usd)]  # fmt: skip
    at = pool.sites[rows]
    row, which = np.nonzero(at < sites)
    for r in range(problem.capacity.shape[1]):
        held = sp.csr_matrix((problem.requests[f[row], r], (at[row, which], row)), shape=(sites, count))
        constraints.append(LinearConstraint(held, -np.inf, problem.capacity[:, r]))
    found = milp(pool.service[rows], constraints=constraints, integrality=np.ones(count), bounds=Bounds(0, 1),
                 options={"time_limit": time_limit_s, "mip_rel_gap": gap})  # fmt: skip
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    if found.x is None:
        return None, bound
    chosen = np.flatnonzero(found.x > 0.5)
    plan = np.full(functions, NONE)
    plan[f[chosen]] = rows[chosen]
    return plan, bound
