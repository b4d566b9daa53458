"""Factors that a person brings, by year: PUE, WUE, network and storage of clusters, and what a zone's contracts say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blocks.errors import InvalidInput, NotFound
from tasks.forecasting.cells import numbers, text
from tasks.forecasting.tables import load_table

COLUMNS = ("factor", "key", "year", "value", "source")
LEAST = {"pue": 1.0, "market_g_per_kwh": 0.0, "wue_l_per_kwh": 0.0,
         "network_kwh_per_gb": 0.0, "ssd_wh_per_tbh": 0.0, "hdd_wh_per_tbh": 0.0}  # fmt: skip


@dataclass(frozen=True)
class Factors:
    """By factor, key and year: the value, and where it is from."""

    values: Mapping[tuple[str, str, int], tuple[float, str]] = field(default_factory=dict)
    where: str = ""

    def of(self, factor: str, key: str, year: int) -> tuple[float, str] | None:
        """The value of a year and its source; None where nothing is said of the key.

        Raises
        ------
        NotFound: other years are there, this one is not.
        """
        if found := self.values.get((factor, key, year)):
            return found
        years = sorted(each for name, of, each in self.values if (name, of) == (factor, key))
        if years:
            raise NotFound(f"no {factor} of {key} for {year}", where=self.where,
                           fix=f"add it; it has {', '.join(map(str, years))}")  # fmt: skip
        return None


def read_factors(path: Path) -> Factors:
    """A CSV or Parquet file `factor, key, year, value, source`.

    `pue` by cluster, 1 or more; `market_g_per_kwh` by grid zone, g CO2e/kWh, 0 or more; by cluster, 0 or more:
    `wue_l_per_kwh` (litres of water a kWh of IT), `network_kwh_per_gb`, `ssd_wh_per_tbh`, `hdd_wh_per_tbh`.

    Raises
    ------
    InvalidInput: the first mistake, by its line; a factor that is wrong is never left out silently.
    """
    refused: list[str] = []
    table, lines = load_table(path, refused)
    absent = [name for name in COLUMNS if name not in table.column_names]
    if absent:
        raise InvalidInput(f"it has no column {absent[0]!r}", where=str(path), fix=f"give {', '.join(COLUMNS)}")
    year, _, said = numbers(table.column("year"), "year", lines)
    value, _, also = numbers(table.column("value"), "value", lines)
    if refused or said or also:
        raise InvalidInput((refused + said + also)[0], where=str(path), fix="correct it")
    names, keys, sources = (text(table.column(name)) for name in ("factor", "key", "source"))
    found: dict[tuple[str, str, int], tuple[float, str]] = {}
    for row, line in enumerate(lines.tolist()):
        where = f"{path}: line {line}"
        if names[row] not in LEAST:
            raise InvalidInput(f"{names[row]!r} is no factor", where=where, fix=f"give {' or '.join(LEAST)}")
        if not value[row] >= LEAST[names[row]]:
            raise InvalidInput(f"{names[row]} of {keys[row]} is {value[row]:g}", where=where,
                               fix=f"give {LEAST[names[row]]:g} or more")  # fmt: skip
        if not (np.isfinite(year[row]) and year[row] == int(year[row])):
            raise InvalidInput(f"year {year[row]:g}", where=where, fix="give a year")
        at = names[row], keys[row], int(year[row])
        if at in found:
            raise InvalidInput(f"{names[row]} of {keys[row]} for {at[2]} twice", where=where, fix="remove one")
        found[at] = float(value[row]), sources[row] or "no source given"
    return Factors(found, str(path))
