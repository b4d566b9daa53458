"""Forecasting a file: each series from its own end, or all from one origin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from blocks.errors import InvalidInput
from blocks.series import Series, utc
from tasks.forecasting.files import HistoryFile
from tasks.forecasting.offline import forecast_file, quantile_levels


def as_file(history: Series, phase_s: tuple[int, ...] = (0, 0, 0, 0)) -> HistoryFile:
    return HistoryFile(history, np.array(phase_s[: len(history.unique_id)]), [], [])


def test_each_series_goes_on_after_its_own_last_value(make_fleet):
    history = make_fleet()
    history.values[2, -30:] = np.nan
    made = forecast_file(as_file(history), 4, (80,), "linear")
    expected = [history.end_s] * 2 + [history.end_s - 30 * history.step_s] + [history.end_s]
    np.testing.assert_array_equal(made.start_s, expected)
    assert set(made.method) == {"linear"}
    np.testing.assert_array_equal(made.last[2], history.values[2, -31])


def test_nothing_after_the_origin_is_read_by_each_series_own_clock(make_fleet):
    history = make_fleet()
    origin = utc(history.start_s + 1000 * history.step_s + 60)
    garbage = history.values.copy()
    garbage[1:, 1000:] = 1e6  # of the series 100 s past the grid, column 1000 lies 40 s after the origin
    garbage[0, 1001:] = 1e6
    known = forecast_file(as_file(history, (0, 100, 100, 100)), 4, (80,), "linear", origin)
    blind = forecast_file(as_file(replace(history, values=garbage), (0, 100, 100, 100)), 4, (80,), "linear", origin)
    np.testing.assert_array_equal(known.middle, blind.middle)
    assert (known.start_s > origin.timestamp()).all()
    np.testing.assert_array_equal(known.start_s % history.step_s, [0, 100, 100, 100])


def test_bands_enclose_the_median_and_widen_with_their_percent(make_fleet):
    made = forecast_file(as_file(make_fleet()), 4, (95, 80), "linear")
    assert (made.low[:, :, 0] <= made.low[:, :, 1]).all()
    assert (made.low[:, :, 1] <= made.middle).all()
    assert (made.high[:, :, 1] <= made.high[:, :, 0]).all()


def test_the_table_has_one_row_a_series_and_step_in_the_order_of_the_file(make_fleet):
    history = make_fleet()
    table = forecast_file(as_file(history), 4, (80, 95), "linear").table()
    assert table.column_names == ["unique_id", "ds", "y_hat", "lo_80", "hi_80", "lo_95", "hi_95"]
    assert table["unique_id"].to_pylist() == [name for name in history.unique_id for _ in range(4)]
    assert table["ds"][0].as_py() == utc(history.end_s)


def test_a_training_file_replaces_the_series_as_teacher(make_fleet):
    history = make_fleet(series=1, days=1)  # too little to learn from
    alone = forecast_file(as_file(history), 4, (80,), "linear")
    taught = forecast_file(as_file(history), 4, (80,), "linear", training=as_file(make_fleet(seed=7)))
    assert alone.method == ("seasonal-naive",)
    assert taught.method == ("linear",)


def test_a_training_file_of_another_step_is_refused(make_fleet):
    with pytest.raises(InvalidInput, match="train on a file of the same step"):
        forecast_file(as_file(make_fleet()), 4, (80,), "linear", training=as_file(replace(make_fleet(), step_s=300)))


@pytest.mark.parametrize("percents", [(), (0,), (100,), (80, 80)])
def test_impossible_bands_are_refused(percents):
    with pytest.raises(InvalidInput, match="--levels"):
        quantile_levels(percents)
