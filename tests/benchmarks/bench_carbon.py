"""Carbon: the EuroSys 2024 table beside ours, speed of the exact planner, forecasts by regret; or JSON with --json.

Run: `python tests/benchmarks/bench_carbon.py [--quick] [--json]`, with CONTINUUM_DATA naming the data; without it only
the speed is measured, on made-up intensity. CPU seconds of one core, of the decision from checked arrays.

- savings: 123 zones of 2022, a job of 6 h with 24 h slack at every hour of the second half whose window lies inside the
  year. Models and the choice between them come from the first half alone (the choice: from its last quarter). A share
  is the mean over zones of what is saved, over the mean over zones of what perfect knowledge saves; zones that never
  change count as saving nothing in both. "pooled" is the sum over zones of g saved over g possible.
- error: 81 zones, models of 2021-22, every hour of 2023 as origin, 24 h ahead; mean over zones of the mean of
  |forecast / actual - 1|, actual values below 1 g counted as 1.
"""

import one_thread  # noqa: F401, I001

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from blocks.carbon import HourlyFiles, read_hourly
from tasks.carbon.decide.forecast import JOB_H, METHODS, SLACK_H, choose, chosen_costs, fit, forecasts
from tasks.carbon.decide.grid import Intensity, Jobs
from tasks.carbon.decide.plan import decide_plan
from tasks.carbon.offline import EUROSYS, EUROSYS_MOVES, EUROSYS_PAPER, HISTORY, reproduce_eurosys24

JOBS, YEAR_H = 100_000, 8760
MIXES = {
    "1-24 h, slack 1-48 h": (range(1, 25), range(1, 49)),
    "paper's lengths, slack 24 h": (tuple(EUROSYS_PAPER), (24,)),
    "1-168 h, slack 0-168 h": (range(1, 169), range(169)),
}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result and its CPU seconds."""
    before = time.process_time()
    return work(), time.process_time() - before


def speed(seed: int) -> dict[str, dict[str, float]]:
    """CPU seconds of 100,000 jobs over a year, by mix: on the hour, and at any second."""
    rng = np.random.default_rng(seed)
    grid = Intensity(0, 3600, rng.uniform(0, 500, YEAR_H))
    found = {}
    for name, (lengths, slacks) in MIXES.items():
        length, slack = rng.choice(lengths, JOBS), rng.choice(slacks, JOBS)
        arrival = rng.integers(0, YEAR_H - length - slack) * 3600
        found[name] = {}
        for pausing in (False, True):
            for when, offset in (("on the hour", 0), ("any second", rng.integers(0, 3600, JOBS))):
                jobs = Jobs(arrival + offset, length * 3600, slack * 3600, np.ones(JOBS), np.full(JOBS, pausing))
                kind = "interruptible" if pausing else "contiguous"
                found[name][f"{kind}, {when}"] = timed(lambda jobs=jobs: decide_plan(grid, jobs))[1]
    return found


def savings(data: Path, every: int) -> dict[str, Any]:
    """What starts chosen by each method save of the mean intensity, beside perfect knowledge."""
    year = read_hourly(data.joinpath(*EUROSYS)).values.T[::every]
    first_h, half, span = 1_640_995_200 // 3600, YEAR_H // 2, JOB_H + SLACK_H
    origins = np.arange(half, YEAR_H - span + 1)
    names = (*METHODS, "chosen by regret", "perfect")
    saved, grams = np.zeros((2, len(year), len(names)))
    chosen: list[str] = []
    for zone, values in enumerate(year):
        shares = choose(values[:half], first_h, half * 3 // 4)
        best = max(METHODS, key=lambda name, shares=shares: -1.0 if np.isnan(shares[name]) else shares[name])
        chosen.append(best)
        made = forecasts(values, first_h, origins, span, fit(values[:half], first_h, span))
        actual = np.lib.stride_tricks.sliding_window_view(values, span)[origins]
        made |= {"chosen by regret": made[best], "perfect": actual}
        for column, name in enumerate(names):
            arrival, cost, _ = chosen_costs(made[name], actual)
            grams[zone, column] = (arrival - cost).sum()
            saved[zone, column] = grams[zone, column] / arrival.sum()
    mean, total = saved.mean(axis=0), grams.sum(axis=0)
    return {
        "zones": len(year), "perfect_saving_ratio": mean[-1],
        "captured": dict(zip(names, (mean / mean[-1]).tolist(), strict=True)),
        "captured_pooled": dict(zip(names, (total / total[-1]).tolist(), strict=True)),
        "chosen": {name: chosen.count(name) for name in METHODS},
    }  # fmt: skip


def errors(data: Path, every: int) -> dict[str, Any]:
    """Mean over zones of the 24 h error by method, and beside that of yesterday's hour."""
    source = HourlyFiles(data / HISTORY)
    zones = read_hourly(data / HISTORY / "lca_gco2_per_kwh_2023.csv.gz").zones[::every]
    found = []
    for zone in zones:
        series = source.whole(zone)
        values, first_h = series.g_per_kwh, series.start_s // 3600
        split = 2 * YEAR_H
        origins = np.arange(split, len(values) - 24 + 1)
        actual = np.maximum(np.lib.stride_tricks.sliding_window_view(values, 24)[origins], 1.0)
        made = forecasts(values, first_h, origins, 24, fit(values[:split], first_h, 24))
        found.append([float(np.abs(made[name] / actual - 1).mean()) for name in METHODS])
    mean = dict(zip(METHODS, np.mean(found, axis=0).tolist(), strict=True))
    yesterday = mean["same hour yesterday"]
    return {"zones": len(zones), "mape24": mean,
            "against_yesterday": {name: each / yesterday - 1 for name, each in mean.items()}}  # fmt: skip


