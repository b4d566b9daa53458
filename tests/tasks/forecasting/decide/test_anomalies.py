"""The detector of anomalies: one alert an episode, its rules for what is not ordinary, and laws for every series."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.forecasting.decide.anomalies import CAUSES, Anomalies, detect, mask, reach_of
from tasks.forecasting.decide.residuals import Cause

STEP_S, DAY, HOUR = 1800, 48, 3  # an "hour" is at least three steps
LENGTH = reach_of(STEP_S) + 5 * DAY
JUDGED = 4 * DAY


def wave(seed: int = 0, length: int = LENGTH) -> np.ndarray:
    """A daily wave about 100 with noise of 1."""
    steps = np.arange(length)
    return 100 + 20 * np.sin(2 * np.pi * steps / DAY) + np.random.default_rng(seed).normal(0, 1, length)


def series(*rows: np.ndarray) -> Series:
    return Series(tuple(f"s{i}" for i in range(len(rows))), 0, STEP_S, np.array(rows, np.float32))


def judge(values: np.ndarray, judged: int = JUDGED) -> Anomalies:
    return detect(series(values), judged)


def alerts(values: np.ndarray, judged: int = JUDGED) -> list[int]:
    """Columns of the alerts, from the end of the series: the last one is -1."""
    return (np.flatnonzero(judge(values, judged).alerts[0]) - judged).tolist()


def test_an_ordinary_daily_wave_is_quiet():
    assert alerts(wave()) == []


def test_a_spike_is_one_alert_at_its_step_with_what_was_expected():
    values = wave()
    values[-20] += 60
    found = judge(values)
    assert (np.flatnonzero(found.alerts[0]) - JUDGED).tolist() == [-20]
    assert found.score[0, -20] == 1
    assert found.direction[0, -20] == 1
    assert CAUSES[found.cause[0, -20]] is Cause.STEP
    assert abs(found.expected[0, -20] - (values[-20] - 60)) < 15


def test_a_fall_points_downwards():
    values = wave()
    values[-20] -= 60
    assert judge(values).direction[0, -20] == -1


@pytest.mark.parametrize("size", [40, -40, 200])
def test_a_level_that_stays_is_one_alert_and_then_quiet(size):
    values = wave()
    values[-3 * DAY :] += size
    assert alerts(values) == [-3 * DAY]


def test_a_slow_drift_is_found_although_no_step_of_it_is_large():
    values = wave()
    values[-2 * DAY :] += np.minimum(np.arange(2 * DAY) * 1.5, 40)
    found = alerts(values)
    assert len(found) == 1
    assert -2 * DAY < found[0] < -DAY


def test_a_flat_line_is_one_alert():
    values = wave()
    values[-DAY:] = values[-DAY]
    found = judge(values)
    assert found.alerts[0, -DAY:].sum() == 1
    assert CAUSES[found.cause[0, found.alerts[0].argmax()]] is Cause.STUCK


def test_a_larger_variance_is_found():
    values = wave()
    values[-DAY:] += np.random.default_rng(1).normal(0, 12, DAY)
    assert alerts(values)


def test_a_day_that_comes_six_hours_late_is_found():
    values = wave()
    values[-DAY:] = values[-DAY - 12 : -12]
    assert alerts(values)


def test_missing_steps_have_no_score_and_no_alert():
    values = wave()
    values[-DAY:] = np.nan
    found = judge(values)
    assert not found.alerts.any()
    assert np.isnan(found.score[0, -DAY:]).all()
    assert (found.cause[0, -DAY:] == -1).all()


def test_a_series_that_comes_back_as_it_was_is_quiet():
    values = wave()
    values[-2 * DAY : -DAY] = np.nan
    assert alerts(values) == []


def test_a_series_that_comes_back_elsewhere_is_an_alert_but_not_at_its_first_value():
    values = wave()
    values[-2 * DAY : -DAY] = np.nan
    values[-DAY:] += 200
    assert np.isnan(judge(values).score[0, -DAY])
    assert -DAY < alerts(values)[0] <= -DAY + HOUR


def test_a_new_series_has_no_score_in_its_probation():
    values = wave()
    values[: -DAY - DAY // 2] = np.nan
    values[-4] += 500
    assert np.isnan(judge(values).score).all()


def test_a_constant_series_is_quiet():
    assert alerts(np.full(LENGTH, 7.0)) == []


def test_a_change_of_a_constant_series_is_an_alert():
    values = np.full(LENGTH, 7.0)
    values[-10] = 8.0
    assert alerts(values) == [-10]


def test_a_change_of_less_than_one_percent_is_none():
    values = np.full(LENGTH, 7.0)
    values[-10] = 7.05
    assert alerts(values) == []


def test_the_reset_of_a_counter_is_quiet():
    values = np.cumsum(wave())
    values[-30:] -= values[-31]
    assert alerts(values) == []


def test_a_burst_in_a_counter_is_an_alert():
    values = np.cumsum(wave())
    values[-30:] += 3000
    assert alerts(values) == [-30]


def test_a_fall_of_a_gauge_is_no_reset():
    values = wave()
    values[-30:] = 10
    assert alerts(values)[0] == -30


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e18])
def test_what_is_no_measurement_counts_as_missing(wild):
    holed, broken = wave(), wave()
    holed[-30], broken[-30] = np.nan, wild
    for field in fields(Anomalies):
        np.testing.assert_array_equal(getattr(judge(broken), field.name), getattr(judge(holed), field.name))


def test_a_value_of_1e17_is_one_alert_and_the_series_is_scored_on():
    values = wave()
    values[-2 * DAY] = 1e17
    assert alerts(values) == [-2 * DAY]
    assert np.isfinite(judge(values).score[0, -DAY:]).all()


def test_a_daily_peak_is_no_anomaly():
    values = wave()
    values[::DAY] += 60
    assert alerts(values) == []


def test_a_second_spike_in_the_refractory_is_the_same_episode():
    values = wave()
    values[-20] += 60
    values[-18] += 400
    assert alerts(values) == [-20]


def test_an_incident_does_not_hide_the_next():
    values = wave() + np.random.default_rng(9).normal(0, 8, LENGTH)
    values[-3 * DAY] += 2000
    values[-DAY - 10] += 200
    assert alerts(values) == [-3 * DAY, -DAY - 10]


def test_a_third_incident_like_the_second_is_the_series_nature():
    values = wave() + np.random.default_rng(9).normal(0, 8, LENGTH)
    values[[-3 * DAY, -2 * DAY - 20, -20]] += 200
    assert alerts(values) == [-3 * DAY, -2 * DAY - 20]


def test_the_history_must_hold_what_is_judged():
    with pytest.raises(InvalidInput, match="0 steps"):
        judge(wave(), 0)


def test_no_series_at_all_gives_an_empty_answer():
    assert detect(Series((), 0, STEP_S, np.zeros((0, LENGTH), np.float32)), 5).alerts.shape == (0, 5)


@st.composite
def histories(draw: st.DrawFn) -> Series:
    """Two to four series: waves, noise, bursts, holes, plateaus, shifts."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows = []
    for _ in range(draw(st.integers(2, 4))):
        values = rng.lognormal(0, 3) * (3 + np.sin(2 * np.pi * np.arange(LENGTH) / DAY) + rng.gamma(0.5, 0.5, LENGTH))
        values[rng.random(LENGTH) < draw(st.sampled_from([0, 0.2]))] = np.nan
        at = int(rng.integers(LENGTH - JUDGED, LENGTH))
        match draw(st.sampled_from(["as it is", "shift", "plateau", "spike", "hole", "late"])):
            case "shift":
                values[at:] *= 4
            case "plateau":
                values[at:] = values[at]
            case "spike":
                values[at] *= 20
            case "hole":
                values[at : at + DAY] = np.nan
            case "late":
                values[: at - DAY] = np.nan
        rows.append(values)
    return series(*rows)


