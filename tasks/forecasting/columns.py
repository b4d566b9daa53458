"""Columns of a file as numbers, times, and codes of words; each cell that cannot be read is named by its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.forecasting.cells import NO_TIME, numbers, seconds
from tasks.forecasting.tables import load_table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


@dataclass
class Columns:
    """Columns of a file as numbers; text as a code and its names."""

    table: pa.Table
    lines: Ints
    path: Path
    refused: list[str]
    wrong: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path, needed: Sequence[str]) -> Columns:
        """The table of a CSV or Parquet file. InvalidInput: it cannot be read, or lacks one of the columns."""
        refused: list[str] = []
        table, lines = load_table(path, refused)
        for name in needed:
            if name not in table.column_names:
                raise InvalidInput(f"it has no column {name!r}", where=str(path), fix=f"give {', '.join(needed)}")
        return cls(table, lines, path, refused, np.zeros(len(table), bool))

    def names(self, *columns: str) -> tuple[Codes, list[tuple[str, ...]]]:
        """(N,) number of each row's cells in those columns, and the cells by number; a missing column is ""."""
        code: Codes = np.zeros(len(self.table), np.int32)
        found: list[tuple[str, ...]] = [()]
        for column in columns:
            if column not in self.table.column_names:
                found = [(*each, "") for each in found]
                continue
            cells = self.table.column(column)
            cells = cells if pa.types.is_dictionary(cells.type) else cells.cast(pa.string()).dictionary_encode()
            text = cells.unify_dictionaries().combine_chunks()
            text = text.chunk(0) if isinstance(text, pa.ChunkedArray) else text
            values = [str(each or "").strip() for each in [*text.dictionary.to_pylist(), ""]]
            code *= len(values)  # in place: a month of a fleet has ten million rows
            code += text.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
            both, code = _compact(code, len(found) * len(values))
            found = [(*found[each // len(values)], values[each % len(values)]) for each in both.tolist()]
        return code, found

    def number(self, column: str, low: float, high: float) -> Floats | None:
        """(N,) numbers, NaN where a cell is empty or refused; None where there is no such column."""
        if column not in self.table.column_names:
            return None
        values, wrong, said = numbers(self.table.column(column), column, self.lines)
        out = (values < low) | (values > high)
        said += [f"line {self.lines[row]}, column {column}: {values[row]:g} is not within {low:g} to {high:g}: "
                 "row left out" for row in np.flatnonzero(out)]  # fmt: skip
        self.refused += said
        self.wrong |= wrong | out
        values[out] = np.nan
        return values

    def times(self, column: str = "ts") -> Ints:
        """(N,) a column as epoch seconds, `NO_TIME` where a cell was refused."""
        found, said, _ = seconds(self.table.column(column), column, self.lines)
        self.refused += said
        self.wrong |= found == NO_TIME
        return found


def _compact(code: Codes, limit: int) -> tuple[Ints, Codes]:
    """The codes below `limit` that occur, ascending, and (N,) the place of each row's among them."""
    there = np.bincount(code, minlength=limit) > 0
    return np.flatnonzero(there).astype(np.int64), (np.cumsum(there) - 1).astype(np.int32)[code]
