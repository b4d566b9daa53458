"""Scores: what they leave out, and where they are not defined."""

from __future__ import annotations

import numpy as np

from tasks.forecasting.decide.scores import coverage, quantile_loss, scaled_error, usual_change


def test_a_history_that_repeats_exactly_gives_no_mase():
    change = usual_change(np.array([[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]]), 2)
    assert np.isnan(scaled_error(np.array([[3.0]]), np.array([[4.0]]), change)).all()


def test_a_history_of_less_than_a_season_is_scaled_by_its_change_from_step_to_step():
    assert usual_change(np.array([[1.0, 2.0, 4.0]]), 5).tolist() == [1.5]


def test_missing_actuals_are_left_out():
    actual, predicted = np.array([[3.0, np.nan]]), np.array([[4.0, 100.0]])
    assert scaled_error(actual, predicted, np.array([2.0])).tolist() == [0.5]
    loss, size = quantile_loss(actual, predicted[:, :, None], [0.5])
    assert (loss.tolist(), size.tolist()) == ([0.5], [3.0])


def test_a_value_on_the_border_is_covered():
    assert coverage(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]), np.array([[1.5, 2.0]])).tolist() == [1.0]


def test_the_loss_of_a_high_quantile_is_larger_below_than_above():
    under, _ = quantile_loss(np.array([[10.0]]), np.array([[[9.0]]]), [0.9])
    over, _ = quantile_loss(np.array([[10.0]]), np.array([[[11.0]]]), [0.9])
    np.testing.assert_allclose([under[0], over[0]], [0.9, 0.1])
