"""The rows of an energy report as files: written once, later data beside them as a revision."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blocks.errors import InvalidInput
from blocks.files import write_atomically
from tasks.energy.decide.accounting import POWER_SOURCE, Accounts
from tasks.energy.offline import EnergyReport
from tasks.energy.report import MG, MWH, SUMMED, UL, document

MOST_REVISIONS = 1000


def rows_frame(report: EnergyReport) -> pd.DataFrame:
    """A row a cluster, pool, namespace and hour: kWh, g CO2e, how each is known, and what its factors are.

    `market_g` is empty where no contract's factor is known, `water_l` where no WUE is.
    """
    accounts = report.accounts
    pools = accounts.pools
    hours = pd.to_datetime(accounts.start_s + accounts.hour * 3600, unit="s", utc=True).strftime("%Y-%m-%dT%H:%MZ")

    def of_pool(values: list[Any]) -> Any:
        return pd.Categorical.from_codes(accounts.pool, pd.Index(range(len(pools)))).map(dict(enumerate(values)))

    return pd.DataFrame({
        "cluster": of_pool([each.cluster for each in pools]), "pool": of_pool([each.name for each in pools]),
        "namespace": accounts.namespace, "hour_utc": hours, **_sums(accounts),
        "market_g": np.where(accounts.market_mg < 0, np.nan, accounts.market_mg / MG),
        "water_l": np.where(accounts.water_ul < 0, np.nan, accounts.water_ul / UL),
        "method": accounts.method, "coverage_ratio": accounts.coverage.round(4),
        "intensity_g_per_kwh": accounts.intensity.round(3),
        "intensity_source": of_pool([report.intensity[each.zone] for each in pools]),
        "pue": of_pool([each.pue for each in pools]), "pue_source": of_pool([each.pue_source for each in pools]),
        "power_source": _power_source(accounts),
    })  # fmt: skip


def _power_source(accounts: Accounts) -> Any:
    """Who says what each row drew: its meter, the model, or both."""
    kinds = {"measured": 1, "mixed": 2}
    kind = pd.Series(accounts.method).map(kinds).fillna(0).to_numpy(np.int64)
    names = []
    for pool in accounts.pools:
        model = pool.curve or pool.assumed or POWER_SOURCE
        names += [model, pool.meter or model, f"{pool.meter}; else {model}" if pool.meter else model]
    return pd.Categorical.from_codes(accounts.pool * 3 + kind, pd.Index(range(len(names)))).map(dict(enumerate(names)))


def _sums(accounts: Accounts) -> dict[str, Any]:
    """Columns that add up."""
    return {name: getattr(accounts, f"{name.rsplit('_', 1)[0]}_{'mwh' if name.endswith('kwh') else 'mg'}")
            / (MWH if name.endswith("kwh") else MG) for name in SUMMED}  # fmt: skip


def write_files(report: EnergyReport, folder: Path) -> list[Path]:
    """Write rows (CSV and JSON lines) and the document (JSON); the same report again changes nothing.

    Where other data of the period are there already (late samples, a corrected factor) the files become revision 2, 3,
    ... beside them: what an auditor was given once stays.

    Raises
    ------
    InvalidInput: the folder cannot be written.
    """
    frame = rows_frame(report)
    lines = io.StringIO()
    frame.to_json(lines, orient="records", lines=True, double_precision=10)
    contents = {
        ".csv": frame.to_csv(index=False, lineterminator="\n"), ".rows.jsonl": lines.getvalue(),
        ".json": json.dumps(document(report), indent=2, sort_keys=True) + "\n",
    }  # fmt: skip
    stem = f"energy-{report.name}-{_stamp(report.start_s)}-{_stamp(report.end_s)}"
    for revision in range(1, MOST_REVISIONS):
        name = stem if revision == 1 else f"{stem}-r{revision}"
        paths = {folder / f"{name}{suffix}": text for suffix, text in contents.items()}
        try:
            there = {path: path.read_text(encoding="utf-8") for path in paths if path.exists()}
            if any(there[path] != paths[path] for path in there):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for path, text in paths.items():
                if path not in there:
                    write_atomically(path, text)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot be written ({error})", where=str(folder), fix="name another --out") from error
        return list(paths)
    raise InvalidInput(f"{MOST_REVISIONS} revisions of it are there", where=str(folder), fix="name another --out")


def _stamp(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H}"
