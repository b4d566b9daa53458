"""First time a quantile exceeds a capacity."""

from __future__ import annotations

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Forecast, utc
from tasks.forecasting.decide import crossings

VALUES = np.array([[[1, 2], [2, 4], [3, 6]], [[1, 1], [1, 1], [1, 1]], [[np.nan] * 2] * 3], np.float32)
MADE = Forecast(
    ("rising", "flat", "unknown"), utc(900), 1200, 300, (0.5, 0.9),
    VALUES, VALUES,
    ("linear", "linear", "none"),
)  # fmt: skip


def test_crossing_is_the_first_step_above_capacity():
    np.testing.assert_array_equal(crossings(MADE, [3.0, 0.5, 0.5], 0.9), [1500, 1200, np.nan])


def test_reaching_capacity_exactly_is_no_crossing():
    np.testing.assert_array_equal(crossings(MADE, [6.0, 1.0, 1.0], 0.9), [np.nan] * 3)


def test_a_lower_level_crosses_later():
    np.testing.assert_array_equal(crossings(MADE, 1.5, 0.5), [1500, np.nan, np.nan])


def test_an_unknown_capacity_never_crosses():
    np.testing.assert_array_equal(crossings(MADE, [np.nan, 0.0, 0.0], 0.9), [np.nan, 1200, np.nan])


def test_a_level_that_was_not_forecast_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match=r"use one of 0\.5, 0\.9"):
        crossings(MADE, 1.0, 0.8)


def test_capacities_that_are_not_one_a_series_are_refused():
    with pytest.raises(InvalidInput, match="for 3 series"):
        crossings(MADE, [1.0, 2.0], 0.9)
