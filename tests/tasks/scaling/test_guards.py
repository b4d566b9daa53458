from __future__ import annotations

import numpy as np
import pytest

from tasks.scaling.decide import Action, ReasonCode

GIB = 2.0**30


def outcome(decided, row=0):
    return decided.action[row], int(decided.target[row])


def test_a_calm_pool_shrinks_to_its_need(stage):
    assert outcome(stage.scene().decide()) == (Action.DOWN, 5)


def test_demand_beyond_the_maximum_goes_to_the_maximum_and_reports_the_rest(stage, reason_of):
    decided = stage.scene(cpu_cores=70.0, max_nodes=8).decide()  # needs 25
    assert outcome(decided) == (Action.UP, 8)
    assert reason_of(decided, ReasonCode.AT_MAX).numbers == {"max_nodes": 8, "unmet_nodes": 17}


def test_demand_beyond_the_maximum_is_refused_at_the_maximum(stage, reason_of):
    decided = stage.scene(cpu_cores=70.0, max_nodes=6).decide()
    assert outcome(decided) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.AT_MAX).numbers["unmet_nodes"] == 19


def test_the_minimum_holds_the_pool_up(stage, reason_of):
    decided = stage.scene(min_nodes=6).decide()
    assert outcome(decided) == (Action.HOLD, 6)
    assert reason_of(decided, ReasonCode.AT_MIN)


def test_a_pool_below_its_minimum_is_brought_in_at_once_past_the_step_limit(stage, reason_of):
    numbers = {"max_step_up_nodes": 1, "max_step_up_ratio": 0.0}
    decided = stage.scene(desired=2, ready=2, min_nodes=9, age_s=np.inf, numbers=numbers).decide()
    assert outcome(decided) == (Action.UP, 9)
    assert reason_of(decided, ReasonCode.BELOW_MIN)


def test_a_pool_above_its_maximum_is_reported_and_not_cut_while_demand_needs_it(stage, reason_of):
    decided = stage.scene(max_nodes=4).decide()
    assert outcome(decided) == (Action.HOLD, 6)
    assert reason_of(decided, ReasonCode.ABOVE_MAX).numbers == {"max_nodes": 4, "over_nodes": 2}


def test_a_pool_above_its_maximum_shrinks_by_an_ordinary_scale_down(stage):
    fits = {"max_nodes": 4, "cpu_cores": 8.0, "peak_cpu": 9.0, "memory_bytes": 16 * GIB}
    assert outcome(stage.scene(**fits, numbers={"disruption_ratio": 1.0}).decide()) == (Action.DOWN, 4)


def test_a_scale_down_that_would_stop_above_the_maximum_is_left_and_costs_no_budget(stage):
    low = {"cpu_cores": 8.0, "peak_cpu": 9.0, "memory_bytes": 16 * GIB}
    scene = stage.scene(2, names=("a/over", "b/web"), **low, max_nodes=[4, 20], desired=[8, 6], ready=[8, 6])
    decided = scene.decide()  # one of 14 nodes may go; a/over would need to lose four
    assert outcome(decided, 0) == (Action.REFUSE, 8)
    assert outcome(decided, 1) == (Action.DOWN, 5)


def test_no_scale_down_soon_after_a_scale_up(stage, reason_of):
    decided = stage.scene(last_up_s=300.0).decide()
    assert outcome(decided) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.COOLDOWN).numbers == {"since_up_s": 300.0, "limit_s": 600.0}
    assert outcome(stage.scene(last_up_s=600.0).decide()) == (Action.DOWN, 5)


def test_an_unknown_time_of_the_last_scale_up_counts_as_now(stage):
    assert outcome(stage.scene(last_up_s=np.nan).decide()) == (Action.REFUSE, 6)


def test_a_pool_shrinks_only_to_what_was_wanted_lately(stage, reason_of):
    big = {"desired": 12, "ready": 12, "numbers": {"disruption_ratio": 1.0, "max_step_down_nodes": 20}}
    decided = stage.scene(recent_want=9.0, **big).decide()
    assert outcome(decided) == (Action.DOWN, 9)
    assert reason_of(decided, ReasonCode.DOWN_STABILISATION).numbers["recent_want_nodes"] == 9
    assert outcome(stage.scene(recent_want=30.0, **big).decide()) == (Action.HOLD, 12)


def test_a_step_up_is_limited(stage, reason_of):
    decided = stage.scene(cpu_cores=50.0, numbers={"max_step_up_nodes": 2, "max_step_up_ratio": 0.5}).decide()
    assert outcome(decided) == (Action.UP, 9)  # 18 wanted, half of 6 more
    assert reason_of(decided, ReasonCode.STEP_LIMIT).numbers == {"wanted_change_nodes": 12, "limit_nodes": 3}


def test_a_step_down_is_limited(stage):
    numbers = {"disruption_ratio": 1.0, "max_step_down_nodes": 1, "max_step_down_ratio": 0.2}
    assert outcome(stage.scene(desired=20, ready=20, numbers=numbers).decide()) == (Action.DOWN, 16)


