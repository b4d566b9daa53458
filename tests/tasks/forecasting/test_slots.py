"""Rows that are not one a step: which are averaged, how many a step needs, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.forecasting.files import HistoryFile, read_history

HEAD = "unique_id,ds,y\n"


@pytest.fixture
def read(tmp_path: Path):
    def reading(times_s, values, step_s: int | None = None, name: str = "a", more: str = "") -> HistoryFile:
        path = tmp_path / "history.csv"
        rows = (f"{name},{t},{'' if v is None else v}\n" for t, v in zip(times_s, values, strict=True))
        path.write_text(HEAD + "".join(rows) + more)
        return read_history(path, step_s)

    return reading


def test_rows_closer_than_the_step_are_averaged_and_that_is_said(read):
    file = read(range(0, 1800, 300), [1, 2, 3, 10, 20, 30], 900)
    assert (file.history.start_s, file.history.step_s) == (0, 900)
    np.testing.assert_array_equal(file.history.values, [[2, 20]])
    assert file.refused == []
    assert file.notes == ["series a: 6 rows, not one each 900 s: averaged over each step to 2 values"]


def test_a_step_begins_at_its_own_time_whatever_the_first_row_is(read):
    file = read(range(600, 2700, 300), [9, 1, 2, 3, 10, 20, 30], 900)
    np.testing.assert_array_equal(file.history.values, [[2, 20]])  # of the step at 0 one row of three is there
    assert file.history.start_s == 900


def test_a_step_with_less_than_half_of_its_rows_is_missing_and_counted(read):
    file = read(range(0, 2700, 300), [1, 2, 3, 10, None, None, 4, 5, 6], 900)
    np.testing.assert_array_equal(file.history.values, [[2, np.nan, 5]])
    assert file.notes[0].endswith("to 2 values; 1 steps with fewer than 2 rows are missing")


def test_half_of_the_rows_are_enough(read):
    file = read(range(0, 2700, 300), [1, 2, 3, 10, None, 30, 4, 5, 6], 900)
    np.testing.assert_array_equal(file.history.values, [[2, 20, 5]])


def test_irregular_rows_are_averaged_where_the_step_was_asked_for(read):
    file = read([0, 700, 1500, 2900, 3500, 3700, 7300, 7900], [1, 2, 3, 4, 5, 7, 8, 10], 3600)
    np.testing.assert_array_equal(file.history.values, [[3]])
    assert file.notes[-1].endswith("to 1 values; 2 steps with fewer than 3 rows are missing")


def test_sparse_irregular_rows_leave_the_other_steps_missing(read):
    file = read([0, 700, 1500, 2900, 3500, 3700], [1, 2, 3, 4, 5, 6], 300)
    np.testing.assert_array_equal(file.history.values[0, [0, 1, 2, 5, 9, 11, 12]], [1, np.nan, 2, 3, 4, 5, 6])


def test_irregular_rows_without_a_step_are_left_out_by_name(read):
    with pytest.raises(InvalidInput, match="series a: its rows are not 600 s apart but irregular, about 600 s"):
        read([0, 100, 900, 1500, 2900, 3500, 3700, 5100], range(8))


def test_regular_rows_farther_apart_than_the_step_are_left_out(read):
    with pytest.raises(InvalidInput, match="its rows are not 300 s apart but about 3600 s"):
        read(range(0, 36000, 3600), range(10), 300)


def test_a_closer_series_is_averaged_to_the_step_of_the_file(read):
    fine = "".join(f"fine,{t},{t // 300}\n" for t in range(0, 900, 60))
    file = read(range(0, 12000, 300), range(40), more=fine)
    assert file.history.step_s == 300
    np.testing.assert_array_equal(file.history.values[1, :4], [0, 1, 2, np.nan])


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=60), st.sampled_from([2, 3, 4, 6, 12]))
def test_averages_agree_with_brute_force(tmp_path_factory, values, each):
    values = values[: len(values) // each * each] or [1] * each
    path = tmp_path_factory.mktemp("law") / "h.csv"
    path.write_text(HEAD + "".join(f"a,{300 * t},{v}\n" for t, v in enumerate(values)))
    file = read_history(path, 300 * each)
    if len(values) >= 3:
        expected = np.array(values, float).reshape(-1, each).mean(axis=1)
        np.testing.assert_allclose(file.history.values[0], expected, rtol=1e-6)