def same(first: Anomalies, second: Anomalies, columns: slice = slice(None)) -> None:
    for field in fields(Anomalies):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name)[:, columns])


@settings(max_examples=15)
@given(history=histories(), later=st.integers(1, JUDGED - 1))
def test_later_columns_never_change_an_earlier_alert(history, later):
    garbage = history.values.copy()
    garbage[:, -later:] = np.random.default_rng(0).normal(0, 1e6, (len(garbage), later))
    whole = detect(history, JUDGED)
    other = detect(Series(history.unique_id, 0, STEP_S, garbage), JUDGED)
    for field in fields(Anomalies):
        np.testing.assert_array_equal(getattr(whole, field.name)[:, :-later], getattr(other, field.name)[:, :-later])


@settings(max_examples=15)
@given(history=histories(), step=st.integers(1, JUDGED))
def test_judging_step_by_step_is_judging_in_one_go(history, step):
    known = Series(history.unique_id, 0, STEP_S, history.values[:, : LENGTH - JUDGED + step])
    same(detect(known, 1), detect(history, JUDGED), slice(step - 1, step))


@settings(max_examples=15)
@given(history=histories(), cut=st.integers(0, DAY))
def test_a_history_beyond_the_reach_changes_nothing(history, cut):
    kept = history.values[:, cut:]
    same(detect(Series(history.unique_id, 0, STEP_S, kept), DAY), detect(history, DAY))


