"""What a forecast cannot be, given its series' history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from blocks.series import Forecast, Series, utc
from tasks.forecasting.decide import ENGINES, forecast
from tasks.forecasting.decide.forecast_checks import ForecastCode, check_forecast

STEP_S, DAY, HORIZON = 3600, 24, 8
LEVELS = (0.1, 0.5, 0.9)
LENGTH = 7 * DAY


def history(values: np.ndarray | None = None) -> Series:
    """A week of a daily wave between 80 and 120."""
    wave = 100 + 20 * np.sin(2 * np.pi * np.arange(LENGTH) / DAY)
    return Series(("web",), 0, STEP_S, np.asarray(wave if values is None else values, np.float32)[None])


def made(median: np.ndarray | float, band: float = 5.0, past: Series | None = None) -> Forecast:
    """A forecast with a band of the same width at every step."""
    past = past or history()
    middle = np.broadcast_to(np.asarray(median, np.float32), (HORIZON,))
    values = np.stack([middle - band, middle, middle + band], axis=1)[None].astype(np.float32)
    return Forecast(
        ("web",),
        utc(past.end_s - STEP_S),
        past.end_s,
        STEP_S,
        LEVELS,
        values,
        np.maximum.accumulate(values, axis=1),
        ("linear",),
    )


def codes(given_forecast: Forecast, past: Series | None = None) -> list[str]:
    return [reason.code.value for reason in check_forecast(given_forecast, past or history())[0]]


def test_a_forecast_like_the_past_has_no_reason():
    assert codes(made(100)) == []


def test_a_median_far_above_all_that_was_measured_is_impossible():
    reason = check_forecast(made(np.array([100, 100, 100, 170, 165, 100, 100, 100])), history())[0][0]
    assert reason.code is ForecastCode.IMPOSSIBLE_LEVEL
    assert reason.numbers == {"value": 170, "step": 4, "measured_low": 80, "measured_high": 120}


def test_a_median_far_below_is_impossible():
    assert codes(made(30)) == ["impossible-level"]


def test_a_median_within_a_range_of_what_was_measured_is_possible():
    assert codes(made(155)) == []


def test_demand_that_was_never_negative_cannot_become_so():
    past = history(np.tile([0, 10], LENGTH // 2))
    assert codes(made(-1, past=past), past) == ["impossible-level"]


def test_a_series_that_was_negative_may_be_so_again():
    past = history(np.tile([-5, 10], LENGTH // 2))
    assert codes(made(-6, past=past), past) == []


def test_a_band_far_wider_than_the_past_is_impossible():
    reason = check_forecast(made(100, band=150), history())[0][0]
    assert reason.code is ForecastCode.IMPOSSIBLE_BAND
    assert reason.numbers["value"] == 250


def test_a_constant_series_may_move_by_a_tenth():
    past = history(np.full(LENGTH, 50.0))
    assert codes(made(54, past=past), past) == []
    assert codes(made(57, past=past), past) == ["impossible-level"]


def test_a_trend_steeper_than_any_span_of_the_past_runs_away():
    past = history(100 + np.sin(np.arange(LENGTH)) + np.where(np.arange(LENGTH) == 30, 60, 0))
    reason = check_forecast(made(100 + 8 * np.arange(HORIZON), past=past), past)[0][0]
    assert reason.code is ForecastCode.RUNAWAY_TREND
    assert reason.numbers["change"] == 48
    assert 29 < reason.numbers["largest_measured_change"] < 32
    assert reason.numbers["span_s"] == HORIZON * STEP_S


def test_a_trend_downwards_runs_away_too():
    past = history(100 + np.sin(np.arange(LENGTH)) + np.where(np.arange(LENGTH) == 30, 60, 0))
    assert codes(made(130 - 8 * np.arange(HORIZON), past=past), past) == ["runaway-trend"]


def test_a_rise_that_the_past_has_shown_is_no_runaway():
    assert codes(made(90 + 3 * np.arange(HORIZON))) == []


def test_a_rise_that_has_ended_by_the_middle_of_the_horizon_is_no_runaway():
    past = history(100 + np.sin(np.arange(LENGTH)) + np.where(np.arange(LENGTH) == 30, 60, 0))
    assert codes(made(np.array([100, 100, 151, 151, 151, 151, 150, 150]), past=past), past) == []


def test_without_a_day_of_spans_there_is_no_opinion_on_a_trend():
    values = np.full(LENGTH, np.nan)
    values[-DAY:] = 100 + np.where(np.arange(DAY) == 3, 30, 0)
    past = history(values)
    assert codes(made(100 + 6 * np.arange(HORIZON), past=past), past) == []


@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_a_hole_in_a_forecast_is_named_with_its_steps(wild):
    broken = made(100)
    broken.values[0, 2:4, 0] = wild
    reason = check_forecast(broken, history())[0][0]
    assert (reason.code, reason.numbers) == (ForecastCode.NOT_FINITE, {"steps": 2})


def test_no_forecast_at_all_is_not_a_wrong_one():
    assert codes(made(np.nan)) == []


def test_a_series_without_a_measured_value_has_no_bounds():
    past = history(np.full(LENGTH, np.nan))
    assert codes(made(100, past=past), past) == []


def test_what_came_after_the_origin_is_not_read():
    past = history()
    later = replace(past, values=np.concatenate([past.values, np.full((1, 5), 1000, np.float32)], axis=1))
    assert codes(made(170), later) == ["impossible-level"]


def test_a_forecast_of_other_series_or_steps_is_refused():
    with pytest.raises(InvalidInput, match="3600 s"):
        check_forecast(replace(made(100), step_s=900), history())


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), power=st.integers(-20, 20))
def test_reasons_are_the_same_in_every_unit(seed, power):
    rng, unit = np.random.default_rng(seed), np.float32(2.0**power)
    past = history(rng.gamma(1, 10, LENGTH))
    plain = made(rng.normal(50, 100, HORIZON), float(rng.gamma(1, 100)), past)
    scaled = replace(plain, values=plain.values * unit)
    assert codes(scaled, replace(past, values=past.values * unit)) == codes(plain, past)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000))
@pytest.mark.usefixtures("few_trees")
def test_the_engines_own_forecasts_of_ordinary_series_have_no_reason(engine, seed):
    rng = np.random.default_rng(seed)
    steps = np.arange(2 * LENGTH)
    values = 100 + 20 * np.sin(2 * np.pi * steps / DAY + rng.uniform(0, 6, (4, 1))) + rng.normal(0, 3, (4, len(steps)))
    past = Series(tuple("abcd"), 0, STEP_S, values.astype(np.float32))
    assert not any(check_forecast(forecast(past, HORIZON, LEVELS, utc(past.end_s - STEP_S), engine=engine), past))
