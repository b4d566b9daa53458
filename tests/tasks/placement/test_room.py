"""Whether pods fit node by node."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.placement.observe import fitting_pods, takes_any_pod

QUARTERS = st.integers(0, 40).map(lambda each: each / 4)
READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@given(st.lists(st.tuples(QUARTERS, QUARTERS, st.integers(0, 6)), min_size=1, max_size=6),
       st.integers(1, 12).map(lambda each: each / 4), st.integers(1, 12).map(lambda each: each / 4))  # fmt: skip
def test_as_many_pods_fit_as_can_be_put_there_one_by_one(
    nodes: list[tuple[float, float, int]], cores: float, memory: float
) -> None:
    def put(node: tuple[float, float, int]) -> int:
        left, count = list(node), 0
        while left[0] >= cores and left[1] >= memory and left[2] >= 1:
            left, count = [left[0] - cores, left[1] - memory, left[2] - 1], count + 1
        return count

    assert fitting_pods(np.array(nodes), cores, memory).tolist() == [put(node) for node in nodes]


@pytest.mark.parametrize(("spec", "status", "takes"), [
    ({}, READY, True), ({"unschedulable": True}, READY, False), ({}, {"conditions": []}, False),
    ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, READY, False),
    ({"taints": [{"key": "gpu", "effect": "NoExecute"}]}, READY, False),
    ({"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}, READY, True),
])  # fmt: skip
def test_only_nodes_that_take_any_pod_count(spec: dict, status: dict, takes: bool) -> None:
    assert takes_any_pod({"metadata": {"name": "a"}, "spec": spec, "status": status}) is takes
