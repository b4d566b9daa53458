"""What an engine sees of the past: holes filled by rule, never with zero, never from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks.forecasting.decide.history import past

HALF_HOURS = 48  # steps in a day
NAN = np.nan


def seen(values: np.ndarray) -> np.ndarray:
    return past(np.asarray(values, np.float32)[None], HALF_HOURS).values[0]


def days(count: int) -> np.ndarray:
    """1, 2, 3, ... so that every value tells where it came from."""
    return np.arange(1, count * HALF_HOURS + 1, dtype=np.float32)


def test_a_hole_of_an_hour_takes_the_last_measured_value():
    values = days(2)
    values[60:62] = NAN
    np.testing.assert_array_equal(seen(values)[60:63], [60, 60, 63])


def test_a_longer_hole_takes_the_same_slot_of_the_day_before():
    values = days(2)
    values[60:64] = NAN
    np.testing.assert_array_equal(seen(values)[60:64], [60, 60, 62 - 47, 63 - 47])


def test_a_hole_of_days_repeats_the_day_before_it():
    values = days(4)
    values[96:] = NAN
    filled = seen(values)
    np.testing.assert_array_equal(filled[98:144], values[50:96])
    np.testing.assert_array_equal(filled[144:192], filled[96:144])


def test_a_hole_on_the_first_day_takes_the_last_measured_value():
    values = days(1)
    values[10:20] = NAN
    np.testing.assert_array_equal(seen(values)[10:20], 10)


def test_before_its_first_value_a_series_repeats_its_first_day_backwards():
    values = days(3)
    values[:72] = NAN
    np.testing.assert_array_equal(seen(values)[:72], np.tile(values[72:120], 2)[24:])


def test_a_filled_value_never_depends_on_a_later_measurement():
    rng = np.random.default_rng(3)
    values = days(6)
    values[rng.random(len(values)) < 0.4] = NAN
    values[0] = 1
    for end in (150, 200, 260):
        np.testing.assert_array_equal(seen(values[:end]), seen(values)[:end])


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e18, -1e18])
def test_what_is_no_measurement_counts_as_missing(wild):
    broken, holed = days(3), days(3)
    broken[70:90], holed[70:90] = wild, NAN
    np.testing.assert_array_equal(seen(broken), seen(holed))


def test_the_given_values_are_left_as_they_are():
    values = days(2)
    values[60] = NAN
    kept = values.copy()
    seen(values)
    np.testing.assert_array_equal(values, kept)


def by_the_rules(values: np.ndarray, day: int, hour: int) -> list[float]:
    """One series, one step after the other, as the README states it."""
    found: list[float] = []
    last, since = NAN, 0
    for step, value in enumerate(values.tolist()):
        if not np.isnan(value):
            last, since = value, 0
        else:
            since += 1
            before = found[step - day] if step >= day else NAN
            value = last if since <= hour or np.isnan(before) else before
        found.append(value)
    known = [step for step, value in enumerate(found) if not np.isnan(value)]
    if known:
        begin = known[0]
        period = min(len(found) - begin, day)
        for step in range(begin):
            found[step] = found[begin + (step - begin) % period]
    return found


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 30)),
                  elements=st.one_of(st.just(np.float32(NAN)), st.integers(1, 99).map(np.float32))),
    st.integers(1, 9),
)  # fmt: skip
def test_many_series_at_once_are_filled_as_each_alone_step_by_step(block, day):
    expected = [by_the_rules(row, day, max(1, day // 24)) for row in block]
    for laid in (block, np.asfortranarray(block)):
        np.testing.assert_array_equal(past(laid, day).values, expected)
