"""The placement decision: compiled, solved by the engine that fits its size, checked, and explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.placement.decide.compiled import Bool, Compiled, Float, Int, compile_problem
from tasks.placement.decide.construct import NOWHERE, by_regret, place_in_order, size_of
from tasks.placement.decide.ejection import current_cost, improve
from tasks.placement.decide.explain import Situation, obstacles_of
from tasks.placement.decide.lagrangian import Prices, find_prices, priced
from tasks.placement.decide.milp import place_all, solve_exact
from tasks.placement.decide.outcome import Assignment, Explanation, Placement, Unplaced, gap_of
from tasks.placement.decide.polish import polish
from tasks.placement.decide.relax import smallest_relaxation
from tasks.placement.decide.scores import Scores
from tasks.placement.decide.verify import violations_of
from tasks.placement.problem import Problem

SHORT = 0.2  # of the time limit, once not everything could be placed
LARGE = 2_000  # units; beyond, fewer rounds of polishing are worth their time


@dataclass(frozen=True)
class PlacementPolicy:
    """How hard to look.

    Attributes
    ----------
    exact_cells: pairs of replica and candidate site up to which the exact engine is used.
    time_limit_s: of each run of HiGHS; at its end the best found and the bound are used.
    passes: of the price search; None for its default (fewer when prices are given).
    polish_rounds: shakes of each region of sites; a tenth of them for large problems, none in a warm re-plan.
    seed: of the shakes.
    """

    exact_cells: int = 2_000
    time_limit_s: float = 5.0
    passes: int | None = None
    polish_rounds: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PlacementDecision:
    """A placement, with what is needed to explain it."""

    placement: Placement
    situation: Situation

    def explain(self, workload: str, runners_up: int = 3) -> tuple[Explanation, ...]:
        """Every replica of a workload: its site and its runners-up.

        Raises
        ------
        KeyError: no workload has the name.
        """
        return self.situation.explain(workload, runners_up)


def decide_placement(
    problem: Problem,
    policy: PlacementPolicy | None = None,
    prices: Mapping[str, Mapping[str, float]] | None = None,
    standing: Mapping[str, str | list[str]] | None = None,
) -> PlacementDecision:
    """Place every replica of every workload. Pure and deterministic.

    Parameters
    ----------
    problem:
        a checked one (`problem_checks.parse_problem`).
    prices:
        those of the decision before: the search for prices starts there.
    standing:
        the site, or sites, of each workload at present: the search starts there, where that is still valid.
    """
    policy = policy or PlacementPolicy()
    scores = Scores(problem)
    compiled = compile_problem(problem, scores)
    start = _as_array(prices, compiled) if prices else None
    found = find_prices(compiled, start, policy.passes)
    picks, bound, engine = assign(compiled, found, policy, standing)
    return _told(problem, scores, compiled, picks, bound, found, engine, policy)


def assign(
    compiled: Compiled, found: Prices, policy: PlacementPolicy, standing: Mapping[str, str | list[str]] | None = None
) -> tuple[Int, float, str]:
    """(W,) picks by the engine that fits the size, what no picks that leave out as many can be below, and the engine.

    found: prices of the sites' resources. standing: as in `decide_placement`.
    """
    exact = None
    if int(np.isfinite(compiled.cost).sum()) <= policy.exact_cells:
        exact = solve_exact(compiled, policy.time_limit_s)
    if exact is not None and exact.optimal:
        return exact.picks, exact.bound, "exact"
    picks, engine = _search(compiled, found, standing, policy), "lagrangian"
    if exact is not None and _rank(compiled, exact.picks) <= _rank(compiled, picks):
        picks, engine = exact.picks, "exact-time-limit"
    left = compiled.left_out(picks)
    bound = _partial_bound(compiled, found.price, left)
    if exact is not None and left == compiled.left_out(exact.picks):
        bound = max(bound, exact.bound)
    return picks, bound, engine


def _rank(problem: Compiled, picks: Int) -> tuple[int, float]:
    """What is better comes first: fewer left out, then cheaper."""
    return problem.left_out(picks), float(current_cost(problem, picks).sum())


def _search(
    problem: Compiled, found: Prices, standing: Mapping[str, str | list[str]] | None, policy: PlacementPolicy
) -> Int:
    """(W,) picks by prices, ejections, a search for feasibility if something is left, and polishing."""
    total = priced(problem, found.price)
    if standing is not None:
        return _replanned(problem, total, standing, policy)
    picks = improve(problem, place_in_order(problem, by_regret(problem, total), total))
    if (picks == NOWHERE).any():
        picks = _fitted(problem, total, picks, policy)
    rounds = policy.polish_rounds if len(picks) <= LARGE else -(-policy.polish_rounds // 10)
    picks = polish(problem, picks, rounds, policy.seed) if rounds else picks
    return _inserted(problem, picks, total) if (picks == NOWHERE).any() else picks


def _fitted(problem: Compiled, total: Float, picks: Int, policy: PlacementPolicy) -> Int:
    """Picks with everything placed, where such a placement is found; else with as much as was found.

    Of the units that the given picks leave out, the largest are given up first; how many is found by halving.
    """
    usable: Bool = np.asarray(np.isfinite(problem.cost).any(axis=1))
    left = np.flatnonzero((picks == NOWHERE) & usable)
    left = left[np.argsort(-size_of(problem)[left], kind="stable")]
    few, many, best, given_up, limit_s = 0, len(left), picks, 0, policy.time_limit_s
    while few < many:
        needed = usable.copy()
        needed[left[:given_up]] = False
        whole = place_all(problem, total, needed, limit_s)
        if whole is None:
            few = given_up + 1
        else:
            many, best = given_up, whole
        given_up, limit_s = (few + many) // 2, policy.time_limit_s * SHORT
    return picks if best is picks else improve(problem, _inserted(problem, best, total))


def _inserted(problem: Compiled, picks: Int, total: Float) -> Int:
    """Picks with what still fits put where it fits, without moving anything."""
    stays = problem.site == np.where(picks == NOWHERE, -1, problem.site[np.arange(len(picks)), picks])[:, None]
    order = np.lexsort((size_of(problem), picks == NOWHERE))
    return place_in_order(problem, order, np.where(stays & np.isfinite(problem.cost), -np.inf, total))


def _replanned(
    problem: Compiled, total: Float, standing: Mapping[str, str | list[str]], policy: PlacementPolicy
) -> Int:
    """Picks from what stands: that first, then what is new, then improvements."""
    number = {name: row for row, name in enumerate(problem.sites)}
    here = np.full(len(problem.members), -1)
    for unit, members in enumerate(problem.members):
        sites = standing.get(members[0].workload, [])
        sites = [sites] if isinstance(sites, str) else sites
        if members[0].replica < len(sites):
            here[unit] = number.get(sites[members[0].replica], -1)
    stays = (problem.site == here[:, None]) & np.isfinite(problem.cost)
    order = np.lexsort((by_regret(problem, total).argsort(), ~stays.any(axis=1)))
    picks = improve(problem, place_in_order(problem, order, np.where(stays, -np.inf, total)), deep=False)
    if (picks == NOWHERE).any():
        picks = _inserted(problem, _fitted(problem, total, picks, policy), total)
    return picks


def _partial_bound(problem: Compiled, price: Float, unplaced: int) -> float:
    """What any placement that leaves out so many replicas costs at least: the dearest may be those left out."""
    least = np.sort(np.minimum(priced(problem, price).min(axis=1), problem.floor))
    unplaced = min(unplaced, len(least))
    kept = least[: len(least) - unplaced].sum() + np.minimum(least[len(least) - unplaced :], 0.0).sum()
    return float(kept - (price * problem.capacity).sum())


def _told(
    problem: Problem, scores: Scores, compiled: Compiled, picks: Int, bound: float, found: Prices, engine: str,
    policy: PlacementPolicy,
) -> PlacementDecision:  # fmt: skip
    situation = Situation(problem, scores, compiled, picks)
    placed = [(member, compiled.sites[compiled.site[unit, pick]])
              for unit, (members, pick) in enumerate(zip(compiled.members, picks.tolist(), strict=True))
              if pick != NOWHERE for member in members]  # fmt: skip
    assignments = sorted((Assignment(each.workload, each.replica, site) for each, site in placed),
                         key=lambda each: (each.workload, each.replica))  # fmt: skip
    left = [Unplaced(member.workload, member.replica, obstacles_of(situation, unit))
            for unit in np.flatnonzero(picks == NOWHERE).tolist() for member in compiled.members[unit]]  # fmt: skip
    objective = float(current_cost(compiled, picks).sum())
    placement = Placement(
        tuple(assignments), tuple(sorted(left, key=lambda each: (each.workload, each.replica))),
        objective, min(bound, objective), gap_of(objective, bound), engine, _as_names(found.price, compiled),
        smallest_relaxation(situation, policy.exact_cells, policy.time_limit_s) if left else (),
        violations_of(problem, scores, assignments),
    )  # fmt: skip
    return PlacementDecision(placement, situation)


def _as_array(prices: Mapping[str, Mapping[str, float]], problem: Compiled) -> Float:
    """(J, R) prices; 0 for what they do not name."""
    rows = [[max(prices.get(site, {}).get(r, 0.0), 0.0) for r in problem.resources] for site in problem.sites]
    return np.nan_to_num(np.array(rows, dtype=np.float64).reshape(problem.capacity.shape))


def _as_names(price: Float, problem: Compiled) -> dict[str, dict[str, float]]:
    """Prices above zero by site and resource."""
    return {site: worth for site, row in zip(problem.sites, price.tolist(), strict=True)
            if (worth := {r: each for r, each in zip(problem.resources, row, strict=True) if each > 0})}  # fmt: skip
