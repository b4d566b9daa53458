"""History and forecast files: CSV or Parquet in, CSV or Parquet out. Every row and series is checked at the door."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Series
from tasks.forecasting.cells import NO_TIME, numbers, seconds, text
from tasks.forecasting.decide.history import steps_in_a_day
from tasks.forecasting.grid import Rows, put_on_grid, usual_step

LONG = ("unique_id", "ds", "y")
PARQUET = {".parquet", ".pq"}


@dataclass(frozen=True)
class HistoryFile:
    """What a file held.

    Attributes
    ----------
    history: the matrix; column times are multiples of the step.
    phase_s: (S,) seconds that a series' own timestamps lie after the column times.
    refused: one line for each row or series that was left out, and why. notes: rules that were applied.
    """

    history: Series
    phase_s: NDArray[np.int64]
    refused: list[str]
    notes: list[str]


def read_history(path: Path, step_s: int | None = None) -> HistoryFile:
    """Read a long (`unique_id, ds, y`) or wide (a time column first, then one column a series) table.

    Rules: a time without zone is UTC; a number as time is seconds since 1970; an empty cell is missing, never zero;
    rows may come in any order. A row whose time or value cannot be read, that repeats a time of its series, or that
    lies between the steps is refused alone; so is a series without a value or with another step than the file.

    Parameters
    ----------
    path:
        `.csv`, `.csv.gz` or `.parquet`.
    step_s:
        seconds between the rows of a series; without it the most frequent distance in the file.

    Raises
    ------
    InvalidInput: the file cannot be read, or nothing usable is left in it.
    """
    if not path.is_file():
        raise InvalidInput("there is no file here", where=str(path), fix="check the path")
    refused: list[str] = []
    notes: list[str] = []
    table, lines = _load_parquet(path) if path.suffix in PARQUET else _load_csv(path, refused)
    rows = _rows(table, lines, path, refused, notes)
    if not len(rows.time_s):
        why = refused[0] if refused else "it has none"
        raise InvalidInput(f"no usable row ({why})", where=str(path),
                           fix="give rows of unique_id, ds, y; or a time column and then the series")  # fmt: skip
    step = step_s or usual_step(rows)
    if step is None:
        raise InvalidInput("no series has two rows, so their distance is unknown", where=str(path),
                           fix="pass --freq, for example --freq 5min")  # fmt: skip
    steps_in_a_day(step)
    gridded = put_on_grid(rows, step, path, refused, notes)
    return HistoryFile(gridded.history, gridded.phase_s, refused, notes)


def _load_parquet(path: Path) -> tuple[pa.Table, NDArray[np.int64]]:
    """The table and the number of each of its rows, from 1."""
    try:
        table = pa_parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"not a readable Parquet file ({_first_line(error)})", where=str(path),
                           fix="write it again with a Parquet library") from error  # fmt: skip
    return table, np.arange(1, len(table) + 1)


def _load_csv(path: Path, refused: list[str]) -> tuple[pa.Table, NDArray[np.int64]]:
    """The table, every cell as text, and the line of each of its rows; lines of another width are refused."""
    uneven: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        uneven.append(row.number)
        refused.append(f"line {row.number}: {row.actual_columns} cells where the header has {row.expected_columns}: "
                       "row left out")  # fmt: skip
        return "skip"

    try:
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),  # line numbers are only known in one thread
            parse_options=pa_csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(default_column_type=pa.string()),
        )
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"not a readable CSV file ({_first_line(error)})", where=str(path),
                           fix="save it as UTF-8 text with commas and one header line") from error  # fmt: skip
    lines = np.setdiff1d(np.arange(2, len(table) + len(uneven) + 2), uneven)
    return table, lines


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _rows(table: pa.Table, lines: NDArray[np.int64], path: Path, refused: list[str], notes: list[str]) -> Rows:
    """All readable rows of a long or a wide table."""
    columns = [name.strip() for name in table.column_names]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InvalidInput(f"two columns are called {twice[0]!r}", where=str(path), fix="give each its own name")
    if len(columns) < 2:
        raise InvalidInput(f"one column ({columns[0] if columns else ''!r}) is no history", where=str(path),
                           fix="separate columns by commas: unique_id, ds, y")  # fmt: skip
    table = table.rename_columns(columns)
    if any(pa.types.is_string(column.type) for column in table.columns):
        blank = np.all([text(column) == "" for column in table.columns if pa.types.is_string(column.type)], axis=0)
        blank &= all(pa.types.is_string(column.type) for column in table.columns)
        table, lines = table.filter(pa.array(~blank)), lines[~blank]
    if "unique_id" in columns:
        return _long_rows(table, lines, path, refused, notes)
    return _wide_rows(table, lines, refused, notes)


def _long_rows(table: pa.Table, lines: NDArray[np.int64], path: Path, refused: list[str], notes: list[str]) -> Rows:
    columns = table.column_names
    absent = [name for name in LONG if name not in columns]
    if absent:
        raise InvalidInput(f"column {absent[0]} is not there", where=str(path),
                           fix=f"a long table has {', '.join(LONG)}; here are {', '.join(columns)}")  # fmt: skip
    extra = [name for name in columns if name not in LONG]
    if extra:
        notes.append(f"columns {', '.join(extra)}: known-future features, which no engine of this version uses")
    time_s, bad_times, time_notes = seconds(table["ds"], "ds", lines)
    value, unread, bad_values = numbers(table["y"], "y", lines)
    names, number = np.unique(text(table["unique_id"]), return_inverse=True)
    nameless = (names == "")[number]
    refused += bad_times + bad_values
    refused += [f"line {line}, column unique_id: it is empty: row left out" for line in lines[nameless]]
    notes += time_notes
    usable = (time_s != NO_TIME) & ~nameless & ~unread
    return _in_order_of_appearance(Rows(list(names), number, time_s, value, lines).take(usable))


def _in_order_of_appearance(rows: Rows) -> Rows:
    """The same rows, series numbered as they come in the file."""
    numbers_found, first = np.unique(rows.number, return_index=True)
    order = numbers_found[np.argsort(first)]
    place = np.zeros(len(rows.names), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Rows([rows.names[i] for i in order], place[rows.number], rows.time_s, rows.value, rows.line)


def _wide_rows(table: pa.Table, lines: NDArray[np.int64], refused: list[str], notes: list[str]) -> Rows:
    """One series a column; a cell that is no number is refused alone, a column without any number as a whole."""
    clock, *names = table.column_names
    time_s, bad_times, time_notes = seconds(table[clock], clock, lines)
    refused += bad_times
    notes += time_notes
    columns = []
    for name in names:
        value, _, bad = numbers(table[name], name, lines)
        if bad and not np.isfinite(value).any():
            bad = [f"column {name}: no cell is a number, the first in line {lines[0]}: series left out"]
        refused += [line.replace("row left out", "cell left out") for line in bad]
        columns.append(value)
    usable = time_s != NO_TIME
    count = int(usable.sum())
    return Rows(
        names,
        np.repeat(np.arange(len(names)), count),
        np.tile(time_s[usable], len(names)),
        np.concatenate([column[usable] for column in columns]),
        np.tile(lines[usable], len(names)),
    )


def _with_iso_times(table: pa.Table) -> pa.Table:
    """Times as text, 2026-01-31T12:00:00Z."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            iso = pa.compute.strftime(table.column(place), format="%Y-%m-%dT%H:%M:%SZ")
            table = table.set_column(place, field.name, iso)
    return table


def write_table(table: pa.Table, path: Path) -> None:
    """Replace `path` by the table in one step: Parquet by its suffix, otherwise CSV.

    Raises
    ------
    InvalidInput: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InvalidInput(
            f"cannot be written ({error.strerror})", where=str(path), fix="name another --out"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            if path.suffix in PARQUET:
                pa_parquet.write_table(table, file)
            else:
                pa_csv.write_csv(_with_iso_times(table), file, pa_csv.WriteOptions(quoting_style="needed"))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
