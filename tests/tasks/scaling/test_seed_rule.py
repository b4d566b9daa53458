from __future__ import annotations

import numpy as np
import pytest

from tasks.scaling.decide import Action, ReasonCode, Thresholds

GIB = 2.0**30
NODES, CORES, BYTES = 10, 4.0, 16 * GIB
FREE = {"disruption_ratio": 1.0, "max_step_down_nodes": 99, "zero_is_missing": False}


def decide(stage, cpu, memory, predicted_cpu, predicted_memory, **more):
    """Utilisations in percent of ten nodes; the seed reads the median, which the stage puts at 90 % of its peak."""
    forecast = {"peak_cpu": predicted_cpu / 90 * NODES * CORES, "peak_memory": predicted_memory / 90 * NODES * BYTES}
    used = {"cpu_cores": cpu / 100 * NODES * CORES, "memory_bytes": memory / 100 * NODES * BYTES}
    return stage.scene(desired=NODES, ready=NODES, policy="seed", numbers=FREE, **used, **forecast, **more).decide()


@pytest.mark.parametrize("cpu", [25, 50, 75])
@pytest.mark.parametrize("memory", [35, 60, 85])
@pytest.mark.parametrize("predicted_cpu", [35, 55, 75])
@pytest.mark.parametrize("predicted_memory", [45, 65, 85])
def test_truth_table(stage, cpu, memory, predicted_cpu, predicted_memory):
    up = cpu > 70 or memory > 80 or predicted_cpu > 70 or predicted_memory > 80
    down = cpu < 30 and memory < 40 and predicted_cpu < 40 and predicted_memory < 50
    expected = Action.UP if up else Action.DOWN if down else Action.HOLD
    assert decide(stage, cpu, memory, predicted_cpu, predicted_memory).action[0] == expected


@pytest.mark.parametrize(
    ("values", "action"),
    [
        ((70, 0, 0, 0), Action.HOLD),
        ((70.1, 0, 0, 0), Action.UP),
        ((10, 80, 0, 0), Action.HOLD),
        ((10, 80.1, 0, 0), Action.UP),
        ((29.9, 10, 10, 10), Action.DOWN),
        ((30, 10, 10, 10), Action.HOLD),
        ((10, 39.9, 10, 10), Action.DOWN),
        ((10, 40, 10, 10), Action.HOLD),
    ],
)
def test_limits_themselves_change_nothing(stage, values, action):
    assert decide(stage, *values).action[0] == action


def test_growing_brings_the_resource_back_to_its_limit_and_one_node_at_least(stage, reason_of):
    decided = decide(stage, 100, 10, 10, 10)
    assert decided.target[0] == 15  # 40 cores / (4 * 0.7) = 14.3
    assert reason_of(decided, ReasonCode.ABOVE_THRESHOLD).numbers == {"utilisation_ratio": 1.0, "limit_ratio": 0.7}
    assert decide(stage, 70.1, 10, 10, 10).target[0] == 11


def test_it_grows_by_a_node_where_a_lower_predicted_limit_asks_for_it(stage):
    early = {**FREE, "thresholds": Thresholds(predicted_up=(0.5, 0.5, np.inf, np.inf))}
    scene = stage.scene(desired=NODES, ready=NODES, policy="seed", numbers=early, cpu_cores=20.0, peak_cpu=24 / 0.9)
    assert scene.decide().target[0] == 11


def test_no_demand_on_no_nodes_holds(stage):
    nothing = {"desired": 0, "ready": 0, "min_nodes": 0, "cpu_cores": 0.0, "memory_bytes": 0.0}
    scene = stage.scene(policy="seed", peak_cpu=0.0, peak_memory=0.0, **nothing)
    assert scene.decide().action[0] == Action.HOLD


def test_shrinking_stops_half_way_between_the_limits(stage, reason_of):
    decided = decide(stage, 20, 10, 10, 10)
    assert decided.target[0] == 4  # 8 cores / (4 * 0.5)
    assert reason_of(decided, ReasonCode.BELOW_THRESHOLDS)


def test_predicted_demand_limits_how_far_it_shrinks(stage):
    assert decide(stage, 10, 10, 35, 10).target[0] == 7  # 14 cores / (4 * 0.5)


def test_predicted_terms_drop_out_of_a_pass_without_forecast(stage):
    decided = decide(stage, 20, 10, 75, 10, forecast=None)
    assert (decided.action[0], decided.target[0]) == (Action.DOWN, 4)


def test_a_forecast_with_gaps_blocks_its_scale_down(stage):
    assert decide(stage, 20, 10, np.nan, 10).action[0] == Action.REFUSE


def test_terms_of_a_resource_without_size_drop_out(stage):
    assert decide(stage, 20, np.nan, 20, np.nan, node_memory_bytes=np.inf).action[0] == Action.DOWN


def test_any_demand_on_no_nodes_grows(stage):
    scene = stage.scene(desired=0, ready=0, min_nodes=0, policy="seed", cpu_cores=1.0)
    decided = scene.decide()
    assert decided.action[0] == Action.UP
    assert decided.to_records()[0]["reasons"][0]["numbers"]["utilisation_ratio"] is None


def test_booting_nodes_are_not_bought_twice(stage):
    scene = stage.scene(desired=15, ready=10, policy="seed", cpu_cores=40.0, last_change_s=60.0, peak_cpu=40.0)
    assert scene.decide().action[0] == Action.HOLD
