"""Functions on one to three sites: agreement with trying everything, hard constraints, bounds."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.placement.decide.replica_problem import replicated_of
from tasks.placement.decide.replica_sets import Replicated, Sets
from tasks.placement.decide.replicated import decide_replicas
from tasks.placement.problem_checks import parse_problem

laws = settings(max_examples=40, deadline=None)


def drawn(seed: int, functions: int, sites: int, zones: int, money: float = 1.5, room: float = 2.0) -> Replicated:
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0.1, 5, (functions, zones)) * (rng.random((functions, zones)) < 0.6)
    requests = rng.integers(1, 4, (functions, 1)).astype(float)
    usd = requests * rng.uniform(0.5, 2.0, sites)
    capacity = rng.uniform(0.5, 1.5, (sites, 1)) * requests.sum() / sites * room + 3
    down = np.log(1 - rng.uniform(0.9, 0.99, sites))
    limit = np.log(1 - rng.choice([0.5, 0.95, 0.99], functions))
    return Replicated(
        tuple(f"f{row:03}" for row in range(functions)), tuple(f"s{row:03}" for row in range(sites)), demand,
        rng.uniform(1, 50, (zones, sites)), requests, capacity, usd, float(usd.min(axis=1).sum() * money * 2),
        down, limit, barred=rng.random((functions, sites)) < 0.1 * (rng.random((functions, 1)) < 0.5),
    )  # fmt: skip


def legal_sets(problem: Replicated, f: int) -> list[tuple[int, ...]]:
    sites = range(len(problem.sites))
    return [chosen for size in range(1, problem.most + 1) for chosen in itertools.combinations(sites, size)
            if problem.may_stand(f)[list(chosen)].all()
            and problem.log_down[list(chosen)].sum() <= problem.log_limit[f] + 1e-9]  # fmt: skip


def service(problem: Replicated, f: int, chosen: tuple[int, ...]) -> float:
    return float(problem.demand[f] @ problem.latency_ms[:, list(chosen)].min(axis=1))


def best_of(problem: Replicated) -> float:
    best = np.inf
    options = [legal_sets(problem, f) for f in range(len(problem.functions))]
    for plan in itertools.product(*options):
        load = np.zeros_like(problem.capacity)
        for f, chosen in enumerate(plan):
            load[list(chosen)] += problem.requests[f]
        usd = sum(problem.usd[f, list(chosen)].sum() for f, chosen in enumerate(plan))
        if (load <= problem.capacity + 1e-9).all() and usd <= problem.budget_usd + 1e-9:
            best = min(best, sum(service(problem, f, chosen) for f, chosen in enumerate(plan)))
    return best


def assert_valid(problem, plan):
    load = np.zeros_like(problem.capacity)
    usd = total = 0.0
    for f, names in enumerate(plan.sites):
        if not names:
            assert problem.functions[f] in plan.unplaced
            continue
        chosen = tuple(sorted(problem.sites.index(name) for name in names))
        assert len(set(chosen)) == len(chosen) <= problem.most
        assert chosen in legal_sets(problem, f)
        load[list(chosen)] += problem.requests[f]
        usd += problem.usd[f, list(chosen)].sum()
        total += service(problem, f, chosen)
    assert (load <= problem.capacity + 1e-6).all()
    assert usd <= problem.budget_usd * (1 + 1e-6)
    assert plan.objective == pytest.approx(total, rel=1e-5)


@laws
@given(problem=st.builds(drawn, st.integers(0, 2**32), st.integers(1, 3), st.integers(2, 4), st.integers(1, 4)))
def test_small_problems_are_solved_as_well_as_by_trying_everything(problem):
    assume(all(legal_sets(problem, f) for f in range(len(problem.functions))))
    best = best_of(problem)
    plan = decide_replicas(problem)
    assert_valid(problem, plan)
    if np.isfinite(best):
        assert plan.unplaced == ()
        assert plan.bound <= best * (1 + 1e-5) + 1e-6
        assert plan.objective == pytest.approx(best, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_larger_problems_are_valid_and_near_their_bound(seed):
    problem = drawn(seed, 30, 24, 40)
    plan = decide_replicas(problem, time_limit_s=60.0)
    assert_valid(problem, plan)
    assert plan.unplaced == ()
    assert plan.gap < 0.03


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), budget=st.floats(0, 20))
def test_the_best_set_of_each_function_is_known_exactly_at_any_prices(seed, budget):
    problem = drawn(seed, 3, 22, 6)
    worth = budget * problem.usd
    known = np.full(3, np.inf)
    least, _ = Sets(problem).best_at(worth, 0.0, known)
    for f in range(3):
        best = min(service(problem, f, chosen) + worth[f, list(chosen)].sum() for chosen in legal_sets(problem, f))
        assert least[f] == pytest.approx(best, rel=1e-5, abs=1e-4)


def test_a_budget_that_is_too_small_leaves_functions_out_and_says_which():
    problem = drawn(3, 6, 5, 4)
    plan = decide_replicas(replace(problem, budget_usd=problem.budget_usd / 6))
    assert_valid(problem, plan)
    assert plan.unplaced


def test_an_availability_that_no_three_sites_reach_is_refused_by_name():
    problem = drawn(4, 3, 4, 3)
    with pytest.raises(InvalidInput, match="function f001: no 3 sites where it may stand reach its availability"):
        decide_replicas(replace(problem, log_limit=np.array([-1.0, -99.0, -1.0])))


def test_prices_of_the_pass_before_lead_to_a_plan_as_good():
    problem = drawn(5, 30, 24, 40)
    first = decide_replicas(problem, time_limit_s=60.0)
    again = decide_replicas(problem, first.prices, time_limit_s=60.0)
    assert again.objective <= first.objective * 1.02


def test_a_problem_with_demand_becomes_functions():
    problem = parse_problem({
        "sites": [{"name": "a", "capacity": {"cpu": 4}, "usd_per_unit": 2, "availability": 0.9},
                  {"name": "b", "capacity": {"cpu": 4}, "usd_per_unit": 1, "availability": 0.9}],
        "latency_ms": {"y": {"a": 1, "b": 9}, "z": {"a": 9, "b": 1}},
        "workloads": [{"name": "f", "requests": {"cpu": 1}, "demand": {"y": 1, "z": 1}, "availability": 0.98}],
    })  # fmt: skip
    plan = decide_replicas(replicated_of(problem, budget_usd=3.0))
    assert (plan.sites, plan.objective, plan.usd) == ((("a", "b"),), 2.0, 3.0)


@pytest.mark.parametrize(("given", "barred"), [({"allowed": ["b"]}, "a"), ({"residency": ["eu"]}, "a")])
def test_a_function_stands_only_where_it_is_allowed_to(given, barred):
    problem = parse_problem({
        "sites": [{"name": "a", "capacity": {"cpu": 4}}, {"name": "b", "capacity": {"cpu": 4}, "region": "eu"}],
        "latency_ms": {"z": {"a": 1, "b": 9}},
        "workloads": [{"name": "f", "requests": {"cpu": 1}, "demand": {"z": 1}, **given}],
    })  # fmt: skip
    (sites,) = decide_replicas(replicated_of(problem, budget_usd=3.0)).sites
    assert barred not in sites


@pytest.mark.parametrize("given", [{"latency_limit_ms": 5}, {"cost": {"a": 1}}, {"affinity": ["g"]}])
def test_a_constraint_that_functions_do_not_have_is_refused_by_name(given):
    workloads = [{"name": "f", **given}, {"name": "g"}]
    problem = parse_problem({"sites": [{"name": "a", "capacity": {}}], "workloads": workloads})
    with pytest.raises(InvalidInput, match=f"workload f: `{next(iter(given))}` is not read here"):
        replicated_of(problem, budget_usd=3.0)
