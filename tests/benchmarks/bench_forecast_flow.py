"""The forecast flow end to end: series files in, forecasts, artifacts and report out, on a real Prefect server.

Run: `python tests/benchmarks/bench_forecast_flow.py [--series 10000] [--days 30] [--workers 0] [--grow]`. Prints JSON.
Only the collecting of metrics and the reading of capacities are replaced (there are no clusters); the history is
written as series files, in days, as the flow's own compaction leaves it. `forecast-training` runs once before, on 100
pools. Then three passes: the first makes every calibration, the second (5 minutes later) makes those whose turn it is,
the third is told to renew none. Of more than 20,000 series only the second is run, every shard's calibration being a
copy of the first one's. Values: seeded noise on daily waves. With `--grow` it is repeated for an eighth, a quarter, a
half and all of the series.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from blocks.fleet_file import fleet_of
from blocks.series import Series, utc
from deployments.prefect_server import prefect_server

STEP_S, DAY_S, DAY = 300, 86_400, 288
END_S = 20_514 * DAY_S
POOLS_OF_A_CLUSTER = 100
KINDS = ("cpu_cores", "memory_bytes")
AT_ONCE = 20_000  # series made at once
FEW = 20_000  # of more series, only the pass that makes calibrations in turn is run


def fleet(pools: int) -> Any:
    """An inventory of so many pools, in clusters of 100; nothing listens at its addresses."""
    clusters = [
        {"name": f"c{number:04d}", "site": "site", "provider": "k3s",
         "kubernetes": {"server": f"http://127.0.0.1:9/{number}", "token": "${BENCH_TOKEN}"},
         "node_pools": [{"name": f"p{pool:02d}", "instance_type": "box", "min_nodes": 1, "max_nodes": 20,
                         "node_cpu": 8, "node_memory": "32Gi"}
                        for pool in range(min(POOLS_OF_A_CLUSTER, pools - number * POOLS_OF_A_CLUSTER))]}
        for number in range(-(-pools // POOLS_OF_A_CLUSTER))
    ]  # fmt: skip
    site = {"name": "site", "tier": "regional-edge", "latitude": 48, "longitude": 11}
    given = {"name": "bench", "metrics": {"url": "http://127.0.0.1:9"}, "sites": [site], "clusters": clusters}
    return fleet_of(given, "bench")


def write_history(pools: list[str], days: int) -> float:
    """Series files of both kinds; returns their size in MB."""
    from blocks.store.series import SeriesStore

    files, rng = SeriesStore.open(), np.random.default_rng(0)
    for kind in KINDS:
        level = rng.lognormal(3, 1, (len(pools), 1)).astype(np.float32)
        phase = rng.uniform(0, 6, (len(pools), 1)).astype(np.float32)
        for day in range(days):
            begin = END_S - (days - day) * DAY_S
            steps = np.arange(day * DAY, (day + 1) * DAY, dtype=np.float32)
            for at in range(0, len(pools), AT_ONCE):
                rows = slice(at, at + AT_ONCE)
                wave = 1 + np.float32(0.4) * np.sin(2 * np.pi * steps / DAY + phase[rows])
                noise = rng.standard_normal(wave.shape, dtype=np.float32) * np.float32(0.05)
                part = Series(tuple(pools[rows]), begin, STEP_S, level[rows] * (wave + noise))
                files.append(f"{kind} of bench", part, shard=f"{at:07d}")
    root = Path(os.environ["CONTINUUM_HOME"]) / "series"
    return sum(file.stat().st_size for file in root.rglob("*.parquet")) / 2**20


def children() -> list[int]:
    """Process ids of this process's descendants."""
    found, waiting = [], [os.getpid()]
    while waiting:
        below: list[int] = []
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has ended meanwhile
                below += [int(pid) for pid in task.read_text().split()]
        found += below
        waiting += below
    return found


