"""Scores against numbers worked out by hand; their plain examples are doctests."""

from __future__ import annotations

import numpy as np

from tasks.forecasting.decide.scores import coverage, mean_absolute_scaled_error, weighted_quantile_loss


def test_mase_of_seasonal_naive_on_a_repeating_change_is_one():
    history = np.array([[0.0, 10.0, 2.0, 12.0]])
    np.testing.assert_allclose(mean_absolute_scaled_error(np.array([[4.0, 14.0]]), history[:, 2:], history, 2), [1.0])


def test_mase_of_a_constant_history_is_not_a_number():
    assert np.isnan(mean_absolute_scaled_error(np.ones((1, 2)), np.zeros((1, 2)), np.ones((1, 8)), 2)).all()


def test_wql_weighs_misses_by_their_level():
    quantiles = np.array([[[8.0, 8.0]]])  # both 2 below the actual 10: 2 x (0.1 x 2 + 0.9 x 2) / 2 / 10
    np.testing.assert_allclose(weighted_quantile_loss(np.array([[10.0]]), quantiles, [0.1, 0.9]), [0.2])


def test_missing_actuals_count_neither_as_hit_nor_as_miss():
    actual = np.array([[10.0, np.nan], [np.nan, np.nan]])
    quantiles = np.full((2, 2, 1), 8.0)
    np.testing.assert_allclose(weighted_quantile_loss(actual, quantiles, [0.5]), [0.2, np.nan])
    np.testing.assert_allclose(coverage(actual, np.zeros((2, 2)), np.full((2, 2), 20.0)), [1.0, np.nan])
