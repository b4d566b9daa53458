"""Reads a month of 1,000 series (5-min steps) into the dense matrix; prints one JSON document, seconds of one core.

Run: `python tests/benchmarks/bench_series.py [--series N] [--days N]`. Values: seeded gamma noise on a daily wave.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from blocks.series import Series
from blocks.store.series import SeriesStore

STEP_S, DAY_S = 300, 86_400


def demand(series: int, days: int, seed: int) -> Series:
    """(series, days x 288) float32 of generated demand in cores."""
    rng = np.random.default_rng(seed)
    wave = 20 + 10 * np.sin(np.arange(days * 288) * 2 * np.pi / 288)
    values = (wave * rng.gamma(20, 0.05, (series, days * 288))).astype(np.float32)
    ids = tuple(f"cluster-{i // 10:03d}/pool-{i % 10}" for i in range(series))
    return Series(ids, 20_000 * DAY_S, STEP_S, values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    asked = parser.parse_args()
    history = demand(asked.series, asked.days, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        store = SeriesStore.open(folder)
        timings = {}

        def timed(name: str, work):
            begin = time.process_time()
            result = work()
            timings[name] = round(time.process_time() - begin, 4)
            return result

        timed("append_cpu_s", lambda: store.append("cpu_cores", history))
        read = timed("read_cpu_s", lambda: store.read("cpu_cores", history.start_s, history.end_s))
        assert np.array_equal(read.values, history.values)
        few = history.unique_id[:: max(1, asked.series // 20)]
        timed("read_20_series_cpu_s", lambda: store.read("cpu_cores", history.start_s, history.end_s, few))
        last = Series(history.unique_id, history.end_s, STEP_S, history.values[:, :288])
        for step in range(288):
            window = Series(last.unique_id, last.start_s + step * STEP_S, STEP_S, last.values[:, step : step + 1])
            store.append("cpu_cores", window)
        timed("read_day_of_288_windows_cpu_s", lambda: store.read("cpu_cores", last.start_s, last.end_s))
        day = datetime.fromtimestamp(last.start_s, UTC).date()
        timed("compact_day_of_288_windows_cpu_s", lambda: store.compact("cpu_cores", day))
        month = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
    print(json.dumps({"benchmark": "series files", "series": asked.series, "days": asked.days, "step_s": STEP_S,
                      "bytes_on_disk": month, "seed": 1, **timings}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
