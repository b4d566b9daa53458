"""The cheapest flow of requests from zones to replicas: a transport problem, solved on few of its columns and proven.

    min  sum_ufs c_us x_ufs + P sum_uf z_uf
    s.t. sum_s x_ufs + z_uf = demand_uf          price p_uf
         sum_u x_ufs       <= limit_fs           price q_fs >= 0
         sum_uf x_ufs      <= site_limit_s       price r_s >= 0 (only where sites share a limit)

with flows x and what is not served z, requests/s. Of the columns (zone, function, site) only those are given to the
solver whose reduced cost c_us + q_fs + r_s - p_uf is about 0 under the prices known so far: at first the cheapest 8 of
each zone and function, then whatever the last solution's prices call for (sifting; Bixby et al., Operations Research
40(5), 1992). No column of negative reduced cost left proves that the flow is the optimum of the whole problem, pruned
or not. Without shared site limits functions do not touch each other and are solved one by one; with them that solution
gives the first prices. Prices of the last pass choose the first columns of the next, which is the warm start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEAREST = 8
NEAR = 0.005
"""Columns whose reduced cost is within this share of the largest cost are kept for the next solution."""
EXACT = 1e-7
"""A reduced cost above minus this share of the largest cost counts as none."""
ROUNDS = 60


def unserved_price(sites: int) -> float:
    """P, the price of a request that nobody serves, in largest costs of one that somebody does.

    Serving one more may shift others along a chain that meets each site once: it costs at most as many largest costs as
    there are sites. So nothing is left unserved to make others faster (where sites share limits: all but never).
    """
    return sites + 1.0


@dataclass(frozen=True)
class Prices:
    """What one more request (zone, function) costs, and what room at a replica and at a site is worth.

    Attributes
    ----------
    request: (U, F). replica: (F, S) >= 0. site: (S,) >= 0. All in the unit of the costs.
    """

    request: Floats
    replica: Floats
    site: Floats


@dataclass(frozen=True)
class Flow:
    """The cheapest flow.

    Attributes
    ----------
    sent: (U, F, S) requests/s. unserved: (U, F) requests/s. prices: of the last solution.
    proven: whether no column of the whole problem could make it cheaper.
    """

    sent: Floats
    unserved: Floats
    prices: Prices
    proven: bool


@dataclass(frozen=True)
class Solution:
    """Flow (R, S), prices, and what is unserved (R,), of a part on some of its columns."""

    flow: Floats
    prices: Prices
    unserved: Floats


Optimum = Callable[["Part", Bools], Solution]
"""Solves a part on the columns (R, S) that are given, or on more of its columns."""


def cheapest_flow(
    demand: Floats,
    cost: Floats,
    limit: Floats,
    site_limit: Floats,
    known: Prices | None = None,
    optimum: Optimum | None = None,
) -> Flow:
    """Solve it for U zones, F functions and S sites.

    Parameters
    ----------
    demand: (U, F) >= 0 requests/s. cost: (U, S) >= 0 of one request, inf where a zone must not use a site.
    limit: (F, S) requests/s a replica may get, 0 where there is none. site_limit: (S,), inf where sites share none.
    known: prices of an earlier pass. optimum: the solver; None: `by_scipy`.
    """
    optimum = optimum or by_scipy
    zones, functions = demand.shape
    together = np.isfinite(site_limit).any()
    if together and known is None:  # a first guess, cheap as functions are apart
        known = cheapest_flow(demand, cost, limit, np.full_like(site_limit, np.inf), None, optimum).prices
    groups = [np.arange(functions)] if together else [np.array([function]) for function in range(functions)]
    sent = np.zeros((zones, functions, len(site_limit)))
    unserved, request = demand.copy(), np.zeros_like(demand)
    replica, site, proven = np.zeros_like(limit), np.zeros(len(site_limit)), True
    for group in groups:
        asked = np.argwhere(demand[:, group] > 0)
        if not len(asked):
            continue
        here = known and Prices(known.request[:, group], known.replica[group], known.site)
        part = Part(group, demand[:, group], cost, limit[group], site_limit if together else None, asked)
        done = part.solve(here, optimum)
        sent[:, group], unserved[:, group] = done.sent, done.unserved
        request[:, group], replica[group] = done.prices.request, done.prices.replica
        site, proven = done.prices.site, proven and done.proven
    return Flow(sent, unserved, Prices(request, replica, site), proven)


class Part:
    """Functions that are solved together; a row is a (zone, function) with demand, a column a row and a site.

    Attributes
    ----------
    functions: which they are, of all. zone, function: (R,) of each row, `function` counted within the part.
    demand: (R,). cost: (R, S), inf where there is no column. limit: (F, S). site_limit: (S,) or None.
    largest: greatest cost of a column. penalty: price of a request that nobody serves.
    """

    def __init__(
        self, functions: Ints, demand: Floats, cost: Floats, limit: Floats, site_limit: Floats | None, rows: Ints
    ) -> None:
        self.functions = tuple(functions.tolist())
        self.zone, self.function = rows[:, 0], rows[:, 1]
        self.shape = (*demand.shape, limit.shape[1])
        self.demand, self.limit, self.site_limit = demand[self.zone, self.function], limit, site_limit
        open_ = limit[self.function] > 0
        self.cost = np.where(open_, cost[self.zone], np.inf)  # (R, S)
        usable = np.isfinite(self.cost)
        self.largest = float(self.cost[usable].max(initial=0)) or 1.0
        self.penalty = unserved_price(limit.shape[1]) * self.largest

    def solve(self, known: Prices | None, optimum: Optimum) -> Flow:
        """The optimum over all columns."""
        columns = self._nearest() if known is None else self._within(self._reduced(known), NEAR)
        found = optimum(self, columns)
        for _ in range(ROUNDS):
            reduced = self._reduced(found.prices)
            missing = (reduced < -EXACT * self.largest) & ~columns
            if not missing.any():
                return self._flow(found, proven=True)
            cheapest = missing & (reduced <= reduced.min(axis=1, keepdims=True))
            columns = self._within(np.abs(reduced), NEAR) | cheapest | (found.flow > 0)
            found = optimum(self, columns)
        return self._flow(found, proven=False)

    def _nearest(self) -> Bools:
        rank = np.argsort(np.argsort(self.cost, axis=1, kind="stable"), axis=1, kind="stable")
        return (rank < NEAREST) & np.isfinite(self.cost)

    def _reduced(self, prices: Prices) -> Floats:
        asked = prices.request[self.zone, self.function][:, None]
        return np.asarray(self.cost + prices.replica[self.function] + prices.site - asked)

    def _within(self, reduced: Floats, near: float) -> Bools:
        return np.asarray((reduced <= near * self.largest) & np.isfinite(self.cost))

    def _flow(self, found: Solution, *, proven: bool) -> Flow:
        sent, lost = np.zeros(self.shape), np.zeros(self.shape[:2])
        sent[self.zone, self.function], lost[self.zone, self.function] = found.flow, found.unserved
        return Flow(sent, lost, found.prices, proven)


def by_scipy(part: Part, columns: Bools) -> Solution:
    """Solved from nothing by the dual simplex of HiGHS, through scipy."""
    rows, sites = np.nonzero(columns)
    count, width = len(part.demand), part.limit.shape[1]
    ones = np.ones(len(rows) + count)
    served = coo_array((ones, (np.concatenate([rows, np.arange(count)]), np.arange(len(ones)))),
                       shape=(count, len(ones)))  # fmt: skip
    used, at = np.unique(part.function[rows] * width + sites, return_inverse=True)
    room = part.limit.ravel()[used]
    held_rows, held = at, np.arange(len(rows))
    if part.site_limit is not None:
        held_rows, held = np.concatenate([at, len(used) + sites]), np.concatenate([held, held])
        room = np.concatenate([room, np.where(np.isfinite(part.site_limit), part.site_limit, 1e20)])
    loads = coo_array((np.ones(len(held)), (held_rows, held)), shape=(len(room), len(ones)))
    costs = np.concatenate([part.cost[rows, sites], np.full(count, part.penalty)])
    found = linprog(costs / part.largest, A_ub=loads.tocsc(), b_ub=room, A_eq=served.tocsc(), b_eq=part.demand,
                    method="highs-ds", options={"presolve": part.site_limit is not None})  # fmt: skip
    if found.x is None:
        raise ArithmeticError(f"the solver gave up: {found.message}")  # always feasible and bounded
    flow = np.zeros(part.cost.shape)
    flow[rows, sites] = np.maximum(found.x[: len(rows)], 0)
    request, replica = np.zeros(part.shape[:2]), np.zeros(part.limit.size)
    request[part.zone, part.function] = found.eqlin.marginals * part.largest
    replica[used] = -found.ineqlin.marginals[: len(used)] * part.largest
    site = np.zeros(width)
    if part.site_limit is not None:
        site = -found.ineqlin.marginals[len(used) :] * part.largest
    return Solution(flow, Prices(request, replica.reshape(part.limit.shape), site), np.maximum(found.x[len(rows) :], 0))
