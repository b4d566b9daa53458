from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from tasks.scaling.decide import Action, ReasonCode, revalidate


def again(stage, before, after, *, later_s=60.0):
    return revalidate(
        before.decide(), after.pools, after.observed, after.policy, stage.now + timedelta(seconds=later_s)
    )


def test_an_unchanged_world_changes_nothing(stage):
    scene = stage.scene(3, cpu_cores=[20.0, 12.0, 16.0])
    assert again(stage, scene, scene).to_records() == scene.decide().to_records()


@pytest.mark.parametrize("cpu_cores", [20.0, 12.0])
@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"desired": 7, "ready": 7}, ReasonCode.DESIRED_CHANGED),
        ({"max_nodes": 9}, ReasonCode.BOUNDS_CHANGED),
        ({"min_nodes": 2}, ReasonCode.BOUNDS_CHANGED),
        ({"busy": True}, ReasonCode.BUSY),
        ({"hands_off": True}, ReasonCode.HANDS_OFF),
        ({"owner": "flux"}, ReasonCode.FOREIGN_OWNER),
        ({"fixed": True}, ReasonCode.FIXED),
        ({"reachable": False}, ReasonCode.UNREACHABLE),
    ],
)
def test_a_change_is_dropped_where_its_pool_changed(stage, cpu_cores, changed, code):
    before = stage.scene(cpu_cores=cpu_cores)
    checked = again(stage, before, stage.scene(**{"cpu_cores": cpu_cores, **changed}))
    assert (checked.action[0], checked.target[0]) == (Action.REFUSE, 6)
    assert code in [found.code for found in checked.reasons[0]]
    assert checked.promised.node_hours_delta[0] == 0.0
    assert checked.promised.violation_minutes_if_changed[0] == checked.promised.violation_minutes_if_not[0]


@pytest.mark.parametrize("later_s", [900.1, -900.1])
def test_an_old_decision_expires(stage, reason_of, later_s):
    scene = stage.scene(cpu_cores=20.0)
    checked = again(stage, scene, scene, later_s=later_s)
    assert checked.action[0] == Action.REFUSE
    assert reason_of(checked, ReasonCode.EXPIRED).numbers["limit_s"] == 900.0
    assert again(stage, scene, scene, later_s=900.0).action[0] == Action.UP


@pytest.mark.parametrize("lost", [{"age_s": 9999.0}, {"cpu_cores": np.nan}, {"memory_bytes": -1.0}])
def test_lost_usage_drops_a_scale_down_and_leaves_a_scale_up(stage, lost):
    down, up = stage.scene(), stage.scene(cpu_cores=20.0)
    assert again(stage, down, stage.scene(**lost)).action[0] == Action.REFUSE
    assert again(stage, up, stage.scene(**{"cpu_cores": 20.0, **lost})).action[0] == Action.UP


def test_a_scale_down_is_dropped_where_usage_has_risen_past_its_target(stage, reason_of):
    checked = again(stage, stage.scene(), stage.scene(cpu_cores=14.1))
    assert checked.action[0] == Action.REFUSE
    assert reason_of(checked, ReasonCode.DEMAND_ROSE).numbers == {"needed_nodes": 6, "decided_nodes": 5}


def test_a_pool_that_left_the_inventory_is_dropped_and_order_does_not_matter(stage, reason_of):
    names = ("a/web", "b/web", "c/web")
    before = stage.scene(3, names=names, cpu_cores=[20.0, 24.0, 28.0])
    after = stage.scene(2, names=("c/web", "a/web"), cpu_cores=[28.0, 20.0])
    checked = again(stage, before, after)
    assert checked.action == (Action.UP, Action.REFUSE, Action.UP)
    assert reason_of(checked, ReasonCode.GONE, 1)


def test_too_many_unreachable_pools_stop_every_change(stage, reason_of):
    before = stage.scene(4, cpu_cores=20.0)
    checked = again(stage, before, stage.scene(4, cpu_cores=20.0, reachable=[True, True, True, False]))
    assert set(checked.action) == {Action.REFUSE}
    assert reason_of(checked, ReasonCode.FLEET_UNREACHABLE, 0)


def test_holds_and_patches_pass_unchanged(stage):
    before = stage.scene(2, cpu_cores=[16.0, 20.0], owner=["", "flux"])
    checked = again(stage, before, stage.scene(2, desired=9), later_s=10_000.0)
    assert checked.to_records() == before.decide().to_records()


def test_it_never_decides_anew(stage):
    before = stage.scene(cpu_cores=20.0)
    more = replace(before, observed=stage.scene(cpu_cores=60.0).observed)
    assert again(stage, before, more).target[0] == before.decide().target[0]
