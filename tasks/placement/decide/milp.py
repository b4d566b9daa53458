"""The exact engine: a mixed-integer program for HiGHS through scipy, and a search for any valid placement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from tasks.placement.decide.compiled import Bool, Compiled, Float, Int
from tasks.placement.decide.construct import NOWHERE

OPTIMAL, LIMIT, INFEASIBLE = 0, 1, 2  # scipy's status codes
RELATIVE_GAP = 1e-6
NARROW_TIME = 0.2  # of the time limit, for the narrow search
NARROW = 6  # candidates, the best by priced cost, among which any valid placement is looked for first


@dataclass(frozen=True, eq=False)
class Exact:
    """Picks (W,), a bound on the cost of all placements that place as many units, and whether it is optimal."""

    picks: Int
    bound: float
    optimal: bool


@dataclass(frozen=True, eq=False)
class Model:
    """Cells: one binary variable for each unit and candidate. Rows: one site each, capacities, conflicts."""

    unit: Int
    pick: Int
    cost: Float
    once: sp.csr_matrix  # (W, cells)
    held: sp.csr_matrix  # (J x R, cells): loads by resource, then site
    room: Float  # (J x R,)
    apart: sp.csr_matrix  # (conflicts, cells), each at most 1


def model_of(problem: Compiled, usable: Bool | None = None) -> Model:
    """The program of all candidates, or of the `usable` (W, K) ones."""
    cells = np.isfinite(problem.cost) if usable is None else usable & np.isfinite(problem.cost)
    unit, pick = np.nonzero(cells)
    count, site = len(unit), problem.site[unit, pick]
    columns, sites = np.arange(count), len(problem.sites)
    once = sp.csr_matrix((np.ones(count), (unit, columns)), shape=(len(problem.members), count))
    parts = [sp.csr_matrix((problem.requests[unit, r], (site, columns)), shape=(sites, count))
             for r in range(len(problem.resources))]  # fmt: skip
    held = sp.vstack(parts).tocsr() if parts else sp.csr_matrix((0, count))
    room = problem.capacity.T.ravel()
    return Model(unit, pick, problem.cost[unit, pick], once, held, room, _apart(problem, unit, site))


def _apart(problem: Compiled, unit: Int, site: Int) -> sp.csr_matrix:
    """One row for each conflict and each site (or region) where both units could stand."""
    cells: dict[int, list[int]] = {}
    for cell, each in enumerate(unit.tolist()):
        cells.setdefault(each, []).append(cell)
    row, column, count = [], [], 0
    for a, b, level in problem.conflicts:
        key = problem.keys[level] if problem.keys is not None else np.arange(len(problem.sites))
        by_key: dict[int, list[int]] = {}
        for cell in cells.get(a, []) + cells.get(b, []):
            by_key.setdefault(int(key[site[cell]]), []).append(cell)
        for group in by_key.values():
            if len({int(unit[cell]) for cell in group}) == 2:
                row += [count] * len(group)
                column += group
                count += 1
    return sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(count, len(unit)))


def solve_exact(problem: Compiled, time_limit_s: float) -> Exact | None:
    """The cheapest placement of all units; where none exists, of as many replicas as possible.

    None where the time was over before any placement was found.
    """
    model = model_of(problem)
    if not len(problem.members):
        return Exact(np.zeros(0, np.int64), 0.0, True)
    x, status, bound = _solve(model, model.cost, 1, time_limit_s)
    if x is not None:
        return Exact(_picks(problem, model, x), min(bound, float(model.cost @ x)), status == OPTIMAL)
    if status != INFEASIBLE:
        return None
    weight = np.array([len(members) for members in problem.members], np.float64)[model.unit]
    most, status, _ = _solve(model, -weight, 0, time_limit_s)
    if most is None:
        return None
    placed = (weight, round(float(weight @ most)))
    x, second, bound = _solve(model, model.cost, 0, time_limit_s, at_least=placed)
    x = most if x is None else x
    value = float(model.cost @ x)
    return Exact(_picks(problem, model, x), min(bound, value), status == second == OPTIMAL)


def place_all(problem: Compiled, total: Float, needed: Bool, time_limit_s: float) -> Int | None:
    """(W,) picks of any valid placement of all `needed` units, whatever it costs; None where none was found.

    Without an objective HiGHS's feasibility jump finds one in a tenth of the time in which its branch and bound finds
    the first for the true costs. Cheap candidates by `total` (W, K), the priced cost, are tried on their own first.
    """
    rank = np.argsort(np.argsort(total, axis=1, kind="stable"), axis=1, kind="stable")
    for width, share in ((NARROW, NARROW_TIME), (total.shape[1], 1.0)):
        if width > total.shape[1]:
            continue
        model = model_of(problem, (rank < width) & needed[:, None])
        x, _, _ = _solve(model, np.zeros(len(model.cost)), needed.astype(np.float64), time_limit_s * share)
        if x is not None:
            return _picks(problem, model, x)
    return None


def _solve(
    model: Model, cost: Float, least: int | Float, time_limit_s: float, at_least: tuple[Float, int] | None = None
) -> tuple[Float | None, int, float]:
    """Values of the cells (None for no solution), scipy's status, and the bound that is proven.

    `least` is 1 where every unit must stand somewhere, 0 where it may be left out; `at_least`: replicas of each cell,
    and how many must stand.
    """
    if not len(cost):
        empty = model.once.shape[0] == 0 or not np.any(least)
        return (np.zeros(0) if empty else None), OPTIMAL if empty else INFEASIBLE, 0.0
    rows = [LinearConstraint(model.once, least, 1)]
    if model.held.shape[0]:
        rows.append(LinearConstraint(model.held, -np.inf, model.room))
    if model.apart.shape[0]:
        rows.append(LinearConstraint(model.apart, -np.inf, 1))
    if at_least is not None:
        rows.append(LinearConstraint(at_least[0][None], at_least[1], np.inf))
    options = {"time_limit": time_limit_s, "mip_rel_gap": RELATIVE_GAP}
    found = milp(cost, constraints=rows, integrality=np.ones(len(cost)), bounds=Bounds(0, 1), options=options)
    bound = getattr(found, "mip_dual_bound", None)
    x = None if found.x is None else np.round(found.x)
    return x, int(found.status), -np.inf if bound is None else float(bound)


def _picks(problem: Compiled, model: Model, x: Float) -> Int:
    picks = np.full(len(problem.members), NOWHERE)
    chosen = x > 0.5
    picks[model.unit[chosen]] = model.pick[chosen]
    return picks
