"""Local time: a day before is the same time on the clock, across every change of the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from blocks.local_time import utc_offsets_s
from blocks.series import Calendar, Series, utc
from tasks.forecasting.decide import calibrate, fit, forecast
from tasks.forecasting.decide.ahead import sources
from tasks.forecasting.decide.almanac import almanac
from tasks.forecasting.decide.features import design
from tasks.forecasting.decide.history import past, recent
from tasks.forecasting.decide.known_features import Known
from tasks.forecasting.decide.windows import examples

LEVELS = (0.1, 0.5, 0.9)
STEP_S, DAY = 900, 96
# the moment of each change in UTC
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00+00:00"),
    ("Europe/Berlin", "2026-10-25T01:00+00:00"),
    ("America/New_York", "2026-03-08T07:00+00:00"),
    ("America/New_York", "2026-11-01T06:00+00:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00+00:00"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30+00:00"),
]


def local_slot(zone: str, times_s: np.ndarray) -> np.ndarray:
    """Slot of the local day of each moment, by Python's own clock."""
    found = [datetime.fromtimestamp(int(at), ZoneInfo(zone)) for at in times_s]
    return np.array([(at.hour * 60 + at.minute) // 15 for at in found])


def by_the_clock(
    zone: str, change: str, *, noise: float = 0, series: int = 1, days: int = 24
) -> tuple[Series, Calendar]:
    """Demand that jumps from quarter of an hour to quarter of an hour; the change is 4 days before its end."""
    start_s = int(datetime.fromisoformat(change).timestamp()) // STEP_S * STEP_S - (days - 4) * 86_400
    rng = np.random.default_rng(3)
    slot = local_slot(zone, start_s + STEP_S * np.arange(days * DAY))
    values = rng.gamma(1, 5, (series, DAY))[:, slot] + 5
    names = tuple(f"pool-{row}" for row in range(series))
    history = Series(names, start_s, STEP_S, (values + rng.normal(0, noise, values.shape)).astype(np.float32))
    return history, zones(history, zone)


def zones(history: Series, zone: str) -> Calendar:
    count = len(history.unique_id)
    return Calendar(history.unique_id, (zone,) * count, (), 0, STEP_S, np.empty((0, count, 0), np.float32))


def column(history: Series, change: str, hours: float) -> int:
    """The last column at or before so many hours after the change."""
    return int((datetime.fromisoformat(change).timestamp() + hours * 3600 - history.start_s) // STEP_S)


@pytest.mark.parametrize("horizon", [DAY, 2 * DAY])
@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_seasonal_naive_knows_a_profile_of_the_clock_exactly_around_a_change(zone, change, horizon):
    history, calendar = by_the_clock(zone, change)
    for hours in (-40, -24, -23, -10.25, -1, -0.25, 0, 0.25, 0.5, 1, 1.5, 3, 12.5, 23, 24, 25, 47):
        last = column(history, change, hours)
        as_of = utc(history.start_s + last * STEP_S)
        made = forecast(history, horizon, LEVELS, as_of, engine="seasonal-naive", calendar=calendar)
        came = history.values[:, last + 1 : last + 1 + horizon]
        np.testing.assert_array_equal(made.values[:, : came.shape[1], 1], came, err_msg=f"{hours} h after the change")


@pytest.mark.parametrize(("zone", "change"), CHANGES)
def test_the_linear_model_holds_a_profile_of_the_clock_around_a_change(zone, change):
    history, calendar = by_the_clock(zone, change, noise=0.1, series=4)
    learned = utc(history.start_s + column(history, change, -48) * STEP_S)
    model = fit(history, DAY, LEVELS, learned, calendar=calendar)
    known = calibrate(history, model, learned, origins=24, calendar=calendar)
    for hours in (-10, 0.5, 9, 40, 70):
        last = column(history, change, hours)
        as_of = utc(history.start_s + last * STEP_S)
        local = forecast(history, DAY, LEVELS, as_of, model=model, calibration=known, calendar=calendar)
        plain = forecast(history, DAY, LEVELS, as_of, model=model, calibration=known)
        came = history.values[:, last + 1 : last + 1 + DAY]
        error, blind = (np.abs(made.values[:, : came.shape[1], 1] - came).mean() for made in (local, plain))
        assert error < 0.25  # measured 0.09 far from a change, at most 0.20 near one; the noise alone gives 0.08
        assert blind > 5 * error


def test_windows_around_a_change_teach_that_yesterday_comes_again():
    zone, change = CHANGES[0]
    history, calendar = by_the_clock(zone, change, days=14)
    learned = examples(history, history.values.shape[1] - 1, DAY, DAY, 1_000, calendar, Known())
    whole = ~learned.design.young  # a younger one has no yesterday
    np.testing.assert_allclose(learned.design.target[0][:, whole], learned.answers[:, whole], atol=1e-5)


def test_a_day_that_the_clock_repeats_shows_no_change_by_day_though_the_clock_was_changed_in_the_week():
    zone, change = CHANGES[0]
    history, calendar = by_the_clock(zone, change)
    last = column(history, change, 12)
    laid = almanac(calendar, history, None, DAY, (last, last))
    view = past(recent(history, last, 7 * DAY + 1), DAY, laid.at(np.arange(1), np.array([last])))
    local, plain = design(view, DAY), design(replace(view, ahead=None), DAY)
    for name in ("change by day, a day", "change by day, a week", "change since yesterday"):
        np.testing.assert_allclose(local.feature(name), 0, atol=1e-6)
        assert np.abs(plain.feature(name)) > 0.01
    np.testing.assert_allclose(local.feature("same hour yesterday"), local.feature("mean of an hour"), atol=1e-6)


def test_of_an_hour_that_the_clock_shows_twice_the_second_is_taken():
    # the clock is put back by one step before column 5: columns 4 and 5 show the same time
    assert sources(np.array([[1, 1, 1, 1, 1, 0, 0]]), 3).tolist() == [[2, 0, 1, 2, 3, 5, 6]]


@pytest.mark.parametrize("engine", ["linear", "seasonal-naive"])
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Europe/Berlin", "UTC"])
def test_where_no_clock_is_changed_the_zone_makes_no_difference(make_fleet, zone, engine):
    history = make_fleet()
    as_of = utc(history.end_s - STEP_S)
    plain = forecast(history, 8, LEVELS, as_of, engine=engine)
    local = forecast(history, 8, LEVELS, as_of, engine=engine, calendar=zones(history, zone))
    np.testing.assert_array_equal(local.values, plain.values)


def test_each_series_goes_by_its_own_clock_and_an_unknown_one_by_utc():
    zone, change = CHANGES[0]
    one, calendar = by_the_clock(zone, change)
    history = Series(("berlin", "new", "utc"), one.start_s, STEP_S, np.repeat(one.values, 3, axis=0))
    calendar = Calendar(("utc", "berlin"), ("UTC", zone), (), 0, STEP_S, np.empty((0, 2, 0), np.float32))
    last = column(history, change, 5)
    made = forecast(
        history, 8, LEVELS, utc(history.start_s + last * STEP_S), engine="seasonal-naive", calendar=calendar
    )
    np.testing.assert_array_equal(made.values[0, :, 1], history.values[0, last + 1 : last + 9])
    for row in (1, 2):
        np.testing.assert_array_equal(made.values[row, :, 1], history.values[row, last + 1 - DAY : last + 9 - DAY])


def test_a_zone_that_does_not_exist_is_refused_by_name(make_fleet):
    history = make_fleet()
    with pytest.raises(InvalidInput, match="no time zone is called 'Europe/Bonn'"):
        forecast(history, 8, LEVELS, utc(history.end_s - STEP_S), calendar=zones(history, "Europe/Bonn"))


@settings(max_examples=20)
@given(
    zone=st.sampled_from(["Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"]),
    start_s=st.integers(1_000_000_000, 1_900_000_000),
    hours=st.integers(0, 3_000),
)
def test_offsets_are_those_of_pythons_clock(zone, start_s, hours):
    times_s = start_s + 3600 * np.arange(hours)
    slow = [datetime.fromtimestamp(int(at), ZoneInfo(zone)).utcoffset().total_seconds() for at in times_s]
    np.testing.assert_array_equal(utc_offsets_s(zone, times_s), np.array(slow, np.int64))
