"""Replicas that metrics ask for, against the rules as they are written down and against laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.kubernetes.autoscaling.replicas import (
    Measured,
    NoProposal,
    Sample,
    Tolerance,
    by_average,
    by_utilization,
)
from deployments.local.kubernetes.trees import timestamp

Json = dict[str, Any]

NOW_S = 1_800_000_000.0
CPU, MEMORY = Measured("cpu"), Measured("memory")


def pod(name: str, phase: str = "Running", ready: str = "True", age_s: float = 3600, ready_for_s: float = 3500) -> Json:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": timestamp(NOW_S - ready_for_s)}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "1k"}}}]},
        "status": {"phase": phase, "startTime": timestamp(NOW_S - age_s), "conditions": [condition]},
    }


def used(*values: int) -> tuple[list[Json], dict[str, Sample]]:
    pods = [pod(f"p{i}") for i in range(len(values))]
    return pods, {f"p{i}": Sample(value, NOW_S, 15) for i, value in enumerate(values)}


def replicas(pods: list[Json], samples: dict[str, Sample], present: int, target: int = 50, what: Measured = CPU) -> int:
    return by_utilization(pods, samples, what, target, present, Tolerance(), NOW_S).replicas


def test_replicas_follow_the_ratio_of_use_to_target() -> None:
    assert replicas(*used(100, 100, 100), 3) == 6
    assert replicas(*used(10, 10, 10), 3) == 1


def test_within_a_tenth_of_the_target_nothing_changes() -> None:
    assert replicas(*used(55, 55), 2) == 2
    assert replicas(*used(45, 45), 2) == 2
    assert replicas(*used(56, 56), 2) == 3


def test_a_tolerance_of_its_own_replaces_the_default() -> None:
    pods, samples = used(55, 55)
    assert by_utilization(pods, samples, CPU, 50, 2, Tolerance(0.1, 0.0), NOW_S).replicas == 3


def test_a_pod_without_a_sample_uses_all_it_requests_on_the_way_down_and_nothing_on_the_way_up() -> None:
    pods, samples = used(10, 10, 0)
    del samples["p2"]
    assert replicas(pods, samples, 3) == 3  # (10 + 10 + 100) / 300 = 40 %
    samples = {"p0": Sample(90, NOW_S, 15), "p1": Sample(90, NOW_S, 15)}
    assert replicas(pods, samples, 3) == 4  # (90 + 90 + 0) / 300 = 60 %


def test_a_pod_that_is_not_ready_holds_back_growth_only() -> None:
    pods, samples = used(90, 90, 90)
    pods[2] = pod("p2", "Pending")
    del samples["p2"]
    assert replicas(pods, samples, 3) == 4
    pods, samples = used(10, 10, 10)
    pods[2] = pod("p2", "Pending")
    del samples["p2"]
    assert replicas(pods, samples, 3) == 1


def test_a_young_pods_cpu_counts_once_a_window_lies_after_its_readiness() -> None:
    pods, samples = used(100, 100)
    pods[1] = pod("p1", age_s=60, ready_for_s=10)
    assert replicas(pods, samples, 2) == 2
    pods[1] = pod("p1", age_s=60, ready_for_s=20)
    assert replicas(pods, samples, 2) == 4


def test_an_old_pod_that_never_was_ready_is_left_out_and_one_that_was_counts() -> None:
    pods, samples = used(100, 100)
    pods[1] = pod("p1", ready="False", age_s=3600, ready_for_s=3590)
    assert replicas(pods, samples, 2) == 2
    pods[1] = pod("p1", ready="False", age_s=3600, ready_for_s=60)
    assert replicas(pods, samples, 2) == 4


def test_readiness_means_nothing_for_memory() -> None:
    pods = [pod("p0"), pod("p1", age_s=60, ready_for_s=10)]
    samples = {name: Sample(1_000_000, NOW_S, 15) for name in ("p0", "p1")}
    assert replicas(pods, samples, 2, what=MEMORY) == 4


def test_failed_and_leaving_pods_are_left_out() -> None:
    pods, samples = used(100, 100, 0, 0)
    pods[2], pods[3] = pod("p2", "Failed"), pod("p3")
    pods[3]["metadata"]["deletionTimestamp"] = timestamp(NOW_S)
    assert replicas(pods, samples, 2) == 4


def test_without_requests_or_pods_or_samples_nothing_is_proposed() -> None:
    pods, samples = used(50)
    with pytest.raises(NoProposal, match="no pods returned by selector"):
        replicas([], {}, 1)
    with pytest.raises(NoProposal, match="did not receive metrics"):
        replicas(pods, {}, 1)
    pods[0]["spec"]["containers"][0]["resources"] = {}
    with pytest.raises(NoProposal, match="missing request for cpu in container main of Pod p0"):
        replicas(pods, samples, 1)


def test_an_average_value_is_met_whatever_pods_request() -> None:
    pods, samples = used(400, 200)
    assert by_average(pods, samples, CPU, 100, 2, Tolerance(), NOW_S).replicas == 6


USE = st.lists(st.integers(0, 1000), min_size=1, max_size=12)


@given(USE, st.integers(1, 200))
def test_with_every_pod_ready_the_count_is_the_rule_of_the_documentation(values: list[int], target: int) -> None:
    pods, samples = used(*values)
    percent = sum(values) * 100 // (100 * len(values))
    ratio, present = percent / target, len(values)
    wanted = present if 0.9 <= ratio <= 1.1 else math.ceil(ratio * present)
    assert replicas(pods, samples, present, target) == wanted


@given(USE, st.integers(1, 200), st.data())
def test_missing_samples_never_turn_the_direction_of_a_change(
    values: list[int], target: int, data: st.DataObject
) -> None:
    pods, samples = used(*values)
    lost = data.draw(st.sets(st.sampled_from([entry["metadata"]["name"] for entry in pods]), max_size=len(pods) - 1))
    kept = {name: sample for name, sample in samples.items() if name not in lost}
    present = len(values)
    damped = replicas(pods, kept, present, target)
    percent = sum(s.value for s in kept.values()) * 100 // (100 * len(kept))
    if percent < target:
        assert damped <= present
    elif percent > target:
        assert damped >= present
    else:
        assert damped == present
