"""The scorecard: what is pooled over windows, over steps, over panels and over series."""

from __future__ import annotations

import numpy as np
import pytest

from blocks.series import Series
from tasks.forecasting.decide.backtest import Backtest
from tasks.forecasting.decide.scorecard import scorecard

HORIZON, ORIGINS = 2, 2
NAN = np.nan


def panel(series: int = 1) -> Series:
    return Series(
        tuple(f"s{i}" for i in range(series)), 0, 3600, np.ones((series, 16), np.float32)
    )  # origins 12 and 13


def made(mase, coverage, *, loss=None) -> Backtest:
    mase, coverage = np.array(mase, float), np.array(coverage, float)
    lost = np.ones_like(mase) if loss is None else np.array(loss, float)
    return Backtest(mase, lost, np.ones_like(mase), coverage, np.full((len(mase), 5), 0.9))


def line(panels, parts, **models):
    return scorecard(panels, {"mine": parts, **models}, parts, HORIZON, ORIGINS, (95, 80))["mine"]


def test_models_are_compared_on_windows_that_all_of_them_have():
    mine, other = made([[1, 9]], [[0.95, 0.8]]), made([[1, NAN]], [[0.95, 0.8]])
    assert line([panel()], [mine], other=[other]).mase == 1


def test_coverage_is_pooled_over_steps_not_over_series():
    history = panel(2)
    history.values[1, 14:] = NAN  # of the second series the first window knows one step, the second none
    found = made([[1, 1], [1, NAN]], [[1, 1], [0, 0]], loss=[[1, 1], [1, NAN]])
    assert line([history], [found]).coverage[80] == pytest.approx(4 / 5)


def test_the_worst_panel_is_the_one_farthest_from_its_aim():
    parts = [made([[1, 1]], [[0.95, 0.9]]), made([[1, 1]], [[0.95, 0.75]])]
    assert line([panel(), panel()], parts).worst_panel == {95: 0.95, 80: 0.9}


def test_a_series_is_within_where_both_bands_are():
    found = made([[1, 1]] * 3, [[0.95, 0.8], [0.95, 0.74], [0.87, 0.8]])
    assert line([panel(3)], [found]).within == {5: pytest.approx(1 / 3), 8: 1}


def test_what_nothing_defines_is_nan_and_no_error():
    found = made([[NAN, NAN]], [[NAN, NAN]], loss=[[NAN, NAN]])
    card = line([panel()], [found])
    assert np.isnan([card.mase, card.wql, card.coverage[80], card.worst_panel[80], card.within[5]]).all()
