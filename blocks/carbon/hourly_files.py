"""Hourly carbon intensity from CSV files: `hour_utc, gco2_per_kwh`, or one column a zone; plain or .gz."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from blocks.carbon.series import CarbonSeries, Floats, Signal
from blocks.errors import InvalidInput, NotFound

HOUR_S = 3600
YEAR_S = 364 * 24 * HOUR_S  # 52 weeks: another year's weather, the same weekday and hour
SINGLE = "gco2_per_kwh"
LAYOUT = "give columns hour_utc, gco2_per_kwh, or hour_utc and one a zone"
_INDEX = re.compile(r"hour_index_(\d{4})_utc")


@dataclass(frozen=True)
class HourlyTable:
    """A file as read: (T, Z) g CO2e/kWh, not yet checked zone by zone; `origin_s` is where counted hours begin."""

    path: str
    start_s: int
    step_s: int
    zones: tuple[str, ...]
    values: Floats
    origin_s: int

    def series(self, zone: str = "") -> CarbonSeries:
        """One zone; "" where the file has one only.

        Raises
        ------
        NotFound: no such zone, or several and none named. InvalidInput: a value is missing, negative or no number.
        """
        if not zone and len(self.zones) > 1:
            raise NotFound(f"has {len(self.zones)} zones and none is chosen", where=self.path,
                           fix=f"add --zone, one of {', '.join(self.zones[:5])}, ...")  # fmt: skip
        name = zone or self.zones[0]
        if name not in self.zones:
            if self.zones == (SINGLE,):
                name = SINGLE
            else:
                near = difflib.get_close_matches(name, self.zones, n=5, cutoff=0.3) or list(self.zones[:5])
                raise NotFound(f"has no zone {name!r}", where=self.path, fix=f"the nearest it has: {', '.join(near)}")
        values = self.values[:, self.zones.index(name)]
        odd = np.flatnonzero(~(values >= 0) | np.isinf(values))
        if len(odd):
            more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
            told = "no number" if np.isnan(values[odd[0]]) else f"{values[odd[0]]:g}"
            raise InvalidInput(f"{name} is {told}{more}", where=f"{self.path}:{odd[0] + 2}",
                               fix="give 0 or more g CO2e/kWh; a missing value is not zero")  # fmt: skip
        return CarbonSeries(zone if name == SINGLE else name, self.start_s, self.step_s, values, "average", "actual",
                            self.path)  # fmt: skip


@dataclass(frozen=True)
class HourlyFiles:
    """A file, or a folder of files of several years, as a source: the time itself, else the nearest other year."""

    path: Path
    signal: Signal = "average"

    def series(self, zone: str, start_s: int, end_s: int) -> CarbonSeries:
        """The hours that touch [start, end), or those of whole 52 weeks before or after: same weekday, same hour.

        Raises
        ------
        NotFound: no such zone, or no year of the files covers the window. InvalidInput: a file has a mistake.
        """
        whole = self._pieces(zone)
        for shift in sorted(range(-30, 31), key=lambda years: (abs(years), years)):
            begin, end = start_s + shift * YEAR_S, end_s + shift * YEAR_S
            for piece in whole:
                if piece.start_s <= begin and end <= piece.end_s:
                    return _moved(piece.between(begin, end), shift)
        raise NotFound(f"no year of it covers the {(end_s - start_s) / 86400:.0f} days asked for", where=str(self.path),
                       fix="give more years, or ask for less")  # fmt: skip

    def whole(self, zone: str) -> CarbonSeries:
        """The newest stretch without a gap.

        Raises
        ------
        NotFound: no such zone.
        """
        return self._pieces(zone)[-1]

    def _pieces(self, zone: str) -> list[CarbonSeries]:
        """Stretches without a gap, the oldest first."""
        known = [each for each in _tables(self.path) if zone in each.zones]
        if not known:
            zones = sorted({zone for each in _tables(self.path) for zone in each.zones})
            near = difflib.get_close_matches(zone, zones, n=5, cutoff=0.3) or zones[:5]
            raise NotFound(f"has no zone {zone!r}", where=str(self.path), fix=f"the nearest: {', '.join(near)}")
        return [replace(each, source=str(self.path)) for each in _joined([table.series(zone) for table in known])]


def read_hourly(path: Path) -> HourlyTable:
    """A CSV file.

    Times are UTC where they bear no offset, or whole numbers that count hours (`hour_index_2022_utc`: of that year).
    The step is that of the first two rows; every row must follow it.

    Raises
    ------
    InvalidInput: it cannot be read, or a line does not fit; which, and why.
    """
    frame = read_csv(path)
    head = str(frame.columns[0])
    index = _INDEX.fullmatch(head)
    if head != "hour_utc" and not index:
        raise InvalidInput(f"its first column is `{head}`", where=str(path), fix=LAYOUT)
    if len(frame.columns) < 2 or not len(frame):
        raise InvalidInput("it has no values", where=str(path), fix=LAYOUT)
    times = _times(frame[head], int(index[1]) if index else None, str(path))
    step = int(times[1] - times[0]) if len(times) > 1 else HOUR_S
    gaps = np.flatnonzero(np.diff(times) != step)
    if step <= 0 or len(gaps):
        line = (int(gaps[0]) if step > 0 else 0) + 3
        raise InvalidInput(f"`{frame[head].iloc[line - 2]}` does not follow the line above by {step // 60} min",
                           where=f"{path}:{line}", fix="give every step once, in order, in UTC")  # fmt: skip
    values = np.column_stack([pd.to_numeric(frame[name], errors="coerce") for name in frame.columns[1:]])
    # hours that are only counted (no year) begin at 0 whatever the first row says
    origin = 0 if not index and pd.api.types.is_numeric_dtype(frame[head]) else int(times[0])
    zones = tuple(map(str, frame.columns[1:]))
    return HourlyTable(str(path), int(times[0]), step, zones, values.astype(np.float64), origin)


def read_csv(path: Path, *, text: bool = False) -> pd.DataFrame:
    """A CSV file, plain or .gz, with its names trimmed; every cell as text where asked.

    Raises
    ------
    InvalidInput: it cannot be read.
    """
    try:
        frame = pd.read_csv(path, dtype=str if text else None, keep_default_na=not text, encoding="utf-8-sig",
                            skipinitialspace=True, skip_blank_lines=False)  # fmt: skip
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or "it is no whole .gz file"
        raise InvalidInput(f"cannot be read: {why}", where=str(path), fix="check its name") from None
    except (ValueError, pd.errors.ParserError) as error:
        why = " ".join(str(error).split())[:120]
        raise InvalidInput(f"no CSV: {why}", where=str(path), fix="separate by commas, one header line") from None
    frame.columns = [str(name).strip() for name in frame.columns]
    blank = (frame == "").all(axis=1) if text else frame.isna().all(axis=1)
    return frame[~blank]


def _times(column: pd.Series, year: int | None, path: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Epoch seconds of each row."""
    if pd.api.types.is_numeric_dtype(column):
        counted = pd.to_numeric(column).to_numpy(np.float64)
        if not np.isfinite(counted).all() or (counted % 1 != 0).any():
            raise InvalidInput("an hour is no whole number", where=path, fix="count hours, or give times")
        origin = int(pd.Timestamp(year=year, month=1, day=1, tz="UTC").timestamp()) if year else 0
        return np.asarray(counted.astype(np.int64) * HOUR_S + origin)
    times = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    odd = np.flatnonzero(times.isna())
    if len(odd):
        raise InvalidInput(f"`{column.iloc[odd[0]]}` is no time", where=f"{path}:{odd[0] + 2}",
                           fix="write 2022-01-31T13:00Z")  # fmt: skip
    return np.asarray(times.dt.as_unit("s").astype(np.int64).to_numpy())


