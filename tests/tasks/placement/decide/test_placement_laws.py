"""Laws of the placement decision over random problems, and agreement with trying everything."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.placement.decide.placement import PlacementPolicy, decide_placement
from tasks.placement.generate import generate
from tasks.placement.problem_checks import parse_problem

EXACT, LARGE = PlacementPolicy(), PlacementPolicy(exact_cells=0, polish_rounds=2)
ENGINES = st.sampled_from([EXACT, LARGE])
laws = settings(max_examples=60, deadline=None)


def small(seed: int, workloads: int, sites: int) -> dict[str, Any]:
    """A problem with a bit of everything; not always one that can be solved."""
    rng = np.random.default_rng(seed)
    names = [f"s{row}" for row in range(sites)]
    places = [{"name": name, "capacity": {"cpu": int(rng.integers(0, 6)), "memory_gb": int(rng.integers(2, 9))},
               "region": f"r{row // 2}", "tier": ("far-edge", "cloud-region")[row % 2],
               "availability": (0.9, 0.99)[int(rng.integers(2))], "usd_per_unit": float(rng.uniform(0.1, 1)),
               "lat": float(rng.uniform(-60, 60)), "lon": float(rng.uniform(-180, 180))}
              for row, name in enumerate(names)]  # fmt: skip
    rows = []
    for row in range(workloads):
        asked = {"cpu": int(rng.integers(0, 4)), "memory_gb": int(rng.integers(0, 4))}
        each: dict[str, Any] = {"name": f"w{row}", "requests": asked}
        if rng.random() < 0.6:
            each["cost"] = {name: round(float(rng.uniform(1, 9)), 2) for name in names if rng.random() < 0.8}
        else:
            each["demand"] = {"z0": float(rng.uniform(0, 5)), "z1": 1.0}
        if rng.random() < 0.2 and sites > 1 and len(each.get("cost", names)) > 1:
            each["replicas"] = 2
        elif row and rng.random() < 0.2:
            each["affinity"] = [other for other in ["w0"] if "replicas" not in rows[0]]
        elif row and rng.random() < 0.2:
            each["anti_affinity"] = [f"w{int(rng.integers(row))}"]
        if rng.random() < 0.1:
            each["allowed_tiers"] = ["far-edge"]
        if rng.random() < 0.1:
            each["availability"] = 0.95
        rows.append(each)
    rows = [{**each, "anti_affinity": []} if each.get("anti_affinity") == ["w0"] else each for each in rows]
    zones = [{"name": "z0", "lat": 10, "lon": 10}, {"name": "z1", "lat": -20, "lon": 99}]
    return {"sites": places, "workloads": rows, "zones": zones}


PROBLEMS = st.builds(small, st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4))


def decided(data: dict[str, Any], policy: PlacementPolicy):
    return decide_placement(parse_problem(data), policy).placement


def cost_table(data: dict[str, Any]) -> list[dict[str, float]]:
    """What each workload costs at each site where nothing bars it by itself."""
    from tasks.placement.decide.scores import Scores

    scores = Scores(parse_problem(data))
    rows = []
    for each in parse_problem(data).workloads:
        at, cost = scores.costs(each)
        rows.append({scores.sites[site].name: float(c) for site, c in zip(at.tolist(), cost.tolist(), strict=True)})
    return rows


def brute_force(data: dict[str, Any]) -> tuple[int, float]:
    """Replicas left out and cost of the best placement, by trying all; affinity leaves out both or none."""
    units = [(w, r) for w, each in enumerate(data["workloads"]) for r in range(each.get("replicas", 1))]
    costs, sites = cost_table(data), {site["name"]: site for site in data["sites"]}
    best = (len(units), 0.0)
    for places in itertools.product([None, *sites], repeat=len(units)):
        at = dict(zip(units, places, strict=True))
        if valid(data, at, costs, sites):
            left = sum(place is None for place in places)
            total = sum(costs[w][place] for (w, _), place in at.items() if place is not None)
            best = min(best, (left, total))
    return best


def valid(data, at, costs, sites) -> bool:
    number = {each["name"]: w for w, each in enumerate(data["workloads"])}
    for (w, r), place in at.items():
        each = data["workloads"][w]
        if place is not None and place not in costs[w]:
            return False
        if place is not None and r and at[w, 0] == place:
            return False
        if any(at[number[other], 0] != place for other in each.get("affinity", [])):
            return False
        if place is not None and any(
            at[v, k] == place for other in each.get("anti_affinity", []) for v, k in at if v == number[other]
        ):
            return False
    for name, site in sites.items():
        for resource, room in site["capacity"].items():
            load = sum(data["workloads"][w]["requests"][resource] for (w, _), place in at.items() if place == name)
            if load > room:
                return False
    return True


@laws
@given(data=PROBLEMS, policy=ENGINES)
def test_no_hard_constraint_is_violated_and_nothing_is_lost(data, policy):
    placement = decided(data, policy)
    assert placement.violations == ()
    replicas = sorted((each["name"], r) for each in data["workloads"] for r in range(each.get("replicas", 1)))
    told = [(each.workload, each.replica) for each in (*placement.assignments, *placement.unplaced)]
    assert sorted(told) == replicas
    assert bool(placement.unplaced) == bool(placement.relax)


@laws
@given(data=PROBLEMS, policy=ENGINES)
def test_the_bound_is_not_above_the_value(data, policy):
    placement = decided(data, policy)
    assert placement.bound <= placement.objective + 1e-9
    assert placement.gap >= 0


@settings(max_examples=40, deadline=None)
@given(data=st.builds(small, st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3)))
def test_the_exact_engine_agrees_with_trying_everything(data):
    left, cost = brute_force(data)
    placement = decided(data, EXACT)
    assert len(placement.unplaced) == left
    if left == 0:
        assert len(placement.unplaced) == 0
        assert placement.objective == pytest.approx(cost, abs=1e-5)
        assert placement.gap <= 1e-5


@settings(max_examples=40, deadline=None)
@given(data=st.builds(small, st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 3)))
def test_the_bound_of_the_price_engine_is_below_the_optimum(data):
    left, cost = brute_force(data)
    placement = decided(data, LARGE)
    if left == 0 == len(placement.unplaced):
        assert placement.bound <= cost + 1e-6
        assert placement.objective >= cost - 1e-6


@laws
@given(data=PROBLEMS, more=st.integers(1, 3), at=st.integers(0, 3))
def test_adding_capacity_never_worsens_the_optimum(data, more, at):
    before = decided(data, EXACT)
    site = data["sites"][at % len(data["sites"])]
    capacity = {name: amount + more for name, amount in site["capacity"].items()}
    grown = {**data, "sites": [{**each, "capacity": capacity} if each is site else each for each in data["sites"]]}
    after = decided(grown, EXACT)
    assert (len(after.unplaced), after.objective - 1e-5) <= (len(before.unplaced), before.objective)


@laws
@given(data=PROBLEMS, policy=ENGINES, order=st.randoms(use_true_random=False))
def test_the_order_of_the_file_changes_nothing(data, policy, order):
    turned = {**data, **{field: order.sample(data[field], len(data[field])) for field in ("sites", "workloads")}}
    assert decided(turned, policy) == decided(data, policy)


@pytest.mark.parametrize("tight", [False, True])
def test_larger_problems_are_placed_whole_and_near_the_bound(tight):
    placement = decided(generate(300, 30, 5, tight), EXACT)
    assert placement.engine == "lagrangian"
    assert (placement.unplaced, placement.violations) == ((), ())
    assert placement.gap < (0.15 if tight else 0.02)


def test_a_warm_replan_places_what_is_new_and_keeps_what_stands():
    data = generate(300, 30, 6)
    first = decided(data, EXACT)
    standing = {each.workload: each.site for each in first.assignments}
    data["workloads"][0]["requests"] = {"cpu": 3.0, "memory_gb": 5.0}
    again = decide_placement(parse_problem(data), EXACT, first.prices, standing).placement
    moved = sum(standing[each.workload] != each.site for each in again.assignments)
    assert (again.unplaced, again.violations) == ((), ())
    assert moved < 60
    assert again.gap < 0.02


def test_no_workloads_cost_nothing():
    placement = decided({"sites": [{"name": "a", "capacity": {"cpu": 1}}]}, EXACT)
    assert (placement.assignments, placement.objective, placement.gap) == ((), 0.0, 0.0)


def test_strict_json_comes_out():
    import json

    text = json.dumps(decided(small(1, 5, 3), EXACT).to_record(), allow_nan=False)
    assert {"assignments", "unplaced", "objective", "bound", "gap", "violations"} <= set(json.loads(text))


def test_latency_that_is_not_known_bars_a_site():
    data = {"sites": [{"name": "a", "capacity": {"cpu": 9}}, {"name": "b", "capacity": {"cpu": 9}}],
            "zones": ["z"], "latency_ms": {"z": {"b": 80}},
            "workloads": [{"name": "w", "requests": {"cpu": 1}, "demand": {"z": 1}}]}  # fmt: skip
    assert [each.site for each in decided(data, EXACT).assignments] == ["b"]
    assert not math.isnan(decided(data, EXACT).objective)