@settings(max_examples=15)
@given(history=histories(), power=st.integers(-20, 20))
def test_a_series_in_another_unit_has_the_same_alerts(history, power):
    scaled = detect(Series(history.unique_id, 0, STEP_S, history.values * np.float32(2.0**power)), JUDGED)
    plain = detect(history, JUDGED)
    np.testing.assert_array_equal(scaled.alerts, plain.alerts)
    np.testing.assert_array_equal(scaled.score, plain.score)
    np.testing.assert_array_equal(scaled.expected, plain.expected * np.float32(2.0**power))


@settings(max_examples=10)
@given(history=histories())
def test_every_series_is_judged_by_itself(history):
    whole = detect(history, JUDGED)
    for row, name in enumerate(history.unique_id):
        alone = detect(Series((name,), 0, STEP_S, history.values[row : row + 1]), JUDGED)
        np.testing.assert_array_equal(whole.alerts[row], alone.alerts[0])


@settings(max_examples=10)
@given(history=histories())
def test_alerts_are_hot_scored_and_further_apart_than_the_refractory(history):
    found = detect(history, JUDGED)
    assert (found.score[found.alerts] == 1).all()
    for row in found.alerts:
        assert (np.diff(np.flatnonzero(row)) > 4).all()
    scored = np.isfinite(found.score)
    assert ((found.score[scored] >= 0) & (found.score[scored] <= 1)).all()
    assert not scored[np.isnan(history.values[:, -JUDGED:])].any()


def masked(values: np.ndarray) -> list[int]:
    return np.flatnonzero(mask(series(values))[0]).tolist()


def test_a_spike_that_returns_is_masked():
    values = wave()
    values[200:202] += 60
    assert masked(values) == [200, 201]


def test_a_dip_that_returns_is_masked():
    values = wave()
    values[200:202] -= 60
    assert masked(values) == [200, 201]


def test_a_level_that_stays_is_not_masked():
    values = wave()
    values[200:] += 60
    assert masked(values) == []


def test_a_spike_of_every_day_is_a_habit_and_not_masked():
    values = wave()
    values[7::DAY] += 60
    assert masked(values) == []


def test_an_excursion_that_has_not_returned_yet_is_not_masked():
    values = wave()
    values[-2:] += 60
    assert masked(values) == []


def test_a_spike_beside_missing_steps_is_masked_alone():
    values = wave()
    values[196:200] = np.nan
    values[200] += 60
    assert masked(values) == [200]


def test_ordinary_constant_and_empty_series_are_not_masked():
    rows = (wave(), np.full(LENGTH, 7.0), np.zeros(LENGTH), np.full(LENGTH, np.nan))
    assert not mask(series(*rows)).any()


@settings(max_examples=15)
@given(history=histories(), power=st.integers(-20, 20))
def test_a_mask_is_the_same_in_every_unit_and_never_over_missing_steps(history, power):
    found = mask(history)
    scaled = Series(history.unique_id, 0, STEP_S, history.values * np.float32(2.0**power))
    np.testing.assert_array_equal(mask(scaled), found)
    assert not found[np.isnan(history.values)].any()
    assert found.mean() <= 0.02
