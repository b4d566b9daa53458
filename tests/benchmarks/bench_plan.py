"""Times a 24-hour plan of a large fleet; prints JSON.

Run: `python tests/benchmarks/bench_plan.py [--pools P]`.

Made-up demand: a daily wave of 40 % with a phase of its own and noise in each pool, CPU and memory, five levels. CPU
seconds of one process; `decide` is what the flow calls, `records` its form for the store.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from blocks.series import Forecast
from tasks.resource_plan.decide import PlanPolicy, PlanPools, decide_plan

STEPS, STEP_S = 96, 900
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
START = datetime(2026, 1, 5, tzinfo=UTC)


def fleet(count: int) -> tuple[PlanPools, Forecast]:
    """Pools of 2 to 39 nodes whose demand fills a fifth of them to all of them."""
    rng = np.random.default_rng(0)
    names, nodes = tuple(f"c{row:05d}/p" for row in range(count)), rng.integers(2, 40, count)
    wave = np.sin(np.arange(STEPS) / STEPS * 2 * np.pi + rng.uniform(0, 2 * np.pi, (count, 1)))
    load = (nodes * rng.uniform(0.2, 1, count))[:, None] * (1 + 0.4 * wave + rng.normal(0, 0.03, (count, STEPS)))
    values = np.concatenate([4 * load, 16 * load])[:, :, None] * np.array([0.8, 0.9, 1.0, 1.1, 1.2])
    made = Forecast(
        tuple(f"{name}/{kind}" for kind in ("cpu_cores", "memory_bytes") for name in names), START,
        int(START.timestamp()), STEP_S, LEVELS, values.astype(np.float32), values.astype(np.float32),
        ("made up",) * (2 * count),
    )  # fmt: skip
    pools = PlanPools(
        unique_id=names, current=nodes, ready=nodes, min_nodes=np.full(count, 2), max_nodes=np.full(count, 60),
        node_sizes=np.tile([4.0, 16.0, np.nan, np.nan], (count, 1)), requested=np.full((count, 4), np.nan),
        boot_s=np.full(count, 240.0), price_usd_per_hour=np.full(count, 0.2),
        paid_nodes=np.zeros(count, np.int64), multiple_of=np.ones(count, np.int64),
        reachable=np.ones(count, np.bool_), owner=("",) * count,
    )  # fmt: skip
    return pools, made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=10_000)
    count = parser.parse_args().pools
    pools, made = fleet(count)
    spent = []
    for _ in range(5):
        before = time.process_time()
        plan = decide_plan(pools, made, PlanPolicy(), START + timedelta(minutes=5))
        spent.append(time.process_time() - before)
    before = time.process_time()
    written = sum(len(json.dumps(record)) for record in plan.to_records())
    told = {
        "pools": count,
        "steps": plan.steps,
        "decide_cpu_s": round(float(np.median(spent)), 3),
        "slowest_decide_cpu_s": round(max(spent), 3),
        "records_cpu_s": round(time.process_time() - before, 2),
        "records_mb": round(written / 1e6, 1),
        "changes_per_pool": round(plan.total()["changes"] / count, 1),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
