"""Every bad problem is one line: what, where, how to mend it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from blocks.errors import InvalidInput
from tasks.placement.problem_checks import parse_problem

GOOD: dict[str, Any] = {
    "sites": [{"name": "a", "capacity": {"cpu": 4}}, {"name": "b", "capacity": {"cpu": 4}}],
    "workloads": [
        {"name": "w", "requests": {"cpu": 1}, "cost": {"a": 1, "b": 2}, "demand": {"z": 1}},
        {"name": "v", "requests": {"cpu": 1}},
    ],
    "zones": ["z"],
    "latency_ms": {"z": {"a": 5, "b": 9}},
}

BAD = [
    (("sites",), [], "sites: there are no sites"),
    (("sites", 0, "capacity", "cpu"), -1, r"sites\[0\].capacity.cpu: `-1` is too small"),
    (("sites", 1, "name"), "a", r"sites\[1\].name: `a` is the name of sites\[0\] too"),
    (("workloads", 0, "cost"), {"x": 1}, r"workloads\[0\].cost.x: no site is named `x`"),
    (("workloads", 0, "cost", "a"), float("nan"), r"workloads\[0\].cost.a: `nan` is not a finite number"),
    (("workloads", 0, "demand"), {"y": 1}, r"workloads\[0\].demand.y: no zone is named `y`"),
    (("workloads", 0, "allowed"), ["x"], r"workloads\[0\].allowed\[0\]: no site is named `x`"),
    (("workloads", 0, "replicas"), 3, r"workloads\[0\].replicas: 3 replicas must be spread, over 2 sites"),
    (("workloads", 0, "affinity"), ["nobody"], r"workloads\[0\].affinity\[0\]: no workload is named `nobody`"),
    (("workloads", 0, "nme"), 1, r"workloads\[0\].nme: no such field"),
    (("latency_ms", "z", "a"), float("nan"), "latency_ms.z.a: `nan` is not a finite number"),
    (("latency_ms", "z", "a"), -1, "latency_ms.z.a: `-1` is too small"),
    (("open",), {"count": 3}, "open.count: 3 sites to open, and there are 2"),
]  # fmt: skip


def test_the_good_problem_is_good() -> None:
    assert len(parse_problem(GOOD).workloads) == 2


@pytest.mark.parametrize(("path", "value", "said"), BAD)
def test_a_mistake_is_one_line_with_its_place(path: tuple[Any, ...], value: Any, said: str) -> None:
    problem = copy.deepcopy(GOOD)
    at: Any = problem
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(InvalidInput, match=said) as refused:
        parse_problem(problem, "p.json")
    assert "To mend it: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_affinities_in_a_circle_are_named() -> None:
    problem = copy.deepcopy(GOOD)
    problem["workloads"][0]["affinity"], problem["workloads"][1]["affinity"] = ["v"], ["w"]
    with pytest.raises(InvalidInput, match="affinity runs in a circle: w -> v -> w"):
        parse_problem(problem)
