"""The formula of the Horizontal Pod Autoscaler, on nodes."""

from __future__ import annotations

import pytest

from tasks.scaling.decide import ReasonCode


@pytest.mark.parametrize(
    ("cpu_cores", "nodes"),
    [
        (24.0 * 0.7, 6),  # at the target
        (24.0 * 0.7 * 1.09, 6),  # within a tenth of it
        (24.0 * 0.7 * 1.12, 7),  # beyond
        (24.0 * 0.7 * 0.91, 6),
        (24.0 * 0.5, 5),  # ceil(6 * 50 / 70)
    ],
)
def test_nodes_follow_utilisation_over_target_beyond_the_tolerance(stage, cpu_cores, nodes):
    decided = stage.scene(policy="target-tracking", forecast=None, cpu_cores=cpu_cores, numbers=WHOLE).decide()
    assert decided.target[0] == nodes


WHOLE = {"max_step_down_nodes": 30, "disruption_ratio": 1.0}


def test_the_most_used_resource_decides(stage, reason_of):
    decided = stage.scene(policy="target-tracking", forecast=None, memory_bytes=90 * 2.0**30).decide()
    assert decided.target[0] == 9  # 90 of 96 GiB
    assert reason_of(decided, ReasonCode.REACTIVE_NEED).resource == "memory_bytes"


def test_it_shrinks_to_the_most_wanted_in_its_window(stage):
    scene = {"policy": "target-tracking", "forecast": None, "cpu_cores": 6.0, "memory_bytes": 2.0**30}
    assert stage.scene(**scene, numbers=WHOLE, recent_want=4.0).decide().target[0] == 4
    assert stage.scene(**scene, numbers={**WHOLE, "down_stabilisation_s": 0.0}, recent_want=4.0).decide().target[0] == 3
