"""Accuracy and speed of the forecasting engines, beside the libraries that people would otherwise use.

Run: `CONTINUUM_DATA=... python tests/benchmarks/bench_forecast.py [--json] [--quick]`; tables on stdout, progress on
stderr.

Accuracy: six panels of real traces, 2 h ahead in steps of 5 min and 24 h ahead in steps of 15 min; 40 origins over the
last quarter of each file; one model for all panels. Ratios are sums over all windows for which both are defined, over
the same of seasonal naive. Of PlanetLab's five days, whose machines live one day each, 100 machines a day are taken;
they are most of the windows, so every figure is also given without them.

Speed: a generated fleet of 10,000 series, 30 days; least CPU seconds of three, one thread.
"""

from __future__ import annotations

import one_thread  # noqa: F401  # isort: skip

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from environments import environment
from forecast_boosting import boosting
from forecast_panels import PLANETLAB, Matrix, day_ahead, matrices
from forecast_peers import compare
from forecast_scores import HORIZONS, LEVELS, by_panel, scored, verdicts
from forecast_speed import speed
from forecast_tables import show

from blocks.settings import data_dir
from tasks.forecasting.decide import ENGINES
from tasks.forecasting.decide.backtest import Backtest, backtest


def accuracy(found: list[Matrix], horizon: str, origins: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Scores of every engine: all panels, without PlanetLab, and each panel."""
    parts: dict[str, list[Backtest]] = {}
    seconds = {}
    for engine in ENGINES:
        say(f"accuracy {horizon}: {engine}")
        begun = time.process_time()
        histories = [matrix.history for matrix in found]
        parts[engine] = backtest(histories, HORIZONS[horizon], LEVELS, engine=engine, origins=origins)
        seconds[engine] = time.process_time() - begun
    groups = {"all panels": {matrix.panel for matrix in found}}
    if any(matrix.panel == PLANETLAB for matrix in found):
        groups[f"without {PLANETLAB}"] = groups["all panels"] - {PLANETLAB}
    groups |= {panel: {panel} for panel in by_panel(found, parts[ENGINES[0]])}
    table = {name: of_group(found, parts, panels) for name, panels in groups.items()}
    for engine, row in table["all panels"].items():
        forecasts = sum(part.mase.size for part in parts[engine])
        row |= {"cpu_s": seconds[engine], "series_per_cpu_s": forecasts / seconds[engine]}
    pooled = [name for name in groups if name not in {matrix.panel for matrix in found}]
    said = {name: {engine: verdicts(row, horizon) for engine, row in table[name].items()} for name in pooled}
    return {"panels": table, "verdicts": said}


def of_group(found: list[Matrix], parts: dict[str, list[Backtest]], panels: set[str]) -> dict[str, Any]:
    """Every engine over the matrices of some panels."""
    rows = [row for row, matrix in enumerate(found) if matrix.panel in panels]
    mine = {engine: [made[row] for row in rows] for engine, made in parts.items()}
    return {engine: scored([found[row] for row in rows], made, mine["seasonal-naive"])
            for engine, made in mine.items()}  # fmt: skip


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    cores = sum(line.startswith("processor") for line in lines)
    return {"cpu": name, "cores": cores, "python": platform.python_version(), "numpy": np.__version__}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout in place of the tables")
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: 2 h ahead only, fewer series, origins and peers"
    )
    parser.add_argument("--machines", type=int, help="of each PlanetLab day (100; quick: 10)")
    asked = parser.parse_args()
    begun = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {what}", file=sys.stderr, flush=True)

    origins, machines, series = (8, 10, 2_000) if asked.quick else (40, 100, 10_000)
    report: dict[str, Any] = {"machine": machine(), "quick": asked.quick, "origins": origins}
    report["speed"] = speed(series, say)
    if folder := data_dir():
        fine = matrices(folder, asked.machines or machines)
        found = {
            horizon: fine if steps == 24 else day_ahead(fine, steps)
            for horizon, steps in list(HORIZONS.items())[: 1 if asked.quick else None]
        }
        report["accuracy"] = {horizon: accuracy(panels, horizon, origins, say) for horizon, panels in found.items()}
        if python := environment("bench-forecast", say):
            report["peers"] = {horizon: compare(python, panels, horizon, HORIZONS[horizon], origins, asked.quick, say)
                               for horizon, panels in found.items()}  # fmt: skip
            if not asked.quick:
                report["boosting"] = boosting(python, fine, HORIZONS["2 h, 5 min"], origins, say)
    else:
        say("accuracy and peers: skipped, CONTINUUM_DATA is not set")
    report["wall_s"] = time.monotonic() - begun
    print(json.dumps(defined(report), indent=2)) if asked.json else show(report)


def defined(value: Any) -> Any:
    """The same for JSON, which knows no NaN: null."""
    if isinstance(value, dict):
        return {name: defined(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
