"""Reading histories: the stated rule for every kind of bad row, series and file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from blocks.errors import InvalidInput
from blocks.series import utc
from tasks.forecasting.files import HistoryFile, read_history
from tasks.forecasting.tables import write_table

HEAD = "unique_id,ds,y\n"
GOOD = "a,2026-01-01T00:00:00Z,1\na,2026-01-01T00:05:00Z,2\na,2026-01-01T00:10:00Z,3\n"


@pytest.fixture
def read(tmp_path: Path):
    def reading(text: str, step_s: int | None = None, name: str = "history.csv") -> HistoryFile:
        path = tmp_path / name
        path.write_text(text)
        return read_history(path, step_s)

    return reading


def test_a_long_table_becomes_a_matrix_in_the_order_of_the_file(read):
    file = read(HEAD + "b,2026-01-01T00:05:00Z,7\n" + GOOD)
    assert file.history.unique_id == ("b", "a")
    assert file.history.step_s == 300
    assert utc(file.history.start_s).isoformat() == "2026-01-01T00:00:00+00:00"
    np.testing.assert_array_equal(file.history.values, [[np.nan, 7, np.nan], [1, 2, 3]])
    assert (file.refused, file.notes) == ([], [])


def test_a_wide_table_has_one_series_a_column(read):
    file = read("t_s,web,db\n600,1,2\n900,,3\n1200,5,nan\n")
    assert file.history.unique_id == ("web", "db")
    assert file.history.start_s == 600
    np.testing.assert_array_equal(file.history.values, [[1, np.nan, 5], [2, 3, np.nan]])


def test_parquet_reads_as_csv_does(read, tmp_path):
    csv = read(HEAD + GOOD)
    path = tmp_path / "history.parquet"
    pa_parquet.write_table(pa_csv.read_csv(tmp_path / "history.csv"), path)
    parquet = read_history(path)
    np.testing.assert_array_equal(parquet.history.values, csv.history.values)
    assert parquet.history.start_s == csv.history.start_s


def test_a_compressed_csv_reads_as_it_would_unpacked(read, tmp_path):
    csv, path = read(HEAD + GOOD), tmp_path / "history.csv.gz"
    path.write_bytes(gzip.compress((HEAD + GOOD).encode()))
    packed = read_history(path)
    np.testing.assert_array_equal(packed.history.values, csv.history.values)
    assert packed.history.start_s == csv.history.start_s


def test_times_with_an_offset_are_moved_to_utc(read):
    file = read(HEAD + "a,2026-01-01T01:00:00+01:00,1\na,2026-01-01T00:05:00Z,2\n")
    np.testing.assert_array_equal(file.history.values, [[1, 2]])
    assert file.notes == []


def test_times_without_zone_are_taken_as_utc_and_that_is_said(read):
    file = read(HEAD + "a,2026-01-01 00:00:00,1\na,2026-01-01 00:05:00,2\n")
    assert utc(file.history.start_s).isoformat() == "2026-01-01T00:00:00+00:00"
    assert file.notes == ["column ds: 2 time(s) without zone, first in line 2: taken as UTC"]


def test_unordered_rows_are_sorted_and_that_is_said(read):
    file = read(HEAD + "".join(f"{line}\n" for line in reversed(GOOD.splitlines())))
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3]])
    assert file.notes == ["1 series were not in time order: sorted"]


def test_further_numeric_columns_are_known_beforehand(read):
    file = read("unique_id,ds,y,holiday\na,2026-01-01T00:00:00Z,1,0\na,2026-01-01T00:05:00Z,2,1\n")
    assert file.calendar.names == ("holiday",)
    np.testing.assert_array_equal(file.calendar.values, [[[0, 1]]])


@pytest.mark.parametrize(
    ("row", "refusal"),
    [
        ("a,2026-01-01T00:15:00Z,many", "line 5, column y: 'many' is no number: row left out"),
        ("a,2026-01-01T00:15:00Z,1e308", "line 5, column y: '1e308' is beyond 1e17: row left out"),
        ("a,2026-01-01T00:15:00Z,inf", "line 5, column y: 'inf' is beyond 1e17: row left out"),
        ("a,yesterday,4", "line 5, column ds: 'yesterday' is no ISO 8601 time: row left out"),
        (",2026-01-01T00:15:00Z,4", "line 5, column unique_id: it is empty: row left out"),
        ("a,2026-01-01T00:15:00Z", "line 5: 2 cells where the header has 3: row left out"),
        ("a,2026-01-01T00:10:00Z,4",
         "line 5: series a has a value for this time already (2026-01-01T00:10:00+00:00): "
         "row left out"),
        ("a,2026-01-01T00:10:02Z,4",
         "line 5: series a has a value in this step of 300 s already (2026-01-01T00:10:02+00:00): "
         "row left out"),
        ("a,2026-01-01T00:12:30Z,4", "line 5: the time lies between the steps of 300 s: row left out"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_and_left_out_alone(read, row, refusal):
    file = read(HEAD + GOOD + row + "\n" + "a,2026-01-01T00:20:00Z,5\n")
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3, np.nan, 5]])
    assert file.refused == [refusal]


def test_blank_lines_count_as_lines_and_nothing_else(read):
    file = read(HEAD + "\n" + GOOD + "\na,2026-01-01T00:15:00Z,x\n\n")
    assert file.refused == ["line 7, column y: 'x' is no number: row left out"]


@pytest.mark.parametrize("missing", ["", "NaN", "null", "NA"])
def test_an_empty_value_is_missing_and_no_refusal(read, missing):
    file = read(HEAD + GOOD + f"a,2026-01-01T00:15:00Z,{missing}\na,2026-01-01T00:20:00Z,5\n")
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3, np.nan, 5]])
    assert file.refused == []


def test_a_series_with_another_step_is_left_out_alone(read):
    hourly = "".join(f"slow,2026-01-01T0{hour}:00:00Z,1\n" for hour in range(5))
    file = read(HEAD + GOOD + GOOD.replace("a,", "b,") + GOOD.replace("a,", "c,") + hourly)
    assert file.history.unique_id == ("a", "b", "c")
    assert len(file.refused) == 1
    assert file.refused[0].startswith("series slow: its rows are not 300 s apart")


def test_a_series_without_a_value_is_left_out_alone(read):
    file = read(HEAD + GOOD + "empty,2026-01-01T00:00:00Z,\n")
    assert file.history.unique_id == ("a",)
    assert file.refused == ["series empty: it has no value at all: series left out"]


def test_a_text_column_of_a_wide_table_is_left_out_alone(read):
    file = read("time,host,web\n2026-01-01T00:00Z,x,1\n2026-01-01T00:05Z,y,2\n")
    assert file.history.unique_id == ("web",)
    assert "column host: no cell is a number, the first in line 2: series left out" in file.refused


def test_a_series_keeps_its_own_phase(read):
    file = read(HEAD + GOOD.replace(":00Z", ":46Z") + GOOD.replace("a,", "b,"))
    assert file.history.start_s % 300 == 0
    np.testing.assert_array_equal(file.phase_s, [46, 0])


def test_scrape_jitter_stays_on_the_grid(read):
    file = read(HEAD + GOOD.replace("05:00Z", "04:58Z"), step_s=300)
    np.testing.assert_array_equal(file.history.values, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Empty CSV file"),
        (HEAD, "no usable row"),
        (HEAD + "a,2026-01-01T00:00:00Z,1\n", "pass --freq"),
        (HEAD + "a,2026-01-01T00:00:00Z,\na,2026-01-01T00:05:00Z,\n", "no value at all"),
        ("unique_id,ds\na,2026-01-01T00:00:00Z\n", "column y is not there"),
        ("words\nhello\n", "is no table"),
        ("t,a,a\n1,2,3\n", "two columns are called 'a'"),
        ("t_s,a\n0,1\n300,2\n90000000000,3\n", "more than 300,000,000 values"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_line_that_names_it(read, text, words):
    with pytest.raises(InvalidInput, match=r"history\.csv") as caught:
        read(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match="nowhere"):
        read_history(tmp_path / "nowhere.csv")


def test_a_broken_parquet_file_is_refused(read):
    with pytest.raises(InvalidInput, match="not a readable Parquet file"):
        read("no parquet", name="history.parquet")


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_written_table_replaces_the_old_one_whole(tmp_path, name):
    path = tmp_path / name
    path.write_text("old")
    write_table(pa.table({"ds": pa.array([0], pa.timestamp("s", tz="UTC")), "y_hat": [1.5]}), path)
    read = pa_parquet.read_table(path) if name.endswith("parquet") else pa_csv.read_csv(path)
    assert read["ds"][0].as_py().isoformat() == "1970-01-01T00:00:00+00:00"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_table(pa.table({"y": [1]}), tmp_path / "file" / "out.csv")
