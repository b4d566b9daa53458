from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.scaling.decide import Action, ReasonCode
from tasks.scaling.decide.needs import whole_nodes

GIB = 2.0**30


def test_present_cpu_sets_the_floor_at_seventy_percent(stage, reason_of):
    decided = stage.scene(cpu_cores=20.0, peak_cpu=1.0).decide()
    assert decided.want[0] == 8  # 20 / (4 * 0.7) = 7.14
    assert decided.reasons[0][0].code == ReasonCode.REACTIVE_NEED
    assert reason_of(decided, ReasonCode.REACTIVE_NEED).numbers["used_cpu_cores"] == 20.0


def test_the_forecast_peak_counts_at_ninety_percent(stage, reason_of):
    decided = stage.scene(peak_cpu=31.2).decide()
    assert (decided.want[0], decided.target[0], decided.action[0]) == (9, 9, Action.UP)  # 31.2 / (4 * 0.9) = 8.67
    assert decided.reasons[0][0].code == ReasonCode.FORECAST_PEAK
    numbers = reason_of(decided, ReasonCode.FORECAST_PEAK).numbers
    assert numbers["peak_cpu_cores"] == pytest.approx(31.2)
    assert numbers["need_nodes"] == pytest.approx(8.667, abs=1e-3)
    assert numbers["quantile_ratio"] == 0.9


def test_memory_binds_where_it_needs_more_nodes(stage):
    decided = stage.scene(memory_bytes=100 * GIB).decide()
    assert decided.want[0] == 9  # 100 / (16 * 0.7) = 8.93
    assert decided.reasons[0][0].resource == "memory_bytes"


def test_only_the_peak_until_new_nodes_could_be_ready_counts(stage):
    late = np.full((1, 24), 8.0)
    late[0, 12:] = 60.0  # an hour ahead
    assert stage.scene(peak_cpu=late, steps=24).decide().want[0] == 5
    assert stage.scene(peak_cpu=late, steps=24, boot_s=3600.0).decide().want[0] == 17  # 60 / 3.6 = 16.7


def test_each_pool_looks_as_far_ahead_as_its_own_boot_time(stage):
    late = np.full((2, 24), 8.0)
    late[:, 12:] = 60.0
    assert stage.scene(2, peak_cpu=late, steps=24, boot_s=[240.0, 3600.0]).decide().want.tolist() == [5, 17]


def test_the_peak_is_the_maximums_own_quantile_not_the_highest_of_the_steps(stage):
    scene = stage.scene(peak_cpu=31.2)
    higher = replace(scene, forecast=replace(scene.forecast, peaks=scene.forecast.peaks * np.float32(1.5)))
    assert (scene.decide().want[0], higher.decide().want[0]) == (9, 13)  # 46.8 / (4 * 0.9) = 13


def test_a_forecast_whose_first_step_is_over_gives_the_highest_of_the_steps_to_come(stage):
    past = np.full((1, 12), 8.0)
    past[0, 0] = 60.0
    scene = stage.scene(peak_cpu=past)
    later = replace(scene.forecast, start_s=scene.forecast.start_s - 600)
    assert replace(scene, forecast=later).decide().want[0] == 5


def test_the_time_of_the_peak_is_told(stage, reason_of):
    rising = np.full((1, 12), 8.0)
    rising[0, 3] = 40.0
    at_s = reason_of(stage.scene(peak_cpu=rising).decide(), ReasonCode.FORECAST_PEAK).numbers["peak_at_s"]
    assert at_s == stage.now.timestamp() + 900


def test_a_quantile_that_the_forecast_lacks_is_read_between_its_neighbours(stage, reason_of):
    decided = stage.scene(numbers={"quantile": 0.6}, peak_cpu=40.0).decide()
    found = reason_of(decided, ReasonCode.FORECAST_PEAK).numbers
    assert found["peak_cpu_cores"] == pytest.approx(37.0)  # a quarter of the way from the median, 36, to the p90, 40
    assert found["quantile_ratio"] == 0.6


def test_a_quantile_beyond_the_levels_is_read_at_the_outer_one(stage, reason_of):
    decided = stage.scene(numbers={"quantile": 0.99}, peak_cpu=40.0).decide()
    assert reason_of(decided, ReasonCode.FORECAST_PEAK).numbers["quantile_ratio"] == 0.9


def test_a_peak_that_demand_has_outrun_is_raised_by_the_gain(stage, reason_of):
    decided = stage.scene(numbers={"outrun_gain": 2.0}, peak_cpu=10.0, cpu_cores=12.0).decide()
    assert reason_of(decided, ReasonCode.FORECAST_OUTRUN).numbers["outrun_cpu_cores"] == pytest.approx(3.0)
    assert reason_of(decided, ReasonCode.FORECAST_PEAK).numbers["peak_cpu_cores"] == pytest.approx(16.0)


def test_demand_below_its_forecast_lowers_no_peak(stage, reason_of):
    decided = stage.scene(numbers={"outrun_gain": 2.0}, peak_cpu=20.0, peak_memory=40 * GIB, cpu_cores=12.0).decide()
    assert reason_of(decided, ReasonCode.FORECAST_OUTRUN) is None
    assert reason_of(decided, ReasonCode.FORECAST_PEAK).numbers["peak_cpu_cores"] == 20.0


def test_each_pool_may_have_numbers_of_its_own(stage):
    both = stage.scene(2, numbers={"predictive_target_ratio": np.array([0.9, 0.5])}, peak_cpu=40.0)
    alone = [stage.scene(numbers={"predictive_target_ratio": ratio}, peak_cpu=40.0).decide() for ratio in (0.9, 0.5)]
    assert both.decide().want.tolist() == [int(each.want[0]) for each in alone]


def test_forecast_rows_may_come_in_any_order(stage):
    scene = stage.scene(3, peak_cpu=[10.0, 40.0, 20.0])
    turned = np.arange(6)[::-1]
    shuffled = replace(
        scene.forecast,
        unique_id=tuple(scene.forecast.unique_id[i] for i in turned),
        values=scene.forecast.values[turned],
        peaks=scene.forecast.peaks[turned],
    )
    assert replace(scene, forecast=shuffled).decide().to_records() == scene.decide().to_records()


def test_a_resource_that_is_not_counted_needs_nothing_and_blocks_nothing(stage):
    scene = stage.scene(node_memory_bytes=np.inf, memory_bytes=np.nan, peak_memory=np.nan)
    decided = scene.decide()
    assert (decided.action[0], decided.target[0]) == (Action.DOWN, 5)
    assert all(found.resource != "memory_bytes" for found in decided.reasons[0])


def test_float32_rounding_does_not_buy_a_node():
    assert whole_nodes(np.array([3.0000001, 3.001, -1.0, np.nan, np.inf])).tolist() == [3, 4, 0, 0, 10**6]
