"""What stands around a pool: its schedule, its pods, other flows, freezes, quota."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.scaling.decide import Action, ReasonCode

GIB = 2.0**30
IDLE = {"cpu_cores": 4.0, "memory_bytes": 8 * GIB, "peak_cpu": 4.0, "peak_memory": 8 * GIB}  # needs 2 of the 6 nodes
FREE = {"max_step_down_nodes": 30, "disruption_ratio": 1.0}


def sizes(decided):
    return decided.action[0], int(decided.current[0]), int(decided.target[0])


def test_an_idle_pool_shrinks(stage):
    assert sizes(stage.scene(numbers=FREE, **IDLE).decide()) == (Action.DOWN, 6, 2)


@pytest.mark.parametrize("policy", ["predictive", "seed", "target-tracking", "schedule"])
def test_no_policy_shrinks_below_what_pods_request(stage, policy):
    decided = stage.scene(policy=policy, numbers=FREE, requested_cpu_cores=15.0, **IDLE).decide()
    assert sizes(decided) == (Action.DOWN, 6, 4)


@pytest.mark.parametrize(
    ("requested", "more", "resource", "nodes"),
    [
        ({"requested_cpu_cores": 31.0}, {}, "cpu_cores", 8),
        ({"requested_memory_bytes": 120 * GIB}, {}, "memory_bytes", 8),
        ({"requested_gpus": 15.0}, {"node_gpus": 2.0}, "gpus", 8),
        ({"requested_pods": 80.0}, {"node_pods": 10.0}, "pods", 8),
    ],
)
def test_a_pool_grows_to_what_pods_request_and_names_the_binding_resource(
    stage, reason_of, requested, more, resource, nodes
):
    decided = stage.scene(**requested, **more).decide()
    assert decided.target[0] == nodes
    assert reason_of(decided, ReasonCode.REQUESTS).resource == resource


def test_requests_that_are_not_known_hold_the_size(stage, reason_of):
    decided = stage.scene(numbers=FREE, requested_cpu_cores=np.nan, **IDLE).decide()
    assert sizes(decided) == (Action.REFUSE, 6, 6)
    assert reason_of(decided, ReasonCode.REQUESTS_UNKNOWN)


def test_pods_that_wait_although_all_seems_to_fit_get_one_node_more(stage, reason_of):
    assert sizes(stage.scene(pending_pods=3).decide()) == (Action.UP, 6, 7)
    on_its_way = {"ready": 5, "last_change_s": 60.0}
    assert sizes(stage.scene(pending_pods=3, **on_its_way).decide()) == (Action.HOLD, 6, 6)


def test_a_schedule_is_the_least_that_a_pool_gets(stage, reason_of):
    decided = stage.scene(scheduled_nodes=9).decide()
    assert sizes(decided) == (Action.UP, 6, 9)
    assert reason_of(decided, ReasonCode.SCHEDULED).numbers == {"scheduled_nodes": 9}
    assert sizes(stage.scene(numbers=FREE, scheduled_nodes=4, **IDLE).decide()) == (Action.DOWN, 6, 4)


def test_a_spot_node_that_is_taken_back_is_wanted_once_more(stage, reason_of):
    decided = stage.scene(cpu_cores=16.0, interrupted_nodes=2).decide()  # 16 cores at 70 % need 6 nodes
    assert sizes(decided) == (Action.UP, 6, 8)
    assert reason_of(decided, ReasonCode.SPOT_INTERRUPTION)


def test_what_another_flow_has_reserved_is_not_drained(stage, reason_of):
    decided = stage.scene(numbers=FREE, reserved_nodes=3, **IDLE).decide()
    assert sizes(decided) == (Action.DOWN, 6, 5)
    assert reason_of(decided, ReasonCode.RESERVED).numbers == {"reserved_nodes": 3}


def test_no_more_nodes_leave_than_disruption_budgets_allow(stage, reason_of):
    assert sizes(stage.scene(numbers=FREE, removable_nodes=1, **IDLE).decide()) == (Action.DOWN, 6, 5)
    never = stage.scene(numbers=FREE, removable_nodes=0, **IDLE).decide()
    assert sizes(never) == (Action.REFUSE, 6, 6)
    assert reason_of(never, ReasonCode.POD_DISRUPTION_BUDGET)


def test_growth_ends_at_the_quota(stage, reason_of):
    decided = stage.scene(cpu_cores=30.0, quota_nodes=2).decide()
    assert sizes(decided) == (Action.UP, 6, 8)
    assert reason_of(decided, ReasonCode.QUOTA).numbers == {"quota_nodes": 2, "unmet_nodes": 3}
    assert sizes(stage.scene(cpu_cores=30.0, quota_nodes=0).decide()) == (Action.REFUSE, 6, 6)


def test_a_change_freeze_stops_growth_and_shrinking(stage, reason_of):
    for busy in ({"cpu_cores": 30.0}, IDLE):
        decided = stage.scene(numbers=FREE, frozen=True, **busy).decide()
        assert sizes(decided) == (Action.REFUSE, 6, 6)
        assert reason_of(decided, ReasonCode.CHANGE_FREEZE)


def test_a_freeze_of_shrinking_lets_a_pool_grow(stage):
    assert stage.scene(numbers=FREE, growth_only=True, cpu_cores=30.0).decide().action[0] == Action.UP
    assert stage.scene(numbers=FREE, growth_only=True, **IDLE).decide().action[0] == Action.REFUSE
