"""Regions by hour from a file: `hour_utc, zone, gco2_per_kwh, renewable_pct[, pue]`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from blocks.errors import InvalidInput
from tasks.carbon.decide.grid import HOUR_S, Floats
from tasks.forecasting.columns import Columns

NEEDED = ("hour_utc", "zone", "gco2_per_kwh", "renewable_pct")


@dataclass(frozen=True)
class RegionsFile:
    """(R, T) of the hours that are known of all regions, in their order; PUE (R,); what was left out."""

    zones: tuple[str, ...]
    hours_s: tuple[int, ...]
    g_per_kwh: Floats
    renewable_ratio: Floats
    pue: Floats
    refused: list[str]


def read_regions(path: Path) -> RegionsFile:
    """The longest stretch of hours without a gap that all regions have. A missing value is never zero.

    Raises
    ------
    InvalidInput: a column is missing, fewer than two regions share an hour, or a region has two PUEs.
    """
    table = Columns.read(path, NEEDED)
    time = table.times("hour_utc")
    grams, renewable = table.number("gco2_per_kwh", 0, 1e5), table.number("renewable_pct", 0, 100)
    pue = table.number("pue", 1, 10)
    assert grams is not None
    assert renewable is not None
    code, names = table.names("zone")
    good = ~table.wrong & np.isfinite(grams) & np.isfinite(renewable)
    hours, place = np.unique(time[good] // HOUR_S, return_inverse=True)
    if len(hours) == 0 or len(names) < 2:
        why = f" ({table.refused[0]})" if table.refused else ""
        raise InvalidInput(f"fewer than two regions{why}", where=str(path), fix=f"give {', '.join(NEEDED)}")
    found = np.full((2, len(names), len(hours)), np.nan)
    found[0, code[good], place], found[1, code[good], place] = grams[good], renewable[good] / 100
    first, last = _longest(hours, np.isfinite(found[0]).all(axis=0))
    if first == last:
        raise InvalidInput("no hour is known of all regions", where=str(path), fix="give the same hours of each")
    if left := len(hours) - (last - first):
        table.refused.append(f"{left} hours are left out: not known of all regions, or beside the longest stretch")
    seconds = tuple(int(hour) * HOUR_S for hour in hours[first:last])
    return RegionsFile(tuple(name for (name,) in names), seconds, found[0, :, first:last], found[1, :, first:last],
                       _pue(path, names, code, pue), table.refused)  # fmt: skip


def hour_of(second: int) -> str:
    """As files write it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%MZ}"


def _longest(hours: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """[first, last) of the longest run of known hours that follow each other."""
    begins = np.flatnonzero(known & ~np.append(False, known[:-1] & (np.diff(hours) == 1)))
    if not len(begins):
        return 0, 0
    broken = ~known | np.append(False, np.diff(hours) != 1)
    ends = [next((at for at in range(begin + 1, len(hours)) if broken[at]), len(hours)) for begin in begins.tolist()]
    longest = int(np.argmax(np.array(ends) - begins))
    return int(begins[longest]), ends[longest]


def _pue(path: Path, names: list[tuple[str, ...]], code: np.ndarray, pue: Floats | None) -> Floats:
    """(R,) one a region; 1 where none is given."""
    found = np.ones(len(names))
    for number, (name,) in enumerate(names):
        mine = np.unique(pue[code == number]) if pue is not None else np.zeros(0)
        mine = mine[np.isfinite(mine)]
        if len(mine) > 1:
            raise InvalidInput(f"{name} has {len(mine)} PUEs", where=str(path), fix="give one a region")
        if len(mine):
            found[number] = mine[0]
    return found