def measure(seed: int, quick: bool) -> dict[str, Any]:
    """Everything that the data at hand allow."""
    found: dict[str, Any] = {"cpu_s_100k_jobs": speed(seed)}
    if not os.environ.get("CONTINUUM_DATA"):
        return found
    data, every = Path(os.environ["CONTINUUM_DATA"]), 10 if quick else 1
    table, cpu_s = timed(lambda: reproduce_eurosys24(lambda _: None))
    found["eurosys24"] = table.to_record() | {"cpu_s": cpu_s}
    found["savings"], found["savings_cpu_s"] = timed(lambda: savings(data, every))
    found["errors"], found["errors_cpu_s"] = timed(lambda: errors(data, every))
    return found


def _show(found: dict[str, Any]) -> None:
    console = Console(width=140)
    table = Table("jobs", *next(iter(found["cpu_s_100k_jobs"].values())),
                  title="100,000 jobs over a year, CPU s (must: contiguous 0.3, interruptible 1.2)")  # fmt: skip
    for name, row in found["cpu_s_100k_jobs"].items():
        table.add_row(name, *(f"{each:.3f}" for each in row.values()))
    console.print(table)
    if "eurosys24" not in found:
        console.print("CONTINUUM_DATA is not set: no paper's table, no forecasts")
        return
    paper = found["eurosys24"]
    table = Table("job h", "deferral: paper", "ours", "interruption adds: paper", "ours",
                  title=f"EuroSys 2024, % saved with 24 h slack ({paper['cpu_s']:.1f} CPU s)")  # fmt: skip
    for hours, (deferral, interruption) in EUROSYS_PAPER.items():
        table.add_row(str(hours), f"{deferral:.2f}", f"{paper['deferral'][str(hours)]:.3f}", f"{interruption:.2f}",
                      f"{abs(paper['interruption'][str(hours)]):.3f}")  # fmt: skip
    console.print(table)
    console.print(f"one move {paper['spatial']['one_move']:.3f} (paper {EUROSYS_MOVES[0]}), infinite moves "
                  f"{paper['spatial']['infinite_moves']:.3f} (paper {EUROSYS_MOVES[1]}) g/kWh")  # fmt: skip
    share, error = found["savings"], found["errors"]
    table = Table("method", "of perfect savings (must 70 %)", "pooled", "24 h error", "to yesterday (must -20 %)",
                  title=f"forecasts; perfect knowledge saves {share['perfect_saving_ratio']:.2%}")  # fmt: skip
    for name in (*METHODS, "chosen by regret"):
        told = (f"{error['mape24'][name]:.2%}", f"{error['against_yesterday'][name]:+.1%}") if name in METHODS else ()
        table.add_row(name, f"{share['captured'][name]:.1%}", f"{share['captured_pooled'][name]:.1%}", *told)
    console.print(table)
    console.print(f"chosen: {share['chosen']}; {share['zones']} and {error['zones']} zones; "
                  f"{found['savings_cpu_s']:.0f} and {found['errors_cpu_s']:.0f} CPU s")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every tenth zone")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.seed, asked.quick)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)


if __name__ == "__main__":
    main()
