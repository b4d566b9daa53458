"""Why a workload stands where it stands, and what to change where it stands nowhere."""

from __future__ import annotations

import pytest

from tasks.placement.decide.outcome import Barrier, Obstacle, Relaxation
from tasks.placement.decide.placement import PlacementPolicy, decide_placement
from tasks.placement.problem_checks import parse_problem

NEAR = {"name": "near", "capacity": {"cpu": 4}, "region": "eu", "tier": "far-edge"}
FAR = {"name": "far", "capacity": {"cpu": 10}, "region": "us", "tier": "cloud-region"}


def decide(workloads, sites=(NEAR, FAR), **more):
    return decide_placement(parse_problem({"sites": list(sites), "workloads": workloads, **more}))


def of(name, cpu, **more):
    return {"name": name, "requests": {"cpu": cpu}, "cost": {"near": 1, "far": 5}, **more}


def test_a_runner_up_that_is_dearer_wins_if_its_cost_falls():
    explained = decide([of("a", 1)]).explain("a")[0]
    assert (explained.site, explained.cost) == ("near", 1.0)
    runner = explained.runners_up[0]
    assert (runner.site, runner.extra_cost, runner.obstacles) == ("far", 4.0, ())
    assert runner.wins_if == (("cost", "far", 4.0),)


def test_a_full_site_is_named_with_the_amount_that_lacks():
    decision = decide([of("a", 3, cost={"near": 1, "far": 9}), of("b", 3)])
    runner = decision.explain("b")[0].runners_up[0]
    assert (runner.site, runner.extra_cost) == ("near", -4.0)
    assert runner.obstacles == (Obstacle(Barrier.CAPACITY, "cpu", 2.0),)
    assert runner.wins_if == (("capacity", "cpu", 2.0),)


def test_a_latency_limit_bars_a_cheaper_site_by_so_many_ms():
    work = {"name": "a", "requests": {"cpu": 1}, "demand": {"z": 1}, "latency_limit_ms": 50}
    sites = ({**NEAR, "usd_per_unit": 9.0}, FAR)
    decision = decide([work], sites, zones=["z"], latency_ms={"z": {"near": 40, "far": 62}}, weights={"cost": 9})
    explained = decision.explain("a")[0]
    runner = explained.runners_up[0]
    assert (explained.site, explained.terms.latency_ms, runner.terms.latency_ms) == ("near", 40.0, 62.0)
    assert runner.obstacles == (Obstacle(Barrier.LATENCY, "a", 12.0),)
    assert runner.wins_if == (("latency_limit_ms", "a", 12.0),)


@pytest.mark.parametrize(
    ("field", "barrier"),
    [({"residency": ["eu"]}, Barrier.RESIDENCY), ({"allowed_tiers": ["far-edge"]}, Barrier.TIER),
     ({"allowed": ["near"]}, Barrier.NOT_ALLOWED)],
)  # fmt: skip
def test_a_hard_constraint_is_told_by_name(field, barrier):
    runner = decide([of("a", 1, cost={"near": 5, "far": 1}, **field)]).explain("a")[0].runners_up[0]
    assert [each.barrier for each in runner.obstacles] == [barrier]


def test_a_workload_it_must_not_stand_with_is_told_by_name():
    decision = decide([of("a", 1, cost={"near": 1, "far": 9}), of("b", 1, anti_affinity=["a"])])
    assert decision.explain("b")[0].site == "far"
    assert decision.explain("b")[0].runners_up[0].obstacles == (Obstacle(Barrier.APART, "a"),)


def test_terms_add_up_to_the_cost():
    work = {"name": "a", "requests": {"cpu": 2}, "demand": {"z": 3}}
    sites = ({**NEAR, "usd_per_unit": 2.0}, {**FAR, "usd_per_unit": 1.0})
    explained = decide([work], sites, zones=["z"], latency_ms={"z": {"near": 5, "far": 90}}).explain("a")[0]
    assert sum(explained.terms.share.values()) == pytest.approx(explained.cost)
    assert explained.terms.usd_per_hour == 4.0


def test_what_stands_nowhere_is_told_with_what_bars_it():
    placement = decide([of("a", 11)]).placement
    assert [(each.workload, each.because[0]) for each in placement.unplaced] == [
        ("a", ("near", Obstacle(Barrier.TOO_LARGE, "cpu", 7.0)))
    ]


def test_the_smallest_set_to_relax_is_one_capacity_by_its_least_amount():
    placement = decide([of("a", 4), of("b", 5), of("c", 7)]).placement
    assert len(placement.unplaced) == 1
    assert placement.relax == (Relaxation("capacity", ("far", "cpu"), pytest.approx(2.0)),)


def test_the_smallest_set_to_relax_may_be_a_residency():
    placement = decide([of("a", 2, cost={"far": 1}, residency=["eu"])]).placement
    assert [(each.constraint, each.subject) for each in placement.relax] == [("residency", ("a",))]


def test_for_large_problems_capacities_that_are_enough_are_told():
    sites = [{"name": f"s{row}", "capacity": {"cpu": 2}} for row in range(3)]
    work = [{"name": f"w{row}", "requests": {"cpu": 1}, "cost": {f"s{k}": 1 for k in range(3)}} for row in range(8)]
    problem = parse_problem({"sites": sites, "workloads": work})
    placement = decide_placement(problem, PlacementPolicy(exact_cells=0)).placement
    assert len(placement.unplaced) == 2
    assert placement.relax == (Relaxation("capacity", ("s0", "cpu"), pytest.approx(2.0)),)
