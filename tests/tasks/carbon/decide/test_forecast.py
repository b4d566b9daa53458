"""Forecasts know only the past, are chosen by regret."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.carbon.decide.forecast import (
    LEAST_HISTORY_H,
    METHODS,
    captured_share,
    decide_forecast,
    fit,
    forecasts,
)
from tasks.carbon.decide.grid import Intensity


def sunny(hours: int, seed: int = 1) -> np.ndarray:
    """A zone with a sunny noon and slow weather."""
    at, weather = np.arange(hours), np.random.default_rng(seed).normal(0, 8, hours)
    slow = np.convolve(weather, np.ones(72), "same")
    return np.maximum(300 + slow - 100 * np.cos((at % 24 - 12) / 24 * 2 * np.pi), 5.0)


def test_a_day_that_repeats_is_forecast_exactly() -> None:
    day = 300 - 100 * np.cos((np.arange(24) - 12) / 24 * 2 * np.pi)
    told = decide_forecast(Intensity(0, 3600, np.tile(day, 80)), 30)
    np.testing.assert_allclose(told.g_per_kwh, np.tile(day, 2)[:30], rtol=1e-6)
    assert told.start_s == 80 * 24 * 3600


def test_what_comes_after_the_origin_changes_nothing() -> None:
    values = sunny(2000)
    model, origin = fit(values[:1500], 0, 30), np.array([1600])
    other = values.copy()
    other[1600:] = 1.0
    for name in METHODS:
        before, after = (forecasts(each, 0, origin, 30, model)[name] for each in (values, other))
        np.testing.assert_array_equal(before, after)


def test_the_chosen_method_captured_most_of_the_perfect_saving() -> None:
    told = decide_forecast(Intensity(0, 3600, sunny(24 * 90)))
    assert set(told.captured) == set(METHODS)
    assert told.captured[told.method] == max(told.captured.values())
    assert (told.g_per_kwh > 0).all()


@given(st.integers(0, 2**32 - 1))
def test_no_forecast_captures_more_than_perfect_knowledge_and_perfect_knowledge_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told, actual = rng.uniform(0, 500, (2, 5, 30))
    assert captured_share(told, actual) <= 1
    assert captured_share(actual, actual) == pytest.approx(1)


def test_where_nothing_can_be_saved_no_share_is_made_up() -> None:
    flat = np.full((3, 30), 50.0)
    assert np.isnan(captured_share(flat, flat))
    assert decide_forecast(Intensity(0, 3600, np.full(LEAST_HISTORY_H, 50.0))).g_per_kwh == pytest.approx(50.0)


@pytest.mark.parametrize(("step_s", "hours"), [(1800, LEAST_HISTORY_H), (3600, LEAST_HISTORY_H - 1)])
def test_a_history_that_is_too_short_or_not_hourly_is_refused(step_s: int, hours: int) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decide_forecast(Intensity(0, step_s, np.ones(hours)))
    assert refusal.value.where == "carbon forecast"
