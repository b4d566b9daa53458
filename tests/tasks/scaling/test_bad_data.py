from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from blocks.errors import InvalidInput
from tasks.scaling.decide import Action, ReasonCode

BAD = [np.nan, -1.0, np.inf, -np.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("column", ["cpu_cores", "memory_bytes"])
def test_missing_negative_or_infinite_usage_never_lowers(stage, reason_of, column, value):
    decided = stage.scene(**{column: value}).decide()
    assert (decided.action[0], decided.target[0]) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.MISSING_DATA).resource == column


@pytest.mark.parametrize("age_s", [601.0, -601.0])
def test_stale_usage_and_usage_from_the_future_never_lower(stage, reason_of, age_s):
    decided = stage.scene(age_s=age_s).decide()
    assert (decided.action[0], decided.target[0]) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.STALE_DATA).numbers == {"age_s": age_s, "limit_s": 600.0}


@pytest.mark.parametrize("age_s", [np.inf, np.nan])
def test_no_sample_at_all_never_lowers(stage, reason_of, age_s):
    decided = stage.scene(age_s=age_s).decide()
    assert decided.action[0] == Action.REFUSE
    assert reason_of(decided, ReasonCode.MISSING_DATA)


def test_stale_usage_raises_to_nothing_by_itself(stage):
    assert stage.scene(age_s=9999.0, cpu_cores=70.0).decide().target[0] == 6


def test_a_fresh_forecast_raises_even_where_usage_is_lost(stage):
    decided = stage.scene(age_s=np.inf, peak_cpu=31.2).decide()
    assert (decided.action[0], decided.target[0]) == (Action.UP, 9)


def test_usage_of_zero_on_ready_nodes_is_taken_for_a_lost_metric(stage, reason_of):
    decided = stage.scene(cpu_cores=0.0, memory_bytes=0.0).decide()
    assert (decided.action[0], decided.target[0]) == (Action.REFUSE, 6)
    assert reason_of(decided, ReasonCode.ZERO_USAGE)


def test_usage_of_zero_on_no_nodes_is_believed(stage):
    decided = stage.scene(
        desired=0, ready=0, min_nodes=0, cpu_cores=0.0, memory_bytes=0.0, peak_cpu=0.0, peak_memory=0.0
    )
    assert decided.decide().action[0] == Action.HOLD


def test_an_old_forecast_leaves_present_usage_to_decide_but_not_to_lower(stage, reason_of):
    stale = stage.scene(forecast_age_s=901.0, peak_cpu=70.0).decide()
    assert (stale.want[0], stale.action[0], stale.target[0]) == (5, Action.REFUSE, 6)
    assert reason_of(stale, ReasonCode.FORECAST_STALE).numbers == {"age_s": 901.0, "limit_s": 900.0}
    assert stage.scene(forecast_age_s=901.0, cpu_cores=20.0).decide().target[0] == 8


@pytest.mark.parametrize("value", BAD)
def test_a_forecast_that_is_no_number_is_as_none(stage, reason_of, value):
    decided = stage.scene(peak_cpu=value).decide()
    assert (decided.want[0], decided.target[0], decided.action[0]) == (5, 6, Action.REFUSE)
    assert reason_of(decided, ReasonCode.FORECAST_INCOMPLETE).resource == "cpu_cores"


def test_a_gap_in_the_forecast_still_lets_the_rest_of_it_raise(stage):
    gap = np.full((1, 12), 31.2)
    gap[0, 1] = np.nan
    assert stage.scene(peak_cpu=gap).decide().target[0] == 9


def test_a_forecast_too_short_for_the_boot_time_does_not_lower(stage, reason_of):
    decided = stage.scene(boot_s=3600.0).decide()
    assert decided.action[0] == Action.REFUSE
    assert reason_of(decided, ReasonCode.FORECAST_INCOMPLETE).numbers == {"horizon_s": 3900.0}


def test_a_forecast_without_the_pools_series_says_so(stage, reason_of):
    scene = stage.scene(2)
    only = replace(scene.forecast, unique_id=("x", *scene.forecast.unique_id[1:]))
    decided = replace(scene, forecast=only).decide()
    assert reason_of(decided, ReasonCode.FORECAST_MISSING, 0).resource == "cpu_cores"
    assert reason_of(decided, ReasonCode.FORECAST_MISSING, 1) is None
    assert decided.action[0] == Action.REFUSE


def test_no_forecast_at_all_is_reactive_and_does_not_lower(stage, reason_of):
    decided = stage.scene(forecast=None).decide()
    assert reason_of(decided, ReasonCode.FORECAST_MISSING)
    assert (decided.action[0], decided.target[0]) == (Action.REFUSE, 6)
    assert stage.scene(forecast=None, cpu_cores=20.0).decide().target[0] == 8
    assert np.isnan(decided.promised.violation_minutes_if_not[0])


def test_tables_of_different_length_are_refused(stage):
    with pytest.raises(InvalidInput, match="1 pools are observed, 2 are described"):
        replace(stage.scene(2), observed=stage.scene().observed).decide()


def test_a_time_without_zone_is_refused(stage):
    with pytest.raises(InvalidInput, match="no time zone"):
        stage.scene().decide(datetime(2026, 3, 4))  # noqa: DTZ001


def test_bounds_the_wrong_way_round_name_the_pool(stage):
    with pytest.raises(InvalidInput, match="pool c001/web: min_nodes is not within"):
        stage.scene(2, min_nodes=[1, 30])


def test_a_pool_listed_twice_is_named(stage):
    with pytest.raises(InvalidInput, match="pool a/b: the pool is listed twice"):
        stage.scene(2, names=("a/b", "a/b"))
