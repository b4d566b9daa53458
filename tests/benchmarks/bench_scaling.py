"""Scaling policies replayed on real demand, and the speed of one decision pass; prints tables, or JSON with --json.

Run: `python tests/benchmarks/bench_scaling.py [--quick] [--pools P] [--json]`, with CONTINUUM_DATA naming the data.

Every replay is that of `continuum replay scaling` with its defaults: the 99th percentile of a series is 20 nodes, 2 to
40 of them, steps of a minute, demand above 90 % of the Ready nodes is a violation, booting nodes are paid. Settings are
chosen on the first half of the time and scored on the second. The frontiers hold every setting, scored on the second
half; "at equal node-hours" compares their lower borders at 1.15 to 2.0 times the oracle's node-hours. Target tracking
is tuned over 10 targets x 4 stabilisation windows, without tolerance, which is its stronger form.

Panels: `data centres` (4 sums of Bitbrains machines, requests of the 1998 World Cup, Google 2019, Azure V2; 21 days of
5-minute data), on which the settings were laid out; `AWS` (NAB's CloudWatch series, 14 days), which no choice has seen;
`real minutes` (the World Cup's requests by the minute, three stretches), since between 5-minute samples a straight
line is kinder than the world.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from blocks.series import Forecast, Series
from blocks.store import Journal, Store
from blocks.store.tables import Mode
from tasks.run import Run
from tasks.scaling.decide import POLICIES, Observed, Pools, decide_scaling
from tasks.scaling.decide.settings import frontier
from tasks.scaling.ground import plain_ground
from tasks.scaling.offline import Replayed, replay_policies
from tasks.scaling.record import record

Floats = NDArray[np.float64]
START = datetime(2026, 1, 5, tzinfo=UTC)
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
RATIOS = (1.15, 1.25, 1.35, 1.5, 1.75, 2.0)
NAMES = ("predictive", "target-tracking", "seed", "schedule")


def data_centres(data: Path) -> Series:
    """Seven demands, 21 days of 5-minute samples."""
    steps = 21 * 288
    machines = pd.read_csv(data / "bitbrains-small/cpu_mhz_5min.csv.gz").drop(columns="t_s").ffill().fillna(0)
    order = np.argsort(-machines.mean().to_numpy())
    rows = {f"bitbrains-{k}": machines.to_numpy()[-steps:, order[k::4]].sum(axis=1) for k in range(4)}
    rows["worldcup98"] = _requests(data).resample("5min").mean().ffill().to_numpy()[20 * 288 :][:steps]
    for name, column in (("google2019", "avg_cpu"), ("azure_v2", "cpu_usage")):
        whole = pd.read_csv(data / f"datacenter-5min/{name}_5min.csv.gz")[column].ffill().to_numpy()[-steps:]
        rows[name] = np.maximum(whole - np.percentile(whole, 1), 1e-9 * whole.max())  # the part that goes up and down
    return _panel(rows, 300)


def aws(data: Path) -> Series:
    """CPU and request series of single services, two weeks of 5-minute samples."""
    rows = {}
    for file in sorted((data / "nab/realAWSCloudwatch").glob("*.csv.gz")):
        values = pd.read_csv(file)["value"].to_numpy(np.float64)[:4032]
        if len(values) == 4032 and (values > 0).mean() > 0.5:
            rows[file.name.removesuffix(".csv.gz")] = values
    return _panel(rows, 300)


def real_minutes(data: Path) -> Series:
    """Three stretches of 21 days of requests by the minute."""
    minutes = _requests(data).resample("1min").mean().ffill().to_numpy()
    return _panel({f"from day {day}": minutes[day * 1440 :][: 21 * 1440] for day in (2, 22, 42)}, 60)


def _requests(data: Path) -> pd.Series:
    table = pd.read_csv(data / "worldcup98/requests_per_minute.csv.gz")
    return table.set_index(pd.to_datetime(table["minute_utc"]))["requests"]


def _panel(rows: dict[str, Floats], step_s: int) -> Series:
    return Series(tuple(rows), int(START.timestamp()), step_s, np.stack(list(rows.values())).astype(np.float32))


def lower_border(points: Sequence[tuple[float, float]], ratios: Sequence[float]) -> Floats:
    """Violations of a frontier at node-hour ratios, linear between its undominated settings; NaN left of them."""
    x, y = np.array(points).T
    best = frontier(x, y)
    return np.interp(ratios, x[best], y[best], left=np.nan)


def node_hours_for(points: Sequence[tuple[float, float]], violations: float) -> float:
    """Fewest node-hours (ratio) with at most so many violations; linear between undominated settings."""
    x, y = np.array(points).T
    best = frontier(x, y)
    return float(np.interp(-violations, -y[best], x[best], right=np.nan))


def compared(done: Replayed) -> dict[str, Any]:
    """The figures that the targets are about."""
    ours = done.policies["predictive"].frontier
    tuned = lower_border(done.policies["target-tracking"].frontier, RATIOS)
    seed = done.policies["seed"]
    cuts = 1 - lower_border(ours, RATIOS) / tuned
    at_seed = float(lower_border(ours, [seed.node_hours_ratio])[0])
    return {
        "violations_at_ratios": {
            name: lower_border(done.policies[name].frontier, RATIOS).tolist() for name in NAMES if name != "seed"
        },
        "cut_to_target_tracking": cuts.tolist(),
        "mean_cut_to_target_tracking": float(np.nanmean(cuts)),
        "cut_to_seed_at_its_node_hours": 1 - at_seed / seed.violation_minutes_per_day,
        "node_hours_to_seed_at_its_violations": node_hours_for(ours, seed.violation_minutes_per_day)
        / seed.node_hours_ratio
        - 1,
        "node_hours_to_target_tracking_at_seed_violations": node_hours_for(ours, seed.violation_minutes_per_day)
        / node_hours_for(done.policies["target-tracking"].frontier, seed.violation_minutes_per_day)
        - 1,
        "chosen": {
            name: {
                "violation_minutes_per_day": score.violation_minutes_per_day,
                "node_hours_ratio": score.node_hours_ratio,
                "changes_per_day": score.changes_per_day,
            }
            for name, score in done.policies.items()
        },
    }


def one_pass(count: int, repeats: int = 5) -> dict[str, float]:
    """CPU seconds of one decision pass over `count` pools: two measured resources, requests, 24 steps, 5 levels.

    Decided from arrays, and recorded with every reason written out, into SQLite.
    """
    rng = np.random.default_rng(0)
    desired, ones = rng.integers(1, 40, count), np.ones(count)
    names = tuple(f"cluster-{row // 4}/pool-{row % 4}" for row in range(count))
    used = desired * rng.uniform(0.05, 1.0, count)
    nothing = np.zeros(count, np.bool_)
    pools = Pools(names, np.full(count, 2), np.full(count, 40), ones, 4 * ones, 240 * ones, 0.2 * ones, nothing,
                  ("",) * count, nothing, node_pods=110 * ones)  # fmt: skip
    observed = Observed(desired, desired, nothing, used, used * 3, 60 * ones, np.inf * ones, np.inf * ones,
                        np.nan * ones, ~nothing,
                        requested=np.stack([used, used * 3, 0 * used, 20 * used], axis=1))  # fmt: skip
    base = np.concatenate([used, used * 3])[:, None, None]
    values = (base * np.linspace(1, 1.3, 24)[:, None] * np.linspace(0.8, 1.2, len(LEVELS))).astype(np.float32)
    series = tuple(f"{name}/{kind}" for kind in ("cpu_cores", "memory_bytes") for name in names)
    forecast = Forecast(series, START, int(START.timestamp()), 300, LEVELS, values,
                        np.maximum.accumulate(values, axis=1), ("linear",) * len(series))  # fmt: skip
    decide = partial(decide_scaling, pools, observed, forecast, POLICIES["predictive"], START)
    spent: dict[str, list[float]] = {"decide_cpu_s": [], "decide_and_record_cpu_s": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/store.db")
        for number in range(repeats):
            run = Run(str(number), "cluster-scaling", "default", None, store, Journal(store), Mode.ACT)  # type: ignore[arg-type]
            before = time.process_time()
            decided = decide()
            spent["decide_cpu_s"].append(time.process_time() - before)
            record(run, decided, POLICIES["predictive"], frozenset(names))
            spent["decide_and_record_cpu_s"].append(time.process_time() - before)
    return {"pools": count} | {name: round(float(np.median(each)), 4) for name, each in spent.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="boot time of 4 minutes only, data centres only")
    parser.add_argument("--pools", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not os.environ.get("CONTINUUM_DATA"):
        sys.exit("bench-scaling: CONTINUUM_DATA does not name the folder of real data; nothing to replay")
    data = Path(os.environ["CONTINUUM_DATA"])
    plays = [("data centres", data_centres, 4, 1)]
    if not asked.quick:
        plays += [("data centres", data_centres, 10, 1), ("data centres", data_centres, 4, 5), ("AWS", aws, 4, 1),
                  ("real minutes", real_minutes, 4, 1)]  # fmt: skip
    found: dict[str, Any] = {"one_pass": one_pass(asked.pools)}
    for panel, load, boot_min, every_min in plays:
        history, before = load(data), time.process_time()
        done = replay_policies(history, plain_ground(history), NAMES, boot_min=boot_min, every_min=every_min)
        name = f"{panel}, boot {boot_min} min, every {every_min} min"
        found[name] = {"series": done.series, "days": done.days, **compared(done),
                       "cpu_s": round(time.process_time() - before, 1)}  # fmt: skip
        print(f"{name}: {found[name]['cpu_s']} CPU-s", file=sys.stderr)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)


_WORDS = {
    "mean_cut_to_target_tracking": "violations at equal node-hours, against tuned target tracking, mean (must -25 %)",
    "cut_to_seed_at_its_node_hours": "violations at the seed's node-hours (must -60 %)",
    "node_hours_to_seed_at_its_violations": "node-hours at the seed's violations (must -20 %)",
    "node_hours_to_target_tracking_at_seed_violations": "the same against tuned target tracking",
}


def _show(found: dict[str, Any]) -> None:
    console = Console(width=150)
    for name, result in found.items():
        if name == "one_pass":
            continue
        table = Table(title=f"{name}: {result['series']} series, {result['days']:.1f} days scored")
        for head in ("violation minutes per day at node-hours / oracle =", *(f"{ratio:g}" for ratio in RATIOS)):
            table.add_column(head, justify="right")
        for policy, values in result["violations_at_ratios"].items():
            table.add_row(policy, *(f"{value:.2f}" for value in values))
        table.add_row("predictive against target-tracking", *(f"{-100 * cut:+.0f} %" for cut in
                      result["cut_to_target_tracking"]))  # fmt: skip
        console.print(table)
        chosen = "; ".join(
            f"{policy} {score['violation_minutes_per_day']:.2f} at {score['node_hours_ratio']:.3f}, "
            f"{score['changes_per_day']:.0f} changes"
            for policy, score in result["chosen"].items()
        )
        console.print(f"chosen on the first half, scored on the second: {chosen}")
        for key, words in _WORDS.items():
            sign = -1 if "cut" in key else 1
            console.print(f"{words}: {100 * sign * result[key]:+.1f} %")
        console.print()
    console.print(f"one decision pass: {found['one_pass']} (must 3 s)")


if __name__ == "__main__":
    main()
