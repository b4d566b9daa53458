"""Accuracy and speed of the forecasting engines. Run: CONTINUUM_DATA=... python tests/benchmarks/bench_forecasting.py

Prints one JSON document. Each file is a panel: the linear engine is fitted on it once, at the first of 40 origins that
lie evenly over its last quarter, and scored 2 h ahead in steps of 5 min. Sums are over the series of all panels.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blocks.series import Series, utc
from blocks.settings import data_dir
from tasks.forecasting.decide import ENGINES, fit, forecast
from tasks.forecasting.decide.backtest import Backtest, backtest
from tasks.forecasting.files import read_history

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
HORIZON, STEP_S, DAY = 24, 300, 288
ORIGINS = 40
FILES = (
    "datacenter-5min/*.csv.gz", "bitbrains-small/cpu_mhz_5min.csv.gz", "nab/realAWSCloudwatch/*.csv.gz",
)  # fmt: skip


def panels(folder: Path) -> Iterator[tuple[str, Series]]:
    """Every file of the list with at least a week of history."""
    for pattern in FILES:
        for path in sorted(folder.glob(pattern)):
            history = read_history(path, STEP_S).history
            if history.values.shape[1] >= 8 * DAY:
                yield f"{path.parent.name}/{path.name.removesuffix('.csv.gz')}", history


def accuracy(folder: Path) -> dict[str, Any]:
    """Scores of every engine: pooled over all series, and by group of files."""
    found: dict[str, dict[str, list[Backtest]]] = {}
    seconds = dict.fromkeys(ENGINES, 0.0)
    for name, history in panels(folder):
        steps = history.values.shape[1]
        columns = np.linspace(steps * 3 // 4, steps - HORIZON - 1, ORIGINS).astype(int)
        origins = [utc(history.start_s + int(column) * STEP_S) for column in columns]
        for engine in ENGINES:
            begun = time.process_time()
            made = backtest(history, HORIZON, LEVELS, origins, engine=engine)
            seconds[engine] += time.process_time() - begun
            for group in ("all", name.split("/")[0]):
                found.setdefault(group, {}).setdefault(engine, []).append(made)
        print(name, file=sys.stderr)
    table = {group: {engine: summary(parts) for engine, parts in engines.items()} for group, engines in found.items()}
    for engines in table.values():
        naive = engines["seasonal-naive"]
        for row in engines.values():
            row["mase_to_seasonal_naive"] = round(row["mase"] / naive["mase"], 3)
            row["wql_to_seasonal_naive"] = round(row["wql"] / naive["wql"], 3)
    return {"2 h ahead, 5 min": table, "cpu_s": {name: round(value, 2) for name, value in seconds.items()}}


def summary(parts: list[Backtest]) -> dict[str, Any]:
    """Means over the series for which a score is defined."""
    mase, wql = (np.concatenate([getattr(part, name) for part in parts]) for name in ("mase", "wql"))
    bands = np.concatenate([part.coverage for part in parts])
    off = np.abs(bands - [0.95, 0.8])
    return {
        "series": len(mase),
        "mase": round(float(np.nanmean(mase)), 4),
        "mase_median": round(float(np.nanmedian(mase)), 4),
        "wql": round(float(np.nanmean(wql)), 4),
        "coverage_80": round(float(np.nanmean(bands[:, 1])), 4),
        "coverage_95": round(float(np.nanmean(bands[:, 0])), 4),
        "series_within_8_points": round(float(np.mean((off[np.isfinite(off).all(axis=1)] <= 0.08).all(axis=1))), 3),
    }


def speed() -> dict[str, Any]:
    """CPU seconds on generated series of 30 days; data from a fixed seed."""
    rng = np.random.default_rng(0)

    def fleet(count: int) -> Series:
        steps = np.arange(30 * DAY)
        values = np.empty((count, len(steps)), np.float32)
        for row in range(count):
            wave = 4 * np.sin(2 * np.pi * steps / DAY + rng.uniform(0, 6))
            values[row] = rng.lognormal() * (12 + wave + rng.normal(0, 1, len(steps)))
        return Series(tuple(f"pool-{row}" for row in range(count)), 0, STEP_S, values)

    def cpu_s(work: Any) -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    small, large = fleet(20), fleet(10_000)
    as_of = utc(large.end_s - STEP_S)
    model = fit(large, HORIZON, LEVELS, as_of)
    whole = min(cpu_s(lambda: forecast(small, HORIZON, LEVELS, as_of)) for _ in range(3))
    table: dict[str, Any] = {"fit_and_predict_20_series_cpu_s": round(whole, 2)}
    for engine in ENGINES:
        taken = min(cpu_s(lambda name=engine: forecast(large, HORIZON, LEVELS, as_of, engine=name,
                                                       model=model if name == "linear" else None))
                    for _ in range(3))  # fmt: skip
        table[engine] = {"series": 10_000, "predict_cpu_s": round(taken, 3), "series_per_cpu_s": round(10_000 / taken)}
    table["fit_10000_series_cpu_s"] = round(cpu_s(lambda: fit(large, HORIZON, LEVELS, as_of)), 2)
    table["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return table


def main() -> None:
    """Print the document."""
    folder = data_dir()
    report: dict[str, Any] = {"speed": speed()}
    report["accuracy"] = accuracy(folder) if folder else "skipped: CONTINUUM_DATA is not set"
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
