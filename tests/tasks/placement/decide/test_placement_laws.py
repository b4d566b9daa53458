"""Laws of placement: hard constraints, the bound, brute force, more capacity, the order of the input."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.placement.decide.placement import PlacementPolicy, decide_placement
from tasks.placement.problem_checks import parse_problem

SEARCH = PlacementPolicy(exact_cells=0)  # prices, construction, ejection: the engine of large problems
TOLERANCE = 1e-6


@st.composite
def problems(draw: st.DrawFn, most: int = 5) -> dict[str, Any]:
    """Small problems with explicit costs; not all of them can be placed."""
    sites = [f"s{number}" for number in range(draw(st.integers(1, 3)))]
    amounts = st.integers(0, 6)
    workloads = []
    for number in range(draw(st.integers(1, most))):
        allowed = draw(st.lists(st.sampled_from(sites), min_size=1, unique=True))
        workloads.append({
            "name": f"w{number}", "requests": {"cpu": draw(st.integers(1, 4)), "memory_gb": draw(amounts)},
            "cost": {site: draw(st.integers(1, 50)) for site in allowed},
        })  # fmt: skip
    return {
        "sites": [{"name": site, "capacity": {"cpu": draw(st.integers(0, 9)), "memory_gb": draw(st.integers(0, 12))}}
                  for site in sites],
        "workloads": workloads,
    }  # fmt: skip


def brute_force(problem: dict[str, Any]) -> tuple[int, float]:
    """Fewest left out, then least cost, over every way."""
    best = (len(problem["workloads"]), 0.0)
    choices = [[None, *each["cost"]] for each in problem["workloads"]]
    for picks in itertools.product(*choices):
        if _fits(problem, picks):
            cost = sum(each["cost"][site] for each, site in zip(problem["workloads"], picks, strict=True) if site)
            best = min(best, (picks.count(None), float(cost)))
    return best


def _fits(problem: dict[str, Any], picks: tuple[str | None, ...]) -> bool:
    for site in problem["sites"]:
        here = [each for each, pick in zip(problem["workloads"], picks, strict=True) if pick == site["name"]]
        if any(sum(each["requests"][r] for each in here) > amount for r, amount in site["capacity"].items()):
            return False
    return True


def told(problem: dict[str, Any], policy: PlacementPolicy | None = None) -> tuple[int, float]:
    placement = decide_placement(parse_problem(problem), policy).placement
    assert placement.violations == ()
    picks = {each.workload: each.site for each in placement.assignments}
    assert _fits(problem, tuple(picks.get(each["name"]) for each in problem["workloads"]))
    assert placement.bound <= placement.objective + TOLERANCE
    return len(placement.unplaced), placement.objective


@given(problems())
@settings(max_examples=60)
def test_the_exact_engine_agrees_with_brute_force(problem: dict[str, Any]) -> None:
    left, cost = told(problem)
    best = brute_force(problem)
    assert left == best[0]
    assert math.isclose(cost, best[1], abs_tol=1e-4)


@given(problems(most=8))
@settings(max_examples=60)
def test_the_search_violates_nothing_and_its_bound_holds(problem: dict[str, Any]) -> None:
    placement = decide_placement(parse_problem(problem), SEARCH).placement
    left, _ = told(problem, SEARCH)
    best = brute_force(problem) if len(problem["workloads"]) <= 6 else None
    if best is not None and best[0] == left:
        assert placement.bound <= best[1] + TOLERANCE <= placement.objective + 2 * TOLERANCE


@given(problems(), st.integers(1, 5))
@settings(max_examples=40)
def test_more_capacity_never_worsens_the_optimum(problem: dict[str, Any], more: int) -> None:
    before = told(problem)
    for site in problem["sites"]:
        site["capacity"] = {resource: amount + more for resource, amount in site["capacity"].items()}
    left, cost = told(problem)
    assert left < before[0] or (left == before[0] and cost <= before[1] + 1e-4)


@given(problems(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_the_input_changes_nothing(problem: dict[str, Any], random: Any) -> None:
    before = [decide_placement(parse_problem(problem), policy).placement.to_record() for policy in (None, SEARCH)]
    random.shuffle(problem["sites"])
    random.shuffle(problem["workloads"])
    after = [decide_placement(parse_problem(problem), policy).placement.to_record() for policy in (None, SEARCH)]
    assert after == before


def test_what_finds_no_place_is_told_with_what_bars_it_and_what_to_relax() -> None:
    problem = {
        "sites": [{"name": "a", "capacity": {"cpu": 2}}],
        "workloads": [{"name": "w", "requests": {"cpu": 3}}],
    }
    (left,) = decide_placement(parse_problem(problem)).placement.unplaced
    assert [(site, str(why.barrier), why.subject, why.lacking) for site, why in left.because] == [
        ("a", "too-large", "cpu", 1.0)
    ]
    (need,) = decide_placement(parse_problem(problem)).placement.relax
    assert (need.constraint, need.subject, need.lacking) == ("capacity", ("a", "cpu"), 1.0)


def test_replicas_are_spread_and_rivals_stand_apart() -> None:
    site = {"capacity": {"cpu": 10}}
    problem = {
        "sites": [{"name": "a", **site}, {"name": "b", **site}, {"name": "c", **site}],
        "workloads": [
            {"name": "twin", "replicas": 2, "requests": {"cpu": 1}, "cost": {"a": 1, "b": 1, "c": 9}},
            {"name": "rival", "requests": {"cpu": 1}, "cost": {"a": 1, "b": 1, "c": 9}, "anti_affinity": ["twin"]},
            {"name": "friend", "requests": {"cpu": 1}, "cost": {"a": 1, "b": 1, "c": 9}, "affinity": ["rival"]},
        ],
    }
    stands = [(each.workload, each.site) for each in decide_placement(parse_problem(problem)).placement.assignments]
    twins = {site for workload, site in stands if workload == "twin"}
    assert len(twins) == 2
    (rival,) = (site for workload, site in stands if workload == "rival")
    (friend,) = (site for workload, site in stands if workload == "friend")
    assert rival == friend
    assert rival not in twins
