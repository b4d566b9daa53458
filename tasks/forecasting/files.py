"""History files: each row and series is checked at the door; what is left becomes a matrix and a calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Calendar, Series, utc
from tasks.forecasting.cells import NO_TIME, numbers, seconds, text
from tasks.forecasting.decide.history import steps_in_a_day
from tasks.forecasting.grid import put_on_grid
from tasks.forecasting.rows import Rows, usual_step
from tasks.forecasting.slots import without_value
from tasks.forecasting.tables import load_table

LONG = ("unique_id", "ds", "y")


@dataclass(frozen=True)
class HistoryFile:
    """What a file held.

    Attributes
    ----------
    history: the matrix; column times are multiples of the step.
    phase_s: (S,) seconds that a series' own timestamps lie after the column times.
    refused: one line for each row or series that was left out, and why. notes: rules that were applied.
    calendar: local time and known-future features of the series; None where all is UTC and there are none.
    """

    history: Series
    phase_s: NDArray[np.int64]
    refused: list[str]
    notes: list[str]
    calendar: Calendar | None = None


def read_history(
    path: Path, step_s: int | None = None, zone: str = "UTC", until: datetime | None = None
) -> HistoryFile:
    """Read a long (`unique_id, ds, y`) or wide (a time column first, then one column a series) table.

    Rules: a time without zone is UTC; a number as time is seconds since 1970; an empty cell is missing, never zero;
    rows may come in any order. A row whose time or value cannot be read, that repeats a time of its series, or that
    lies between the steps is refused alone; so is a series without a value or with another step than the file. A series
    whose rows are closer than the step is averaged over each step, as are irregular rows where the step was asked for
    (`slots.averaging`).

    Further numeric columns of a long table are features that are known beforehand. A row with features and an empty `y`
    after the last value of its series tells their future: it neither makes the history longer nor counts as missing.
    A feature that is not known (an empty cell, no row) has its usual value, that is no effect.

    Parameters
    ----------
    path:
        `.csv`, `.csv.gz` or `.parquet`.
    step_s:
        seconds between the steps; without it the most frequent distance of rows in the file.
    zone:
        IANA name of the series' local time.
    until:
        no value later than this is read.

    Raises
    ------
    InvalidInput: the file cannot be read, nothing usable is left in it, or `until` lies before its first row.
    """
    refused: list[str] = []
    notes: list[str] = []
    table, lines = load_table(path, refused)
    try:
        rows, names = _rows(table, lines, path, refused, notes)
    except pa.ArrowException as error:
        raise InvalidInput(f"a column has a type that is no text, time or number ({str(error).splitlines()[0]})",
                           where=str(path), fix="write it with plain columns unique_id, ds, y") from error  # fmt: skip
    if not len(rows.time_s):
        why = refused[0] if refused else "it has none"
        raise InvalidInput(f"no usable row ({why})", where=str(path),
                           fix="give rows of unique_id, ds, y; or a time column and then the series")  # fmt: skip
    step = step_s or usual_step(rows)
    if step is None:
        raise InvalidInput("no series has two rows, so their distance is unknown", where=str(path),
                           fix="pass --freq, for example --freq 5min")  # fmt: skip
    steps_in_a_day(step)
    rows = _before(rows, until, path)
    gridded = put_on_grid(rows, step, path, refused, notes, asked=step_s is not None)
    ids, start_s = gridded.history.unique_id, gridded.history.start_s
    zones = () if zone == "UTC" else (zone,) * len(ids)
    calendar = Calendar(ids, zones, names, start_s, step, gridded.features) if zones or names else None
    return HistoryFile(gridded.history, gridded.phase_s, refused, notes, calendar)


def _before(rows: Rows, until: datetime | None, path: Path) -> Rows:
    """The rows, those after a moment without their value.

    Raises
    ------
    InvalidInput: there is no value at or before it.
    """
    if until is None:
        return rows
    known = np.isfinite(rows.value)
    if known.any() and rows.time_s[known].min() > until.timestamp():
        begin = utc(int(rows.time_s[known].min())).isoformat()
        raise InvalidInput(f"{until.isoformat()} lies before the first value of {path}, {begin}", where="--origin",
                           fix="give a later time")  # fmt: skip
    return without_value(rows, until.timestamp())


def _rows(
    table: pa.Table, lines: NDArray[np.int64], path: Path, refused: list[str], notes: list[str]
) -> tuple[Rows, tuple[str, ...]]:
    """All readable rows of a long or a wide table, and the names of their features."""
    if "unique_id" in table.column_names:
        return _long_rows(table, lines, path, refused, notes)
    return _wide_rows(table, lines, refused, notes), ()


def _long_rows(
    table: pa.Table, lines: NDArray[np.int64], path: Path, refused: list[str], notes: list[str]
) -> tuple[Rows, tuple[str, ...]]:
    columns = table.column_names
    absent = [name for name in LONG if name not in columns]
    if absent:
        raise InvalidInput(f"column {absent[0]} is not there", where=str(path),
                           fix=f"a long table has {', '.join(LONG)}; here are {', '.join(columns)}")  # fmt: skip
    time_s, bad_times, time_notes = seconds(table["ds"], "ds", lines)
    value, unread, bad_values = numbers(table["y"], "y", lines)
    names, number = np.unique(text(table["unique_id"]), return_inverse=True)
    nameless = (names == "")[number]
    refused += bad_times + bad_values
    refused += [f"line {line}, column unique_id: it is empty: row left out" for line in lines[nameless]]
    notes += time_notes
    features, known = _features(table, lines, refused, notes)
    usable = (time_s != NO_TIME) & ~nameless & ~unread
    return _in_order_of_appearance(Rows(list(names), number, time_s, value, lines, features).take(usable)), known


def _features(
    table: pa.Table, lines: NDArray[np.int64], refused: list[str], notes: list[str]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """(N, K) features of the rows, and their names; a cell that is no number is not known, a column of text is none."""
    columns, names = [], []
    for name in (name for name in table.column_names if name not in LONG):
        column = table[name].cast(pa.int8()) if pa.types.is_boolean(table[name].type) else table[name]
        value, _, bad = numbers(column, name, lines)
        if not np.isfinite(value).any():
            notes.append(f"column {name} holds no number: it is not used")
            continue
        refused += [line.replace("row left out", "cell left out") for line in bad]
        columns.append(value.astype(np.float32))
        names.append(name)
    return np.stack(columns, axis=1) if columns else np.empty((len(lines), 0), np.float32), tuple(names)


def _in_order_of_appearance(rows: Rows) -> Rows:
    """The same rows, series numbered as they come in the file."""
    numbers_found, first = np.unique(rows.number, return_index=True)
    order = numbers_found[np.argsort(first)]
    place = np.zeros(len(rows.names), dtype=np.int64)
    place[order] = np.arange(len(order))
    return Rows([rows.names[i] for i in order], place[rows.number], rows.time_s, rows.value, rows.line,
                rows.features)  # fmt: skip


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
        np.empty((count * len(names), 0), np.float32),
    )
