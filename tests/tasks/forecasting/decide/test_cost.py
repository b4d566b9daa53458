"""The cost of a forecast: whole nodes of the resource that needs most."""

from __future__ import annotations

import numpy as np
import pytest

from blocks.series import Forecast, utc
from tasks.forecasting.decide.cost import projected_cost

VALUES = np.array([[[9.0, 18.0]] * 2, [[1.0, 40.0]] * 2, [[9.0, 9.0]] * 2], np.float32)
NAMES = ("a/web/cpu_cores", "a/web/memory_bytes", "b/web/cpu_cores")
MADE = Forecast(NAMES, utc(0), 0, 1800, (0.5, 0.9), VALUES, VALUES, ("linear",) * 3)
SIZES = {"a/web/cpu_cores": 10.0, "a/web/memory_bytes": 10.0, "b/web/cpu_cores": 10.0}


def test_each_step_pays_for_whole_nodes_of_the_resource_that_needs_most():
    found = projected_cost(MADE, SIZES, {"a/web": 2.0}, {})
    assert found["a/web"] == pytest.approx([2.0, 10.0])  # 1 node, and 40 / 9 = 5 nodes, for an hour in all


def test_nodes_that_are_paid_for_anyway_cost_nothing():
    assert projected_cost(MADE, SIZES, {"a/web": 2.0}, {"a/web": 2})["a/web"] == pytest.approx([0.0, 6.0])


def test_a_pool_without_a_price_is_absent():
    assert list(projected_cost(MADE, SIZES, {"b/web": 1.0}, {})) == ["b/web"]


def test_a_pool_whose_forecast_is_not_known_is_absent():
    blind = Forecast(**{**MADE.__dict__, "values": np.full_like(VALUES, np.nan)})
    assert projected_cost(blind, SIZES, {"a/web": 1.0}, {}) == {}
