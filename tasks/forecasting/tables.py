"""Tables at the door: CSV or Parquet in, each row with its number in the file; CSV or Parquet out in one step."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.forecasting.cells import text

PARQUET, CSV = {".parquet", ".pq"}, {".csv"}
INDEX_OF_PANDAS = (
    "__index_level_"  # how pandas calls a nameless index in Parquet: a row number, no column of the user's
)
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def load_table(path: Path, refused: list[str]) -> tuple[pa.Table, NDArray[np.int64]]:
    """The table without blank rows, every cell of a CSV as text; and the line of each of its rows (Parquet: from 1).

    Lines of another width than the header are named in `refused`.

    Raises
    ------
    InvalidInput: no file, not readable, two columns of one name, or a single column.
    """
    if path.is_dir():
        raise InvalidInput("this is a folder", where=str(path), fix="name a CSV or Parquet file in it")
    if not path.is_file():
        raise InvalidInput("there is no file here", where=str(path), fix="check the path")
    table, lines = _load_parquet(path) if path.suffix.lower() in PARQUET else _load_csv(path, refused)
    columns = [name.strip() for name in table.column_names]
    for sign, word in OTHER_SEPARATORS.items():
        if columns and sign in columns[0]:
            raise InvalidInput(f"its columns are separated by {word}, not by commas", where=f"{path}: line 1",
                               fix="save it with commas between columns, and 1.5 instead of 1,5 in them")  # fmt: skip
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise InvalidInput(f"two columns are called {twice[0]!r}", where=str(path), fix="give each its own name")
    if len(columns) < 2:
        raise InvalidInput(f"one column ({columns[0] if columns else ''!r}) is no table", where=str(path),
                           fix="separate columns by commas")  # fmt: skip
    return _without_blank_rows(table.rename_columns(columns), lines)


def _without_blank_rows(table: pa.Table, lines: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.int64]]:
    if not all(pa.types.is_string(column.type) for column in table.columns):
        return table, lines
    blank = np.all([text(column) == "" for column in table.columns], axis=0)
    return (table.filter(pa.array(~blank)), lines[~blank]) if blank.any() else (table, lines)


def _load_parquet(path: Path) -> tuple[pa.Table, NDArray[np.int64]]:
    try:
        with pa_parquet.ParquetFile(path) as file:
            words = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        table = pa_parquet.ParquetFile(
            path, memory_map=True, read_dictionary=words
        ).read()  # each word once, however many the rows
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"not a readable Parquet file ({_first_line(error)})", where=str(path),
                           fix="write it again with a Parquet library") from error  # fmt: skip
    kept = [name for name in table.column_names if not name.startswith(INDEX_OF_PANDAS)]
    return table.select(kept), np.arange(1, len(table) + 1)


def _load_csv(path: Path, refused: list[str]) -> tuple[pa.Table, NDArray[np.int64]]:
    uneven: list[int] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        uneven.append(row.number)
        refused.append(f"line {row.number}: {row.actual_columns} cells where the header has {row.expected_columns}: "
                       "row left out")  # fmt: skip
        return "skip"

    try:
        _refuse_bytes(path)
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),  # line numbers are only known in one thread
            parse_options=pa_csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(default_column_type=pa.string()),
        )
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InvalidInput(f"not a readable CSV file ({_first_line(error)})", where=str(path),
                           fix="save it as UTF-8 text with commas and one header line") from error  # fmt: skip
    lines = np.setdiff1d(np.arange(2, len(table) + len(uneven) + 2), uneven)
    return table, lines


def _refuse_bytes(path: Path) -> None:
    """Refuse what is no text before Arrow tells of it in its own words.

    Raises
    ------
    InvalidInput: a byte that UTF-8 does not know, and where.
    """
    decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
    with pa.input_stream(path, compression="detect") as file:  # .csv.gz and its like, as Arrow reads them
        while chunk := file.read(1 << 20):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise InvalidInput(f"not a readable CSV file (byte {place + error.start} is no UTF-8)", where=str(path),
                                   fix="save it as UTF-8 text with commas and one header line") from None  # fmt: skip
            place += len(chunk)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_output(path: Path, inputs: list[Path]) -> None:
    """Refuse a file to write before anything is worked out.

    Raises
    ------
    InvalidInput: a suffix that is not ours, no folder, a folder, or one of the inputs.
    """
    where = f"--out {path}"
    if path.suffix.lower() not in PARQUET | CSV:
        raise InvalidInput(f"no format has the suffix {path.suffix!r}", where=where, fix="name it .csv or .parquet")
    if path.is_dir():
        raise InvalidInput("this is a folder", where=where, fix="name a file in it")
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent}", where=where, fix="make it first, or name another")
    if any(path.resolve() == file.resolve() for file in inputs):
        raise InvalidInput("this is the input, and would be lost", where=where, fix="name another file")


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
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InvalidInput(
            f"cannot be written ({error.strerror})", where=str(path), fix="name another --out"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            if path.suffix.lower() in PARQUET:
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