@cache
def _tables(path: Path) -> tuple[HourlyTable, ...]:
    """The tables of a file or of every CSV in a folder that is laid out as one, by their start."""
    if not path.is_dir():
        return (read_hourly(path),)
    files = sorted(file for file in path.iterdir() if file.name.endswith((".csv", ".csv.gz")))
    tables = [read_hourly(file) for file in files if _is_hourly(file)]
    if not tables:
        raise InvalidInput("holds no file of hourly intensity", where=str(path), fix=LAYOUT)
    return tuple(sorted(tables, key=lambda each: each.start_s))


def _is_hourly(file: Path) -> bool:
    try:
        head = pd.read_csv(file, nrows=0, encoding="utf-8-sig").columns
    except (OSError, ValueError, EOFError):
        return False
    return bool(len(head) > 1 and (head[0] == "hour_utc" or _INDEX.fullmatch(str(head[0]))) and "zone" not in head)


def _joined(pieces: list[CarbonSeries]) -> list[CarbonSeries]:
    """Pieces that follow each other as one."""
    whole: list[CarbonSeries] = []
    for piece in pieces:
        if whole and whole[-1].end_s == piece.start_s and whole[-1].step_s == piece.step_s:
            last = whole.pop()
            piece = replace(last, g_per_kwh=np.concatenate([last.g_per_kwh, piece.g_per_kwh]))
        whole.append(piece)
    return whole


def _moved(series: CarbonSeries, shift: int) -> CarbonSeries:
    if not shift:
        return series
    weeks = abs(shift) * 52
    return replace(series, start_s=series.start_s - shift * YEAR_S, method="history of another year",
                   source=f"{series.source}, {weeks} weeks {'earlier' if shift < 0 else 'later'}")  # fmt: skip