def test_nodes_that_come_in_groups_are_asked_for_in_groups(stage, reason_of):
    decided = stage.scene(multiple_of=3, cpu_cores=20.0).decide()  # needs 8
    assert outcome(decided) == (Action.UP, 9)
    assert reason_of(decided, ReasonCode.MULTIPLE).numbers == {"wished_nodes": 8, "multiple_nodes": 3}
    assert outcome(stage.scene(multiple_of=3, cpu_cores=20.0, max_nodes=8).decide()) == (Action.REFUSE, 6)


def test_a_busy_pool_rests(stage, reason_of):
    decided = stage.scene(busy=True, cpu_cores=70.0).decide()
    assert outcome(decided) == (Action.HOLD, 6)
    assert reason_of(decided, ReasonCode.BUSY)


def test_a_hands_off_pool_keeps_its_target_as_a_patch(stage, reason_of):
    decided = stage.scene(hands_off=True, cpu_cores=20.0).decide()
    assert outcome(decided) == (Action.REFUSE, 8)
    assert reason_of(decided, ReasonCode.HANDS_OFF).numbers == {"patch_nodes": 8}


@pytest.mark.parametrize("owner", ["argo-cd", "flux", "cluster-autoscaler", "karpenter"])
def test_a_pool_that_somebody_else_sizes_is_refused(stage, reason_of, owner):
    decided = stage.scene(owner=owner, cpu_cores=20.0).decide()
    assert outcome(decided) == (Action.REFUSE, 8)
    assert reason_of(decided, ReasonCode.FOREIGN_OWNER)


def test_an_owned_pool_that_needs_no_change_just_holds(stage):
    assert outcome(stage.scene(owner="flux", cpu_cores=16.0).decide()) == (Action.HOLD, 6)


def test_fixed_hardware_refuses_to_grow_and_holds_when_idle(stage, reason_of):
    full, idle = stage.scene(fixed=True, cpu_cores=20.0).decide(), stage.scene(fixed=True).decide()
    assert outcome(full) == (Action.REFUSE, 6)
    assert reason_of(full, ReasonCode.FIXED_AT_CAPACITY).numbers == {"unmet_nodes": 2}
    assert outcome(idle) == (Action.HOLD, 6)
    assert reason_of(idle, ReasonCode.FIXED)


def test_an_unreachable_pool_holds_and_nothing_else_is_believed_about_it(stage):
    lost = [True] + [False] * 9
    decided = stage.scene(10, reachable=np.logical_not(lost), cpu_cores=70.0, desired=0, ready=3).decide()
    assert outcome(decided) == (Action.HOLD, 0)
    assert [found.code for found in decided.reasons[0]] == [ReasonCode.UNREACHABLE]
    assert decided.action[1] == Action.UP


def test_too_many_unreachable_pools_hold_the_whole_fleet(stage, reason_of):
    decided = stage.scene(4, reachable=[False, True, True, True], cpu_cores=70.0).decide()
    assert set(decided.action) == {Action.HOLD}
    assert reason_of(decided, ReasonCode.FLEET_UNREACHABLE, 1).numbers["unreachable_ratio"] == 0.25


def test_nodes_still_booting_are_counted_once_and_stop_a_scale_down(stage, reason_of):
    growing = stage.scene(desired=8, ready=5, last_change_s=60.0, cpu_cores=20.0).decide()
    assert outcome(growing) == (Action.HOLD, 8)
    shrinking = stage.scene(ready=5, last_change_s=60.0).decide()
    assert outcome(shrinking) == (Action.HOLD, 6)
    assert reason_of(shrinking, ReasonCode.BOOTING).numbers["missing_nodes"] == 1


def test_nodes_that_never_become_ready_are_reported(stage, reason_of):
    decided = stage.scene(ready=5, last_change_s=1000.0).decide()
    assert outcome(decided) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.NODES_NOT_READY).numbers == {"missing_nodes": 1, "limit_s": 480.0}


def test_a_policy_may_only_grow(stage, reason_of):
    decided = stage.scene(numbers={"scale_out_only": True}).decide()
    assert outcome(decided) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.SCALE_OUT_ONLY)


def test_the_budget_goes_to_the_largest_surplus_then_by_name(stage, reason_of):
    sizes = [12, 7, 7, 8]
    scene = stage.scene(
        4, names=("d/x", "b/x", "a/x", "c/x"), desired=sizes, ready=sizes, numbers={"max_step_down_nodes": 3}
    )
    decided = scene.decide()  # 34 nodes: 3 may go; surpluses 7 (3 a step), 2, 2, 3
    assert decided.target.tolist() == [12, 7, 7, 5]
    assert decided.action == (Action.REFUSE, Action.REFUSE, Action.REFUSE, Action.DOWN)
    numbers = reason_of(decided, ReasonCode.DISRUPTION_BUDGET, 0).numbers
    assert numbers == {"wanted_change_nodes": 3, "granted_nodes": 0, "budget_nodes": 3, "fleet_nodes": 34}


def test_nodes_already_leaving_count_against_the_budget(stage):
    decided = stage.scene(2, desired=[6, 6], ready=[6, 8], busy=[False, True]).decide()
    assert outcome(decided) == (Action.REFUSE, 6)


def test_a_budget_of_zero_removes_nothing(stage):
    assert outcome(stage.scene(numbers={"disruption_ratio": 0.0}).decide()) == (Action.REFUSE, 6)
