"""Hindsight: no start beats the best one, a perfect forecast captures all, and an error is what a loop finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.hindsight import decide_hindsight, forecast_error
from tasks.carbon.decide.shift import FlexibleRun, decide_shifts, latest_s

HOUR = 3600
VALUES = st.lists(st.integers(1, 900), min_size=30, max_size=30)
RUN = FlexibleRun("prefect/1", "training", "DE", 0, 0, 2 * HOUR, 24 * HOUR, kw=3.0)


@given(VALUES, VALUES)
def test_a_plan_lies_between_the_best_start_and_its_promise_comes_true_where_the_forecast_does(
    told: list[int], came: list[int]
) -> None:
    forecast, actual = (Intensity(0, HOUR, np.array(each, float)) for each in (told, came))
    (record,) = decide_shifts([RUN], {"DE": forecast}, {"DE": "forecast"}, 0, 0.0)
    start = int(np.datetime64(record["start"][:19], "s").astype(int))
    late = decide_hindsight(RUN, start, 0, latest_s(RUN), actual)
    assert late is not None
    assert late.perfect_g <= min(late.planned_g, late.baseline_g) + 1e-9
    true = decide_hindsight(RUN, start, 0, latest_s(RUN), forecast)
    assert true is not None
    assert true.planned_g == pytest.approx(record["promised"]["planned_g"])
    assert true.baseline_g == pytest.approx(record["promised"]["baseline_g"])
    assert true.captured_ratio is None or true.captured_ratio == pytest.approx(1.0)


def test_what_is_not_all_known_is_not_judged() -> None:
    assert decide_hindsight(RUN, 0, 0, latest_s(RUN), Intensity(0, HOUR, np.ones(20))) is None
    assert decide_hindsight(RUN, HOUR, HOUR, latest_s(RUN), Intensity(2 * HOUR, HOUR, np.ones(40))) is None


@given(VALUES, st.integers(0, 20), st.integers(-5, 5))
def test_an_error_is_the_mean_over_the_steps_that_have_come(told: list[int], begin: int, offset: int) -> None:
    guess = Intensity(0, HOUR, np.array(told, float))
    halves = Intensity(offset * HOUR, HOUR // 2, np.repeat(np.arange(100.0, 130.0), 2))
    found = [abs(told[hour] / (100.0 + hour - offset) - 1) for hour in range(begin, 30) if 0 <= hour - offset < 30]
    assert forecast_error(guess, halves, begin * HOUR) == pytest.approx(np.mean(found))


def test_steps_that_do_not_fit_are_not_compared() -> None:
    assert forecast_error(Intensity(0, HOUR, np.ones(3)), Intensity(60, HOUR, np.ones(3)), 0) is None
    assert forecast_error(Intensity(0, HOUR, np.ones(3)), Intensity(9 * HOUR, HOUR, np.ones(3)), 0) is None
