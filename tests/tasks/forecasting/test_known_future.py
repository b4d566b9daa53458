"""Further columns of a long table: what is known beforehand of each series, and how far ahead."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tasks.forecasting.files import HistoryFile, read_history
from tasks.forecasting.offline import forecast_file, forecast_notes

NAN = np.nan
HEAD = "unique_id,ds,y,holiday\n"
PAST = "a,0,1,0\na,300,2,1\na,600,3,0\n"


@pytest.fixture
def read(tmp_path: Path):
    def reading(text: str, *arguments, **more) -> HistoryFile:
        path = tmp_path / "history.csv"
        path.write_text(text)
        return read_history(path, *arguments, **more)

    return reading


def test_rows_with_an_empty_value_after_the_last_one_tell_the_future(read):
    file = read(HEAD + PAST + "a,900,,1\na,1200,,0\n")
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3]])
    np.testing.assert_array_equal(file.calendar.values, [[[0, 1, 0, 1, 0]]])
    assert (file.calendar.start_s, file.calendar.step_s) == (0, 300)
    assert file.refused == []


def test_a_row_with_an_empty_value_inside_is_missing(read):
    file = read(HEAD + "a,0,1,0\na,300,,1\na,600,3,0\n")
    np.testing.assert_array_equal(file.history.values, [[1, NAN, 3]])


def test_each_series_has_its_own_future(read):
    file = read(HEAD + PAST + PAST.replace("a,", "b,") + "b,900,,1\n")
    np.testing.assert_array_equal(file.calendar.values, [[[0, 1, 0, NAN], [0, 1, 0, 1]]])
    assert file.calendar.unique_id == ("a", "b")


def test_a_series_without_a_value_has_no_future_either(read):
    file = read(HEAD + PAST + "b,900,,1\n")
    assert file.calendar.unique_id == ("a",)
    assert file.refused == ["series b: it has no value at all: series left out"]


def test_a_feature_that_is_no_number_is_not_known_and_named(read):
    file = read(HEAD + PAST + "a,900,4,maybe\n")
    np.testing.assert_array_equal(file.calendar.values, [[[0, 1, 0, NAN]]])
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3, 4]])
    assert file.refused == ["line 5, column holiday: 'maybe' is no number: cell left out"]


def test_a_column_of_text_is_no_feature_and_that_is_said(read):
    file = read(HEAD.replace("holiday", "host") + PAST.replace(",0\n", ",x\n").replace(",1\n", ",y\n"))
    assert file.calendar is None
    assert file.notes == ["column host holds no number: it is not used"]


def test_features_are_averaged_like_the_values(read):
    file = read(HEAD + PAST + "a,900,,1\na,1200,,1\na,1500,,1\n", 900)
    np.testing.assert_array_equal(file.history.values, [[2]])
    np.testing.assert_allclose(file.calendar.values, [[[1 / 3, 1]]], rtol=1e-6)


def test_features_after_the_origin_are_known_but_values_are_not(read):
    file = read(HEAD + PAST, until=datetime.fromtimestamp(300, UTC))
    np.testing.assert_array_equal(file.history.values, [[1, 2]])
    np.testing.assert_array_equal(file.calendar.values, [[[0, 1, 0]]])


def test_a_time_zone_is_that_of_every_series(read):
    file = read(HEAD.replace(",holiday", "") + "a,0,1\na,300,2\nb,0,1\nb,300,2\n", zone="Europe/Berlin")
    assert file.calendar.zones == ("Europe/Berlin", "Europe/Berlin")
    assert file.calendar.names == ()


def test_utc_without_features_needs_no_calendar(read):
    assert read("unique_id,ds,y\na,0,1\na,300,2\n").calendar is None


@pytest.mark.parametrize(("future", "unknown"), [("", 2), ("a,900,,1\n", 1), ("a,900,,1\na,1200,,1\n", 0)])
def test_steps_whose_features_are_not_known_are_counted(read, future, unknown):
    file = read(HEAD + PAST + future)
    made = forecast_file(file, 2, (80,), "last-value")
    notes = forecast_notes(file, made)
    assert len(notes) == (unknown > 0)
    assert all(note.startswith(f"column holiday: not known for {unknown} of 2 steps") for note in notes)
