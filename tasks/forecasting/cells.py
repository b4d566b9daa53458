"""Cells of a table from outside, read as times and numbers; whatever cannot be read is named by line and column."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.forecasting.decide.history import LARGEST

Text = NDArray[np.object_]
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})  # spellings of an empty cell, in any case
NO_TIME = np.iinfo(np.int64).min
ZONED = re.compile(
    r"\d[T ]?\d.*:.*(?:[zZ]|[+-]\d{2}:?(?:\d{2})?)$|[zZ]$"
)  # ends in Z or in an offset after a time of day
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
MILLISECONDS_FROM = 1e11  # a whole number above this is milliseconds since 1970 (as seconds it is the year 5138)


def text(column: pa.ChunkedArray) -> Text:
    """(N,) stripped text of a column; empty where there is nothing."""
    found = column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False)
    return np.array([cell.strip() for cell in found], dtype=object)


def numbers(
    column: pa.ChunkedArray, name: str, lines: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """(N,) numbers, NaN where a cell is empty or refused; (N,) whether it is refused; one line for each refused cell.

    Refused: text, infinity, and what lies beyond 1e17.
    """
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        values = values if values.flags.writeable else values.copy()
        wrong = (values > LARGEST) | (values < -LARGEST)
        shown = values.copy() if wrong.any() else values
    else:
        shown = text(column)
        values = np.array(pd.to_numeric(pd.Series(shown), errors="coerce"), dtype=np.float64)
        empty = np.array([cell.lower() in MISSING for cell in shown], dtype=bool)
        wrong = (np.isnan(values) & ~empty) | (np.abs(values) > LARGEST)
    refused = [f"line {lines[i]}, column {name}: {cell!r} {_why_no_number(values[i], cell)}: row left out"
               for i, cell in ((i, str(shown[i])) for i in np.flatnonzero(wrong))]  # fmt: skip
    values[wrong] = np.nan
    return values, wrong, refused


def _why_no_number(value: float, shown: str) -> str:
    if not np.isnan(value):
        return "is beyond 1e17"
    return "has a comma, decimals take a point" if DECIMAL_COMMA.fullmatch(shown) else "is no number"


def seconds(
    column: pa.ChunkedArray, name: str, lines: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """(N,) seconds since 1970 UTC, `NO_TIME` where refused; refusals; and notes on the rules applied.

    A time without zone is UTC. A number is seconds since 1970, above 1e11 milliseconds.
    """
    notes: list[str] = []
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        if pa.types.is_date(column.type) or column.type.tz is None:
            notes.append(f"column {name} has no time zone: taken as UTC")
        moments = column.cast(
            pa.timestamp("s", tz=None if pa.types.is_date(column.type) else column.type.tz), safe=False
        )
        found = moments.cast(pa.int64()).fill_null(NO_TIME).to_numpy(zero_copy_only=False)
        shown = np.where(found == NO_TIME, "", "a time").astype(object)
        return _checked_times(found, shown, name, lines, notes)
    if pa.types.is_integer(column.type) and not column.null_count:
        whole = column.cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False)
        in_ms = (whole > MILLISECONDS_FROM) | (whole < -MILLISECONDS_FROM)
        found = np.where(in_ms, whole // 1000, whole) if in_ms.any() else whole
        usable = (found < MILLISECONDS_FROM) & (found > -MILLISECONDS_FROM)
        return _checked_times(found if usable.all() else np.where(usable, found, NO_TIME), whole, name, lines, notes)
    shown = text(column)
    raw = np.asarray(pd.to_numeric(pd.Series(shown), errors="coerce"), dtype=np.float64)
    if len(raw) and np.isfinite(raw).mean() > 0.5:
        raw = np.where(np.abs(raw) > MILLISECONDS_FROM, raw / 1000, raw)
        usable = np.isfinite(raw) & (np.abs(raw) < MILLISECONDS_FROM)
        return _checked_times(np.where(usable, np.round(np.where(usable, raw, 0)), NO_TIME).astype(np.int64), shown,
                              name, lines, notes)  # fmt: skip
    parsed = pd.to_datetime(pd.Series(shown), utc=True, format="ISO8601", errors="coerce")
    moments_s = parsed.dt.tz_localize(None).to_numpy("datetime64[s]")
    found = np.where(np.isnat(moments_s), NO_TIME, moments_s.astype(np.int64))
    bare = np.array([not ZONED.search(cell) for cell in shown], dtype=bool)
    bare = np.flatnonzero(bare & (found != NO_TIME))
    if len(bare):
        notes.append(f"column {name}: {len(bare)} time(s) without zone, first in line {lines[bare[0]]}: taken as UTC")
    return _checked_times(found, shown, name, lines, notes)


def _checked_times(
    found: NDArray[np.int64], shown: Text | NDArray[np.int64], name: str, lines: NDArray[np.int64], notes: list[str]
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    refused = [f"line {lines[i]}, column {name}: {str(shown[i])!r} is no ISO 8601 time: row left out"
               for i in np.flatnonzero(found == NO_TIME)]  # fmt: skip
    return found.astype(np.int64, copy=False), refused, notes
