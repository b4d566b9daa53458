"""Predicted response times beside exact simulations of G/G/k queues; prints a table, or JSON with --json.

Run: `python tests/benchmarks/bench_placement_latency.py [--quick] [--json]`.

Queues of 1, 2, 4, 8 and 16 servers at utilisations 0.5 to 0.95; Poisson or bursty (H2, SCV 4) arrivals, service times
of SCV 1, 4 and 16 (H2 with balanced means). Each is simulated by the Kiefer-Wolfowitz recursion; the standard error of
a simulated mean is given beside, from the spread of independent copies. Peers: Sakasegawa's formula, and
Kingman's with one server that is k times as fast.
"""

from __future__ import annotations

import one_thread  # noqa: F401  isort: skip
import argparse
import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from queue_simulation import simulate
from rich.console import Console
from rich.table import Table

from tasks.placement.decide.latency import Service, response_under_load
from tasks.placement.decide.queueing import sakasegawa_wait

Floats = NDArray[np.float64]
SERVERS, RHO = (1, 2, 4, 8, 16), (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
CASES = {"M/M/k": (1, 1), "M/H2/k, SCV 4": (1, 4), "H2/H2/k, SCV 4": (4, 4), "M/H2/k, SCV 16": (1, 16)}
SEED = 2026


def errors(arrival_scv: float, service_scv: float, customers: int, copies: int) -> dict[str, Any]:
    """Relative errors over the grid: median and 90th percentile."""
    grid = [(k, rho) for k in SERVERS for rho in RHO]
    mean, p95, deviation = [], [], []
    for at, (k, rho) in enumerate(grid):
        _, response = simulate(k, rho, arrival_scv, service_scv, customers=customers, copies=copies, seed=SEED + at)
        mean.append(response.mean())
        p95.append(np.quantile(response, 0.95))
        deviation.append(response.mean(axis=0).std() / np.sqrt(copies) / response.mean())
    k, rho = np.array([cell[0] for cell in grid]), np.array([cell[1] for cell in grid])
    found = response_under_load(Service(1000 * rho * k, 1.0, k, arrival_scv, service_scv))
    both = arrival_scv + service_scv
    told = {
        "mean": found.mean_ms / np.array(mean),
        "p95": found.p95_ms / np.array(p95),
        "mean, Sakasegawa": (1 + sakasegawa_wait(rho * k, 1.0, k, both)) / np.array(mean),
        "mean, Kingman": (1 + rho / (1 - rho) * both / 2 / k) / np.array(mean),
    }
    scored = {name: _summary(np.abs(ratio - 1)) for name, ratio in told.items()}
    return {**scored, "standard_error_of_the_simulation": round(float(np.median(deviation)), 4)}


def _summary(error: Floats) -> dict[str, float]:
    return {"median": round(float(np.median(error)), 4), "p90": round(float(np.quantile(error, 0.9)), 4)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the customers")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    before = time.process_time()
    customers = 4_000 if asked.quick else 20_000
    found: dict[str, Any] = {name: errors(*scvs, customers, 60) for name, scvs in CASES.items()}
    found["cpu_s"] = round(time.process_time() - before, 1)
    many = Service(np.full(100_000, 700.0), 10.0, 8, 1, 4, 30.0, 400.0, 0.02)
    before = time.process_time()
    response_under_load(many)
    found["predictions_per_cpu_s"] = round(100_000 / (time.process_time() - before))
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    table = Table(title="response time: error of the prediction, median / 90th percentile (must, SCV <= 4: 5 % / 20 %)")
    columns = ("mean", "p95", "mean, Sakasegawa", "mean, Kingman")
    for head in ("queue", *columns, "standard error of the simulation"):
        table.add_column(head, justify="right")
    for name in CASES:
        row = found[name]
        cells = [f"{100 * row[column]['median']:.1f} / {100 * row[column]['p90']:.1f} %" for column in columns]
        table.add_row(name, *cells, f"{100 * row['standard_error_of_the_simulation']:.1f} %")
    console = Console(width=140)
    console.print(table)
    console.print(f"{found['cpu_s']} CPU-s of simulation; {found['predictions_per_cpu_s']:,} predictions per CPU-s")


if __name__ == "__main__":
    main()
