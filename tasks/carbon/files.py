"""Jobs and capacity from CSV files; every mistake is one line that says where it is and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blocks.carbon.hourly_files import read_csv
from blocks.errors import InvalidInput
from tasks.carbon.decide.grid import HOUR_S, Bools, Floats, Ints, Jobs

COLUMNS = ("job", "arrival", "duration_h", "slack_h", "kw", "interruptible")
NEEDED = ("job", "arrival", "duration_h", "kw")
YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
UNITS_S = {"min": 60, "m": 60, "h": HOUR_S, "d": 24 * HOUR_S, "w": 7 * 24 * HOUR_S}
LONGEST_H = 10 * 366 * 24
MOST_COUNTED_H = 10_000_000  # more than a thousand years
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(min|m|h|d|w)?")


@dataclass(frozen=True)
class JobsFile:
    """Jobs as the file has them; `counted` where arrivals are hours from the start of the intensity, no times."""

    names: tuple[str, ...]
    jobs: Jobs
    counted: bool


def seconds_of(text: str, where: str) -> int:
    """A span of time: `24h`, `90min`, `2d`; a bare number is hours.

    Raises
    ------
    InvalidInput: it is none, or longer than ten years.

    >>> seconds_of("24h", "--slack"), seconds_of("1.5", "--slack"), seconds_of("90min", "--slack")
    (86400, 5400, 5400)
    """
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise InvalidInput(f"`{text}` is no span of time", where=where, fix="write 24h, 90min or 2d")
    seconds = float(found[1]) * UNITS_S[found[2] or "h"]
    if seconds > LONGEST_H * HOUR_S:
        raise InvalidInput(f"`{text:.40}` is too long", where=where, fix="give ten years at most")
    return round(seconds)


def read_jobs(path: Path, slack_s: int, interruptible: bool) -> JobsFile:
    """A CSV of jobs: `job, arrival, duration_h, slack_h, kw[, interruptible]`.

    Parameters
    ----------
    path :
        the file; an arrival is a time (UTC where it bears no offset) or a number, hours from the intensity's start.
    slack_s, interruptible :
        of jobs whose file has no such column, or no such cell.

    Raises
    ------
    InvalidInput: the first mistake, with its line, and how many more there are.
    """
    frame = read_csv(path, text=True)
    absent = [name for name in NEEDED if name not in frame.columns]
    if absent:
        raise InvalidInput(f"it has no column `{absent[0]}`", where=str(path), fix=f"give {', '.join(COLUMNS)}")
    if not len(frame):
        raise InvalidInput("it has no jobs", where=str(path), fix="give a line for each job")
    line = frame.index.to_numpy() + 2
    cells = _Cells(frame, line, str(path))
    arrival, counted = cells.times("arrival")
    duration = cells.numbers("duration_h", lambda hours: hours * HOUR_S >= 1, "above 0", most=LONGEST_H)
    kw = cells.numbers("kw", lambda kw: kw >= 0, "0 or more")
    slack = cells.numbers("slack_h", lambda hours: hours >= 0, "0 or more", slack_s / HOUR_S, most=LONGEST_H)
    jobs = Jobs(arrival, _seconds(duration), _seconds(slack), kw, cells.yes_no("interruptible", interruptible))
    return JobsFile(tuple(frame["job"]), jobs, counted)


def read_capacity(path: Path) -> tuple[int, int, Floats]:
    """A CSV `hour_utc, kw`: the power free for flexible jobs in each step; start, step in seconds, (T,) kW.

    Raises
    ------
    InvalidInput: a line does not fit.
    """
    frame = read_csv(path, text=True)
    if list(frame.columns) != ["hour_utc", "kw"] or len(frame) < 2:
        raise InvalidInput(f"its columns are {', '.join(frame.columns)}", where=str(path),
                           fix="give hour_utc, kw and two lines at least")  # fmt: skip
    cells = _Cells(frame, frame.index.to_numpy() + 2, str(path))
    times, _ = cells.times("hour_utc")
    gaps = np.flatnonzero(np.diff(times) != times[1] - times[0])
    if times[1] <= times[0] or len(gaps):
        raise InvalidInput("a step is missing, twice or out of order", where=str(path), fix="give every step once")
    return int(times[0]), int(times[1] - times[0]), cells.numbers("kw", lambda kw: kw >= 0, "0 or more")


def _seconds(hours: Floats) -> Ints:
    return np.asarray(np.rint(hours * HOUR_S).astype(np.int64))


@dataclass(frozen=True)
class _Cells:
    """Text cells turned into numbers, times and answers, or refused by line."""

    frame: pd.DataFrame
    line: Ints
    path: str

    def numbers(
        self, name: str, fits: Callable[[Any], Any], wanted: str, default: float | None = None, *, most: float = inf
    ) -> Floats:
        if name not in self.frame.columns and default is not None:
            return np.full(len(self.frame), default)
        text = self.frame[name].str.strip()
        values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
        if default is not None:
            values = np.where(text == "", default, values)
        self._refuse(name, ~(np.isfinite(values) & fits(np.nan_to_num(values, nan=-1.0))), f"give a number {wanted}")
        self._refuse(name, values > most, f"give {most:g} (ten years) at most")
        return values

    def times(self, name: str) -> tuple[Ints, bool]:
        text = self.frame[name].str.strip()
        hours = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
        if np.isfinite(hours).all():
            self._refuse(name, np.abs(hours) > MOST_COUNTED_H, f"count {MOST_COUNTED_H} hours at most")
            return _seconds(hours), True
        times = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
        self._refuse(name, times.isna().to_numpy() | np.isfinite(hours), "write 2022-01-31T13:00Z")
        return np.asarray(times.dt.as_unit("s").astype(np.int64).to_numpy()), False

    def yes_no(self, name: str, default: bool) -> Bools:
        if name not in self.frame.columns:
            return np.full(len(self.frame), default)
        text = self.frame[name].str.strip().str.lower()
        known = text.map({**YES_NO, "": default})
        self._refuse(name, known.isna().to_numpy(), "write true or false")
        return np.asarray(known.to_numpy(np.bool_))

    def _refuse(self, name: str, odd: Bools, fix: str) -> None:
        rows = np.flatnonzero(odd)
        if len(rows):
            more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            raise InvalidInput(f"{name} is `{self.frame[name].iloc[rows[0]]:.40}`{more}",
                               where=f"{self.path}:{self.line[rows[0]]}", fix=fix)  # fmt: skip
