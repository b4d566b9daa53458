"""CPU seconds of fitting, calibrating and forecasting a generated fleet."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from forecast_scores import LEVELS, Goal

from blocks.series import Series, utc
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


def cpu_s(work: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Least CPU seconds of some repeats, as other work on the machine only ever adds to them; and what came out."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        made = work()
        taken.append(time.process_time() - begun)
    return min(taken), made


def speed(count: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Series per CPU second of both global engines and the baselines."""
    say(f"speed: generating {count:,} series")
    large = fleet(count)
    table: dict[str, Any] = {"series": count, "days": DAYS, "horizon": HORIZON, "quantiles": len(LEVELS)}
    for engine in ("linear", "trees"):
        say(f"speed: {engine}")
        table[engine] = of_engine(engine, large)
    for engine in ("seasonal-naive", "last-value"):
        table[engine] = {"predict_cpu_s": predicting(engine, large)}
    for row in table.values():
        if isinstance(row, dict):
            row |= {name.replace("cpu_s", "series_per_cpu_s"): count / row[name]
                    for name in ("predict_cpu_s", "calibrate_cpu_s") if name in row}  # fmt: skip
    table["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    table["verdicts"] = {engine: {goal.row: goal.verdict(table[engine][goal.row]) for goal in goals}
                         for engine, goals in GOALS.items()}  # fmt: skip
    return table


def of_engine(engine: str, large: Series) -> dict[str, float]:
    """CPU seconds of a global engine: fit, calibration, forecast, and all of it for 25 series."""
    as_of = utc(large.end_s - STEP_S)
    small = Series(large.unique_id[:25], 0, STEP_S, large.values[:25])
    fitting, model = cpu_s(lambda: fit(large, HORIZON, LEVELS, as_of, engine=engine), 1)
    calibrating, known = cpu_s(
        lambda: calibrate(large, model, as_of, origins=CALIBRATED_ORIGINS), REPEATS if engine == "linear" else 1
    )
    return {
        "fit_cpu_s": fitting, "calibrate_cpu_s": calibrating,
        "predict_cpu_s": predicting(engine, large, model=model, calibration=known),
        "everything_25_series_cpu_s": cpu_s(lambda: forecast(small, HORIZON, LEVELS, as_of, engine=engine), 1)[0],
    }  # fmt: skip


def predicting(engine: str, large: Series, **learned: Any) -> float:
    """CPU seconds of one forecast of all series."""
    return cpu_s(lambda: forecast(large, HORIZON, LEVELS, utc(large.end_s - STEP_S), engine=engine, **learned))[0]