class Peaks(threading.Thread):
    """Largest resident memory of each child process, in MB, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, tuple[str, float]] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Look until it is over."""
        while not self.over.wait(0.1):
            for pid in children():
                try:
                    told = Path(f"/proc/{pid}/status").read_text()
                    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                except OSError:
                    continue
                peak = next((line for line in told.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
                if command:  # a process that has ended shows none
                    self.seen[pid] = command, int(peak.split()[1]) / 1024

    def workers(self) -> list[int]:
        """Of the Dask workers."""
        self.over.set()
        return sorted(round(peak) for command, peak in self.seen.values() if "spawn_main" in command)


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


@contextmanager
def replaced(as_of_s: Callable[[], float]) -> Iterator[None]:
    """Put stand-ins for what asks clusters and metric sources.

    They hold nothing large: Prefect sends the flow's function, with the globals that it uses, to Dask for every task.
    """
    from flows import demand_forecasting, forecast_training
    from tasks.forecasting.observe import Collected, pools_of

    for flow in (demand_forecasting, forecast_training):
        flow.collect_demand = lambda fleet, _days: Collected(utc(as_of_s()), 2 * len(pools_of(fleet)), ())
    demand_forecasting.present_capacity = lambda fleet: {
        f"{name}/{kind}": 60.0 for name in pools_of(fleet) for kind in KINDS
    }
    yield


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Wall and CPU seconds of a run, and memory."""
    peaks = Peaks()
    peaks.start()
    begun, cpu = time.perf_counter(), cpu_s()
    told = work()
    wall, cpu = time.perf_counter() - begun, cpu_s() - cpu
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "calibrations_renewed": told.get("calibrations_renewed"),
            "methods": told.get("methods"), "trouble": told["trouble"],
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_rss_of_workers_mb": peaks.workers()}  # fmt: skip


def spread_calibrations(pools: list[str], now_s: float) -> None:
    """Store for every shard what calibrating the first one gives, under its own names: as many bytes, read the same."""
    from blocks.store.models import pack, unpack
    from blocks.store.series import SeriesStore
    from tasks.forecasting import shards
    from tasks.forecasting.act import SCALING_PLAN, forecast_name
    from tasks.forecasting.models import serving, shelf_of

    files, as_of = SeriesStore.open(), utc(now_s)
    serves = serving(shelf_of(files, "default", SCALING_PLAN), SCALING_PLAN, "linear", as_of)
    work = shards.Pass(forecast_name("default"), "default", "bench", as_of, serves, 1, 3600, "bench")
    first, *others = shards.shards_of(pools)
    shards.forecast_shard.fn(work, first)
    arrays, about = unpack(files.read_bytes(shards._calibration_path(work, first, "linear")), "bench")
    for shard in others:
        names = np.array([f"{name}/{kind}" for kind in KINDS for name in shard.pools])
        mine = {name: array[: len(names)] if len(array) == len(arrays["unique_id"]) else array
                for name, array in arrays.items()}  # fmt: skip
        path = shards._calibration_path(work, shard, "linear")
        files.write_bytes(path, pack(mine | {"unique_id": names}, about))


def passes(series: int, days: int, workers: int) -> dict[str, Any]:
    """Training once, then three passes over so many series."""
    from blocks.inventory import save_fleet
    from flows.demand_forecasting import ForecastRequest, demand_forecasting
    from flows.forecast_training import TrainingRequest, forecast_training
    from tasks.forecasting.observe import pools_of

    made = fleet(series // 2)
    pools = pools_of(made)
    begun = time.perf_counter()
    save_fleet(made, "default")
    told: dict[str, Any] = {"series": 2 * len(pools), "save_inventory_s": round(time.perf_counter() - begun, 2)}
    told["series_files_mb"] = round(write_history(pools, days))
    now = END_S - 3 * STEP_S + 10
    with replaced(lambda: now):
        quick = TrainingRequest(history_days=days, engines=["linear", "seasonal-naive"], origins=4, pools=100,
                                scored_pools=10)  # fmt: skip
        told["training"] = measured(lambda: forecast_training(quick))
        request = ForecastRequest(workers=workers, history_days=days)
        if series <= FEW:
            told["every calibration made"] = measured(lambda: demand_forecasting(request))
        else:
            spread_calibrations(pools, now)
        now += STEP_S
        told["calibrations in turn"] = measured(lambda: demand_forecasting(request))
        if series <= FEW:
            rare = request.model_copy(update={"calibration_min": 1440})
            demand_forecasting(rare)
            now += STEP_S
            told["no calibration made"] = measured(lambda: demand_forecasting(rare))
        print(json.dumps(told), file=sys.stderr)
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--grow", action="store_true")
    asked = parser.parse_args()
    sizes = [asked.series // part for part in (8, 4, 2, 1)] if asked.grow else [asked.series]
    home = Path(tempfile.mkdtemp(prefix="bench-forecast-"))
    os.environ |= {"CONTINUUM_HOME": str(home), "BENCH_TOKEN": "of nothing"}
    try:
        with prefect_server(home / "prefect") as server:
            server.become_client()
            rows = []
            for series in sizes:
                shutil.rmtree(home / "series", ignore_errors=True)
                for file in home.glob("store.db*"):
                    file.unlink()
                rows.append(passes(series, asked.days, asked.workers))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps({"benchmark": "forecast flow", "cores": os.cpu_count(), "days": asked.days,
                      "workers": asked.workers, "seed": 0, "runs": rows}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
