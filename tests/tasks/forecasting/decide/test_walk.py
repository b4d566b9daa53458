"""Forecasts as a flow would have made them, column after column."""

from __future__ import annotations

import numpy as np
import pytest

from blocks.series import Series, utc
from tasks.forecasting.decide.plans import LEVELS
from tasks.forecasting.decide.walk import walk


def history_of(days=3) -> Series:
    steps, rng = days * 288, np.random.default_rng(0)
    t = np.arange(steps) / 288
    rows = [10 + 8 * np.sin(2 * np.pi * t + phase) + rng.normal(0, 0.4, steps) for phase in (0, 2)]
    return Series(("a", "b"), 0, 300, np.array(rows, np.float32))


@pytest.fixture(scope="module")
def made():
    return list(walk(history_of(), 12, LEVELS, np.arange(2 * 288 + 40), renewal=12))


def test_there_is_one_forecast_a_column_as_of_its_time(made):
    assert [forecast.as_of for forecast in made] == [utc(300 * column) for column in range(2 * 288 + 40)]


def test_the_plain_forecasts_serve_until_a_model_has_learned(made):
    assert {forecast.method[0] for forecast in made[1:288]} <= {"none", "last-value", "seasonal-naive"}
    assert made[-1].method == ("linear", "linear")


def test_what_comes_later_changes_no_forecast_before_it(made):
    history = history_of()
    garbage = history.values.copy()
    garbage[:, 2 * 288 + 40 :] = -133.0
    other = Series(history.unique_id, 0, 300, garbage)
    for one, again in zip(made, walk(other, 12, LEVELS, np.arange(2 * 288 + 40), renewal=12), strict=True):
        np.testing.assert_array_equal(one.values, again.values)
        np.testing.assert_array_equal(one.peaks, again.peaks)
