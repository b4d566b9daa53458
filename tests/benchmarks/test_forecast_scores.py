"""Sums over sums, pooled coverage, verdicts and the peers' windows of the forecasting benchmark."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_panels import Matrix, averaged, day_ahead
from forecast_peers import Windows, against, verdict
from forecast_scores import LEVELS, Goal, held, judged

from blocks.series import Series
from tasks.forecasting.decide.backtest import Backtest


def series(*rows: list[float], step_s: int = 300, start_s: int = 0) -> Series:
    return Series(tuple(map(str, range(len(rows)))), start_s, step_s, np.array(rows, np.float32))


def test_longer_steps_are_means_of_what_is_known_and_lie_on_their_own_grid():
    found = averaged(series([1, 2, 4, np.nan, np.nan, np.nan], start_s=600), 900)
    assert found.start_s == 0
    np.testing.assert_array_equal(found.values, [[1, 3, np.nan]])


def test_a_matrix_of_less_than_three_days_and_the_horizon_is_not_asked_a_day_ahead():
    short, long = (Matrix("p", "f", series([1.0] * (288 * days))) for days in (3, 4))
    assert [matrix.history.values.shape[1] for matrix in day_ahead([short, long], 96)] == [384]


@pytest.mark.parametrize(
    ("value", "said"), [(0.6, "ok (stretch)"), (0.65, "ok"), (0.8, "MISSED"), (np.nan, "not measured")]
)
def test_a_promise_is_kept_stretched_or_missed(value, said):
    assert Goal("mase_ratio", 0.7, 0.62).verdict(value) == said


def test_a_larger_figure_keeps_a_promise_of_speed():
    goal = Goal("series_per_cpu_s", 2_000, 8_000, larger=True)
    assert [goal.verdict(value) for value in (1_000, 2_000, 9_000)] == ["MISSED", "ok", "ok (stretch)"]


def test_the_stretch_of_eight_points_is_judged_within_five():
    goal = Goal("series_within_8_points", 0.9, 0.9, larger=True)
    assert [goal.verdict(0.95, within_5) for within_5 in (0.5, 0.92)] == ["ok", "ok (stretch)"]


def test_a_series_counts_in_pooled_coverage_by_its_windows():
    loss = np.array([[1.0, 1.0, 1.0], [1.0, np.nan, np.nan]])
    part = Backtest(loss, loss, loss, np.array([[1.0, 0.8], [0.6, 0.4]]), np.ones((2, 5)))
    np.testing.assert_allclose(held([part]), [0.9, 0.7])


def test_a_perfect_forecast_of_windows_loses_nothing_and_covers_all():
    actual = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    found = judged(np.array([0, 0]), actual, np.ones(2), np.repeat(actual[:, :, None], len(LEVELS), axis=2))
    assert found == {"mase": 0, "mase_median": 0, "wql": 0, "coverage_80": 1, "coverage_95": 1}


def test_engines_are_scored_on_the_windows_that_a_library_answered():
    actual = np.ones((3, 2), np.float32)
    right = np.ones((3, 2, 5), np.float32)
    wrong = right.copy()
    wrong[2] = 100
    asked = Windows(np.arange(3), np.ones((3, 4), np.float32), actual, np.ones(3), {"linear": wrong})
    answers, seconds = right + 1, np.array([2.0, 4.0, np.nan])
    row = against(asked, answers, seconds, {"linear": {"predict": 0.001, "calibrate": 0.002}})
    assert (row["windows"], row["engines"]["linear"]["mase"], row["scores"]["mase"]) == (2, 0, 1)
    assert row["times_slower"]["linear"]["than_a_forecast"] == pytest.approx(3_000)
    assert verdict(row, "linear") == "faster MISSED, more accurate ok"
