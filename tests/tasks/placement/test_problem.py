"""A problem at the door: every mistake is one line that says what, where, and how to mend it."""

from __future__ import annotations

import math

import pytest

from blocks.errors import InvalidInput
from tasks.placement.generate import generate
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem

A = {"name": "a", "capacity": {"cpu": 4}}
B = {"name": "b", "capacity": {"cpu": 4}}
W = {"name": "w", "requests": {"cpu": 1}}
V = {"name": "v", "requests": {"cpu": 1}}

MISTAKES = {
    "no sites": ({"sites": []}, "sites: there are no sites"),
    "sites missing": ({}, "sites: it is missing"),
    "negative capacity": ({"sites": [{"name": "a", "capacity": {"cpu": -1}}]}, "sites[0].capacity.cpu: `-1` is too"),
    "capacity of NaN": ({"sites": [{"name": "a", "capacity": {"cpu": math.nan}}]}, "sites[0].capacity.cpu: `nan`"),
    "unknown field": ({"sites": [{**A, "capacities": {}}]}, "did you mean `capacity`?"),
    "unknown site in cost": (
        {"sites": [A], "workloads": [{**W, "cost": {"x": 1}}]}, "workloads[0].cost.x: no site is named `x`"),
    "unknown site in allowed": (
        {"sites": [A], "workloads": [{**W, "allowed": ["a", "x"]}]}, "workloads[0].allowed[1]: no site is named `x`"),
    "unknown site in latency": ({"sites": [A], "latency_ms": {"z": {"x": 1}}}, "latency_ms.z.x: no site is named `x`"),
    "unknown zone": ({"sites": [A], "workloads": [{**W, "demand": {"z": 1}}]}, "no zone is named `z`"),
    "unknown zone in latency": (
        {"sites": [A], "zones": ["y"], "latency_ms": {"z": {"a": 1}}}, "latency_ms.z: no zone is named `z`"),
    "latency of NaN": ({"sites": [A], "latency_ms": {"z": {"a": math.nan}}}, "latency_ms.z.a: `nan` is not a finite"),
    "cost of NaN": ({"sites": [A], "workloads": [{**W, "cost": {"a": math.nan}}]}, "workloads[0].cost.a: `nan`"),
    "cyclic affinity": (
        {"sites": [A], "workloads": [{**W, "affinity": ["v"]}, {**V, "affinity": ["w"]}]},
        "affinity runs in a circle: w -> v -> w"),
    "affinity with itself": ({"sites": [A], "workloads": [{**W, "affinity": ["w"]}]}, "in a circle: w -> w"),
    "affinity and anti-affinity": (
        {"sites": [A], "workloads": [{**W, "affinity": ["v"], "anti_affinity": ["v"]}, V]}, "must stand apart"),
    "unknown workload": ({"sites": [A], "workloads": [{**W, "anti_affinity": ["u"]}]}, "no workload is named `u`"),
    "affinity of other replicas": (
        {"sites": [A, B], "workloads": [{**W, "affinity": ["v"], "replicas": 2}, V]}, "`w` has 2 replicas and `v`"),
    "more replicas than sites": (
        {"sites": [A, B], "workloads": [{**W, "replicas": 3}]}, "workloads[0].replicas: 3 replicas must be spread"),
    "more replicas than regions": (
        {"sites": [{**A, "region": "r"}, {**B, "region": "r"}],
         "workloads": [{**W, "replicas": 2, "spread": "region"}]}, "over 1 regions"),
    "no replicas": ({"sites": [A], "workloads": [{**W, "replicas": 0}]}, "workloads[0].replicas: `0` is too small"),
    "duplicate site": ({"sites": [A, A]}, "sites[1].name: `a` is the name of sites[0] too"),
    "duplicate workload": ({"sites": [A], "workloads": [W, W]}, "workloads[1].name: `w` is the name"),
    "resource nobody has": (
        {"sites": [A], "workloads": [{"name": "w", "requests": {"gpu": 1}}]}, "no site has any `gpu`"),
    "half a place": ({"sites": [{**A, "lat": 1}]}, "has one of lat and lon only"),
    "unknown tier": ({"sites": [{**A, "tier": "moon"}]}, "sites[0].tier: `moon` is none of its values"),
    "more to open than there is": ({"sites": [A], "open": {"count": 2}}, "open.count: 2 sites to open"),
    "not an object": ([], "this is not an object"),
    "text for a number": ({"sites": [{"name": "a", "capacity": {"cpu": "many"}}]}, "`many` is not a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_with_its_place_and_how_to_mend_it(case):
    data, words = MISTAKES[case]
    with pytest.raises(InvalidInput) as caught:
        parse_problem(data)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert line.startswith("problem: ")
    assert ". To mend it: " in line


def test_the_first_of_many_mistakes_says_how_many_more_there_are():
    with pytest.raises(InvalidInput, match=r"\(and 1 more\)"):
        parse_problem({"sites": [{"name": "a", "capacity": {"cpu": -1, "memory_gb": -1}}]})


def test_a_zone_may_be_its_name_alone():
    problem = parse_problem({"sites": [A], "zones": ["z", {"name": "y", "lat": 1, "lon": 2}]})
    assert [zone.name for zone in problem.zones] == ["z", "y"]


def test_the_schema_names_the_fixed_fields():
    fields = Problem.model_json_schema()["properties"]
    assert {"sites", "workloads", "zones", "latency_ms", "weights", "open", "functions"} <= set(fields)


def test_the_default_weights_are_the_seeds():
    weights = parse_problem({"sites": [A]}).weights
    assert (weights.cost, weights.performance, weights.reliability, weights.compliance) == (0.3, 0.4, 0.2, 0.1)


@pytest.mark.parametrize("tight", [False, True])
def test_a_generated_problem_is_valid_and_its_seed_says_it_all(tight):
    data = generate(50, 8, 3, tight)
    assert len(parse_problem(data).workloads) == 50
    assert data == generate(50, 8, 3, tight)
    assert data != generate(50, 8, 4, tight)
