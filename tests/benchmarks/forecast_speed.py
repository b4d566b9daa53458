"""CPU seconds of fitting, calibrating and forecasting a generated fleet."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from blocks.series import Series, utc
from forecast_scores import LEVELS, Goal
from tasks.forecasting.decide import calibrate, fit, forecast

STEP_S, DAY, DAYS, HORIZON = 300, 288, 30, 24
CALIBRATED_ORIGINS = 24
REPEATS = 3
GOALS = {
    "linear": (
        Goal("predict_series_per_cpu_s", 40_000, 80_000, larger=True),
        Goal("calibrate_series_per_cpu_s", 2_000, 4_000, larger=True),
    ),
    "trees": (Goal("predict_series_per_cpu_s", 2_000, 8_000, larger=True),),
}


def fleet(count: int) -> Series:
    """Daily waves with noise over 30 days, from a fixed seed."""
    rng = np.random.default_rng(0)
    steps = np.arange(DAYS * DAY)
    values = np.empty((count, len(steps)), np.float32)
    for row in range(count):
        wave = 4 * np.sin(2 * np.pi * steps / DAY + rng.uniform(0, 6))
        values[row] = rng.lognormal() * (12 + wave + rng.normal(0, 1, len(steps)))
    return Series(tuple(f"pool-{row}" for row in range(count)), 0, STEP_S, values)


def cpu_s(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least CPU seconds of some repeats: other work on the machine only ever adds to them."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def speed(count: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Series per CPU second of both global engines and the baselines."""
    say(f"speed: generating {count:,} series")
    large = fleet(count)
    small = Series(large.unique_id[:25], 0, STEP_S, large.values[:25])
    as_of = utc(large.end_s - STEP_S)
    table: dict[str, Any] = {"series": count, "days": DAYS, "horizon": HORIZON, "quantiles": len(LEVELS)}
    for engine in ("linear", "trees"):
        say(f"speed: {engine}")
        begun = time.process_time()
        model = fit(large, HORIZON, LEVELS, as_of, engine=engine)
        row: dict[str, Any] = {"fit_cpu_s": time.process_time() - begun}
        assert model is not None
        once = 1 if engine == "trees" else REPEATS
        row["calibrate_cpu_s"] = cpu_s(lambda m=model: calibrate(large, m, as_of, origins=CALIBRATED_ORIGINS), once)
        stored = calibrate(large, model, as_of, origins=CALIBRATED_ORIGINS)
        row["predict_cpu_s"] = cpu_s(
            lambda m=model, c=stored, e=engine: forecast(
                large, HORIZON, LEVELS, as_of, engine=e, model=m, calibration=c
            )
        )
        row["everything_25_series_cpu_s"] = cpu_s(lambda e=engine: forecast(small, HORIZON, LEVELS, as_of, engine=e), 1)
        table[engine] = row
    for engine in ("seasonal-naive", "last-value"):
        table[engine] = {"predict_cpu_s": cpu_s(lambda e=engine: forecast(large, HORIZON, LEVELS, as_of, engine=e), 1)}
    for row in table.values():
        if isinstance(row, dict):
            row |= {name.replace("cpu_s", "series_per_cpu_s"): count / row[name]
                    for name in ("predict_cpu_s", "calibrate_cpu_s") if name in row}  # fmt: skip
    table["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    table["verdicts"] = {engine: {goal.row: goal.verdict(table[engine][goal.row]) for goal in goals}
                         for engine, goals in GOALS.items()}  # fmt: skip
    return table
