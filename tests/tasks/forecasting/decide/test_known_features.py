"""Known-future features: they help where they tell something, harm nowhere, and are never read beyond the horizon."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Calendar, Series, utc
from tasks.forecasting.decide import calibrate, fit, forecast
from tasks.forecasting.decide.backtest import backtest
from tasks.forecasting.decide.known_features import known_features

LEVELS = (0.1, 0.5, 0.9)
STEP_S, DAY, HORIZON = 900, 96, 24


def events(history: Series, flags: np.ndarray, name: str = "event") -> Calendar:
    return Calendar(history.unique_id, (), (name,), history.start_s, STEP_S, flags[None].astype(np.float32))


def flagged(make_fleet, *, rise: float = 1.5, **changes) -> tuple[Series, Calendar]:
    """Demand that is `rise` times its usual while an event lasts: a tenth of the time, an hour to four at once."""
    plain = make_fleet(**changes)
    rng = np.random.default_rng(7)
    flags = np.zeros(plain.values.shape, bool)
    for row in flags:
        for begin in rng.integers(0, len(row), len(row) // 100):
            row[begin : begin + rng.integers(4, 17)] = True
    history = replace(plain, values=np.where(flags, rise, 1).astype(np.float32) * plain.values)
    return history, events(history, flags)


def now(history: Series, ahead: int = 0) -> datetime:
    return utc(history.end_s - (1 + ahead) * STEP_S)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize(("engine", "origins"), [("linear", 24), ("trees", 6)])
def test_demand_that_rises_while_an_event_lasts_is_forecast_far_better_with_the_event(make_fleet, engine, origins):
    history, calendar = flagged(make_fleet, days=20)
    told, blind = (
        backtest([history], HORIZON, LEVELS, engine=engine, origins=origins, calendars=[known])[0]
        for known in (calendar, None)
    )
    assert told.mase.sum() < 0.6 * blind.mase.sum()  # measured 0.44
    assert told.wql().sum() < 0.5 * blind.wql().sum()  # measured 0.37


@pytest.mark.parametrize("horizon", [HORIZON, DAY])
def test_a_useless_feature_costs_almost_nothing(make_fleet, horizon):
    history = make_fleet(days=20)
    noise = events(history, np.random.default_rng(3).normal(0, 1, history.values.shape))
    told, blind = (
        backtest([history], horizon, LEVELS, engine="linear", origins=24, calendars=[known])[0]
        for known in (noise, None)
    )
    assert told.mase.sum() < 1.02 * blind.mase.sum()  # measured 1.002


def test_a_holiday_once_a_week_moves_a_series_that_trusts_yesterday(make_fleet):
    rng = np.random.default_rng(5)
    days = np.zeros(30)
    days[[5, 12, 13, 20, 29]] = 1
    holiday = np.tile(np.repeat(days, DAY), (4, 1))
    values = (
        np.tile(rng.gamma(1, 4, (4, DAY)) + 6, 30) * (1 - 0.5 * holiday) * np.exp(rng.normal(0, 0.05, (4, 30 * DAY)))
    )
    history = replace(make_fleet(days=30), values=values.astype(np.float32))
    as_of, came = now(history, DAY), history.values[:, -DAY:]
    told, blind = (
        np.abs(forecast(history, DAY, LEVELS, as_of, calendar=known).values[:, :, 1] - came).mean() / came.mean()
        for known in (events(history, holiday), None)
    )
    assert blind > 0.9
    assert told < 0.35


def test_features_beyond_the_horizon_are_never_read(make_fleet):
    history, calendar = flagged(make_fleet)
    garbage = calendar.values.copy()
    garbage[:, :, -16:] = [[np.nan], [1e9], [np.inf], [-7]]
    made, blind = (
        forecast(history, HORIZON, LEVELS, now(history, 16 + HORIZON), calendar=replace(calendar, values=values)).values
        for values in (calendar.values, garbage)
    )
    np.testing.assert_array_equal(made, blind)


def test_the_future_of_the_demand_is_never_read_with_a_calendar(make_fleet):
    history, calendar = flagged(make_fleet)
    garbage = history.values.copy()
    garbage[:, -39:] = [[np.nan], [-1e9], [np.inf], [1e16]]
    made, blind = (
        forecast(replace(history, values=values), HORIZON, LEVELS, now(history, 39), calendar=calendar).values
        for values in (history.values, garbage)
    )
    np.testing.assert_array_equal(made, blind)


@pytest.mark.parametrize("unknown", [np.nan, np.inf, 1e30], ids=str)
def test_a_future_that_is_not_known_is_as_without_a_calendar(make_fleet, unknown):
    history, calendar = flagged(make_fleet)
    as_of = now(history, HORIZON)
    model = fit(history, HORIZON, LEVELS, as_of, calendar=calendar)
    known = calibrate(history, model, as_of, calendar=calendar)
    values = calendar.values.copy()
    values[:, :, -HORIZON:] = unknown
    for blank in (replace(calendar, values=values), replace(calendar, values=values[:, :, :-HORIZON]), None):
        made = forecast(history, HORIZON, LEVELS, as_of, model=model, calibration=known, calendar=blank)
        assert made.method == ("linear",) * 4
        usual = forecast(history, HORIZON, LEVELS, as_of, model=model, calibration=known)
        np.testing.assert_array_equal(made.values, usual.values)


def test_an_event_ahead_raises_the_forecast_of_its_own_steps(make_fleet):
    history, calendar = flagged(make_fleet, days=20)
    as_of = now(history, HORIZON)
    model = fit(history, HORIZON, LEVELS, as_of, calendar=calendar)
    known = calibrate(history, model, as_of, calendar=calendar)
    quiet_future, busy_future = calendar.values.copy(), calendar.values.copy()
    quiet_future[:, :, -HORIZON:], busy_future[:, :, -HORIZON:] = 0, 0
    busy_future[:, :, -8:-4] = 1
    quiet, busy = (
        forecast(
            history, HORIZON, LEVELS, as_of, model=model, calibration=known, calendar=replace(calendar, values=values)
        )
        for values in (quiet_future, busy_future)
    )
    rise = busy.values[:, :, 1] / quiet.values[:, :, 1]
    assert (np.abs(rise[:, 16:20] - 1.5) < 0.2).all()
    np.testing.assert_allclose(rise[:, :16], 1)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("engine", ["linear", "trees"])
def test_a_feature_in_another_unit_gives_the_same_forecast(make_fleet, engine):
    history, calendar = flagged(make_fleet)
    made, other = (
        forecast(history, HORIZON, LEVELS, now(history, HORIZON), engine=engine, calendar=known).values
        for known in (calendar, replace(calendar, values=calendar.values * np.float32(1024)))
    )
    np.testing.assert_array_equal(made, other)


def test_a_calendar_in_another_order_gives_the_same_forecast(make_fleet):
    history, calendar = flagged(make_fleet)
    order = [2, 0, 3, 1]
    second = np.concatenate([calendar.values, calendar.values[:, ::-1]])
    whole = replace(calendar, names=("event", "other"), values=second)
    shuffled = replace(whole, unique_id=tuple(calendar.unique_id[row] for row in order), values=second[:, order])
    as_of = now(history, HORIZON)
    model = fit(history, HORIZON, LEVELS, as_of, calendar=whole)
    swapped = replace(shuffled, names=("other", "event"), values=shuffled.values[::-1])
    made, other = (
        forecast(history, HORIZON, LEVELS, as_of, model=model, calendar=known).values for known in (whole, swapped)
    )
    np.testing.assert_array_equal(made, other)


def test_a_model_is_refused_a_calendar_of_other_features(make_fleet):
    history, calendar = flagged(make_fleet)
    model = fit(history, HORIZON, LEVELS, now(history), calendar=calendar)
    with pytest.raises(InvalidInput, match="features are 'holiday', the model's 'event'"):
        forecast(history, HORIZON, LEVELS, now(history), model=model, calendar=replace(calendar, names=("holiday",)))
    plain = fit(history, HORIZON, LEVELS, now(history))
    with pytest.raises(InvalidInput, match="features are 'event', the model's none"):
        forecast(history, HORIZON, LEVELS, now(history), model=plain, calendar=calendar)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unique_id": ("a", "b", "a", "c")}, "'a' is there twice"),
        ({"zones": ("UTC",)}, "1 zones for 4 series"),
        ({"names": ("a", "b")}, "for 2 features of 4 series"),
        ({"step_s": 300}, "steps of 300 s"),
        ({"start_s": 1_767_225_601}, "from 1767225601 on"),
    ],
)
def test_a_calendar_that_does_not_fit_the_history_is_refused(make_fleet, change, words):
    history, calendar = flagged(make_fleet)
    with pytest.raises(InvalidInput, match=words):
        forecast(history, HORIZON, LEVELS, now(history), calendar=replace(calendar, **change))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.7])
def test_the_size_of_a_flag_is_1_however_often_it_is_up(make_fleet, share):
    history = make_fleet()
    flags = np.random.default_rng(1).random(history.values.shape) < share
    known = known_features([(events(history, flags), history, history.values.shape[1] - 1)])
    assert known.sizes == (1.0,)
