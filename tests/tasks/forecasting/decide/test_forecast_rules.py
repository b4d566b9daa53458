"""The stated rules of `forecast`, one a test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Forecast, Series, utc
from tasks.forecasting.decide import ENGINES, fit, forecast

LEVELS = (0.1, 0.5, 0.9)
HORIZON = 8
DAY = 96


def now(history: Series) -> datetime:
    return utc(history.end_s - history.step_s)


def run(history: Series, **changes) -> Forecast:
    return forecast(history, HORIZON, LEVELS, now(history), **changes)


def with_row(history: Series, row: int, values: np.ndarray) -> Series:
    changed = history.values.copy()
    changed[row] = values
    return replace(history, values=changed)


def test_forecast_begins_one_step_after_as_of_and_keeps_the_order_of_the_names(make_fleet):
    history = make_fleet()
    made = run(history)
    assert made.start_s == history.end_s
    assert made.unique_id == history.unique_id
    assert made.values.shape == (4, HORIZON, 3)
    assert made.values.dtype == np.float32


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_serves_a_whole_series_and_names_itself(make_fleet, engine):
    made = run(make_fleet(), engine=engine)
    assert set(made.method) == {engine}
    assert np.isfinite(made.values).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("few_trees")
def test_values_after_as_of_never_change_the_result(make_fleet, engine):
    history = make_fleet()
    as_of = utc(history.end_s - 40 * history.step_s)
    garbage = history.values.copy()
    garbage[:, -39:] = [[np.nan], [-1e9], [np.inf], [1e16]]
    known = forecast(history, HORIZON, LEVELS, as_of, engine=engine)
    blind = forecast(replace(history, values=garbage), HORIZON, LEVELS, as_of, engine=engine)
    np.testing.assert_array_equal(known.values, blind.values)


def test_as_of_between_two_steps_uses_the_step_before(make_fleet):
    history = make_fleet()
    later = forecast(history, HORIZON, LEVELS, now(history) + timedelta(seconds=history.step_s - 1))
    np.testing.assert_array_equal(later.values, run(history).values)


def test_holes_are_filled_and_never_read_as_zero(make_fleet):
    history = make_fleet()
    values = history.values[0].copy()
    values[np.random.default_rng(5).random(len(values)) < 0.2] = np.nan
    values[-300:-220] = np.nan
    holed = run(with_row(history, 0, values))
    assert holed.method[0] == "linear"
    np.testing.assert_allclose(holed.values[0, :, 1], run(history).values[0, :, 1], rtol=0.15)


@pytest.mark.parametrize(
    ("age", "method"),
    [(0, "none"), (1, "last-value"), (11, "last-value"), (12, "linear"), (DAY - 1, "linear"), (5 * DAY, "linear")],
)  # fmt: skip
def test_a_young_series_falls_back_to_the_engine_that_its_age_allows(make_fleet, age, method):
    history = make_fleet()
    values = history.values[0].copy()
    values[: len(values) - age] = np.nan
    made = run(with_row(history, 0, values))
    assert made.method == (method, "linear", "linear", "linear")
    assert np.isfinite(made.values[0]).all() == (method != "none")


@pytest.mark.parametrize(
    ("silent", "method"), [(4, "linear"), (5, "seasonal-naive"), (DAY - 1, "seasonal-naive"), (DAY, "none")]
)
def test_a_stale_series_falls_back_by_how_long_it_has_been_silent(make_fleet, silent, method):
    history = make_fleet()
    values = history.values[0].copy()
    values[len(values) - silent :] = np.nan
    assert run(with_row(history, 0, values)).method[0] == method


def test_a_history_that_ends_before_as_of_counts_as_silent_since(make_fleet):
    history = make_fleet()
    late = forecast(history, HORIZON, LEVELS, now(history) + timedelta(hours=6))
    assert set(late.method) == {"seasonal-naive"}
    assert late.start_s == history.end_s + 6 * 3600


def test_without_enough_past_for_a_model_the_whole_fleet_gets_seasonal_naive(make_fleet):
    assert set(run(make_fleet(series=1, days=1)).method) == {"seasonal-naive"}


def test_seasonal_naive_repeats_yesterday_in_the_median(make_fleet):
    history = make_fleet()
    made = run(history, engine="seasonal-naive")
    np.testing.assert_allclose(made.values[:, :, 1], history.values[:, -DAY : HORIZON - DAY])


def test_last_value_repeats_the_last_measured_value_in_the_median(make_fleet):
    history = make_fleet()
    values = history.values[0].copy()
    values[-3:] = np.nan
    made = run(with_row(history, 0, values), engine="last-value")
    np.testing.assert_allclose(made.values[0, :, 1], values[-4])


def test_seasonal_naive_grows_less_certain_by_the_root_of_the_days_ahead(make_fleet):
    made = forecast(make_fleet(), DAY + 1, LEVELS, now(make_fleet()), engine="seasonal-naive")
    width = made.values[:, :, 2] - made.values[:, :, 0]
    np.testing.assert_allclose(width[:, DAY], np.sqrt(2) * width[:, 0], rtol=1e-3)


def test_last_value_of_a_very_young_series_widens_as_a_random_walk_beyond_what_was_measured(make_fleet):
    history = make_fleet()
    values = history.values[0].copy()
    values[:-5] = np.nan  # five values: only changes over one step are seen four times, an hour's worth
    made = run(with_row(history, 0, values), engine="last-value").values[0]
    width = made[:, 2] - made[:, 0]
    np.testing.assert_allclose(width[3], 2 * width[0], rtol=1e-3)


def test_last_value_grows_less_certain_with_the_horizon(make_fleet):
    made = run(make_fleet(), engine="last-value")
    width = made.values[:, :, 2] - made.values[:, :, 0]
    assert (width[:, -1] > width[:, 0]).all()


def test_a_constant_series_goes_on_as_it_is(make_fleet):
    history = make_fleet()
    made = run(with_row(history, 0, np.float32(0.3)))
    assert made.method[0] == "linear"
    np.testing.assert_array_equal(made.values[0], np.float32(0.3))


def test_an_all_zero_series_is_forecast_as_zero(make_fleet):
    made = run(with_row(make_fleet(), 0, np.float32(0)))
    np.testing.assert_array_equal(made.values[0], 0)


def test_a_level_shift_of_27_times_is_followed_within_the_hour(make_fleet):
    history = make_fleet()
    values = history.values[0].copy()
    values[-4:] *= 27
    made = run(with_row(history, 0, values))
    assert 0.5 < made.values[0, 0, 1] / values[-1] < 1.5
    np.testing.assert_allclose(made.values[1:, :, 1], run(history).values[1:, :, 1], rtol=0.05)


@pytest.mark.parametrize("engine", ENGINES)
def test_demand_is_never_forecast_below_zero(make_fleet, engine):
    history = make_fleet()
    spiky = np.where(np.arange(history.values.shape[1]) % 7 == 0, 50, 0)
    assert (run(with_row(history, 0, spiky), engine=engine).values[0] >= 0).all()


def test_a_series_that_does_go_negative_may_be_forecast_negative(make_fleet):
    history = make_fleet()
    made = run(with_row(history, 0, -history.values[0]))
    assert (made.values[0] < 0).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e30, 1e16, -1e16], ids=str)
def test_one_broken_series_does_not_harm_the_others(make_fleet, broken):
    history = make_fleet()
    values = history.values[3].copy()
    values[::3] = broken
    made, whole = run(with_row(history, 3, values)), run(history)
    assert made.method[:3] == ("linear",) * 3
    np.testing.assert_allclose(made.values[:3, :, 1], whole.values[:3, :, 1], rtol=0.06)


def test_a_fitted_model_may_be_used_again(make_fleet):
    history = make_fleet()
    model = fit(history, HORIZON, LEVELS, now(history))
    np.testing.assert_array_equal(run(history, model=model).values, run(history).values)


def test_a_model_of_another_horizon_is_refused(make_fleet):
    history = make_fleet()
    with pytest.raises(InvalidInput, match="model is for 9 steps"):
        run(history, model=fit(history, HORIZON + 1, LEVELS, now(history)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unique_id": ("a", "b", "a", "c")}, "'a' is there twice"),
        ({"unique_id": ("a", "b")}, "for 2 names"),
        ({"step_s": 7 * 60}, "does not divide a day"),
    ],
)
def test_a_history_that_is_no_matrix_of_named_series_is_refused(make_fleet, change, words):
    with pytest.raises(InvalidInput, match=words):
        run(replace(make_fleet(), **change))


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0), (float("nan"),)], ids=str)
def test_levels_that_do_not_ascend_inside_0_to_1_are_refused(make_fleet, levels):
    history = make_fleet(days=3)
    with pytest.raises(InvalidInput, match="levels"):
        forecast(history, HORIZON, levels, now(history))


def test_an_as_of_without_time_zone_is_refused(make_fleet):
    with pytest.raises(InvalidInput, match="no time zone"):
        forecast(make_fleet(days=3), HORIZON, LEVELS, datetime(2026, 1, 1))  # noqa: DTZ001


def test_an_unknown_engine_is_refused_with_the_known_ones(make_fleet):
    with pytest.raises(InvalidInput, match="linear, trees, seasonal-naive, last-value"):
        run(make_fleet(days=3), engine="crystal-ball")


def test_a_horizon_of_nothing_is_refused(make_fleet):
    history = make_fleet(days=3)
    with pytest.raises(InvalidInput, match="horizon of 0 steps"):
        forecast(history, 0, LEVELS, now(history))


def test_a_horizon_beyond_a_day_repeats_the_latest_known_day(make_fleet):
    history = make_fleet()
    made = forecast(history, 2 * DAY + 1, LEVELS, now(history), engine="seasonal-naive")
    np.testing.assert_allclose(made.values[:, DAY : 2 * DAY, 1], made.values[:, :DAY, 1])


@pytest.mark.parametrize("step_s", [60, 3600, 86_400])
def test_other_steps_are_served(step_s):
    rng = np.random.default_rng(2)
    history = Series(("a", "b"), 0, step_s, rng.uniform(5, 9, (2, 10 * 86_400 // step_s)).astype(np.float32))
    made = forecast(history, 3, LEVELS, utc(history.end_s - step_s))
    assert np.isfinite(made.values).all()


def test_a_history_with_no_column_before_as_of_has_no_forecast(make_fleet):
    made = forecast(make_fleet(days=3), HORIZON, LEVELS, datetime(2020, 1, 1, tzinfo=UTC))
    assert set(made.method) == {"none"}
    assert np.isnan(made.values).all()


def test_no_series_gives_an_empty_forecast():
    history = Series((), 0, 300, np.empty((0, 3_000), np.float32))
    assert run(history).values.shape == (0, HORIZON, 3)
