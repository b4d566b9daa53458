"""A shard of a forecast pass, without a Prefect server: what it reads, keeps and renews."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from blocks.series import Series, utc
from blocks.store import Store
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from tasks.forecasting import shards as module
from tasks.forecasting.decide import fit
from tasks.forecasting.decide.plans import LEVELS, PLANS
from tasks.forecasting.kinds import KINDS
from tasks.forecasting.models import Serving, shelf_of, to_arrays
from tasks.forecasting.shards import Pass, Shard, anomalies_in, forecast_shard, shards_of

END_S = 20_514 * 86_400
PLAN = PLANS["two-hours"]
POOLS = ("a/web", "b/web", "c/web")


def demand(days: int = 15) -> Series:
    steps, rng = np.arange(days * 288), np.random.default_rng(3)
    wave = 10 + 4 * np.sin(2 * np.pi * steps / 288 + np.arange(3)[:, None])
    return Series(POOLS, END_S - days * 86_400, 300, (wave + rng.normal(0, 0.2, wave.shape)).astype(np.float32))


@pytest.fixture
def work() -> Pass:
    """Three pools with half a month of history and a stored linear model."""
    files, history = SeriesStore.open(), demand()
    for kind in KINDS:
        files.append(f"{kind} of fleet", history)
    model = fit(history, PLAN.horizon, LEVELS, utc(history.end_s - 300))
    digest = shelf_of(files, "default", PLAN).save(to_arrays(model))
    serving = Serving(PLAN, dict.fromkeys(KINDS, "linear"), {"linear": digest})
    return Pass("demand of default", "default", "fleet", utc(END_S - 300), serving, 15, 3600, "run")


def made(work: Pass) -> Any:
    found = load_forecast(Store.open(), work.name)
    assert found is not None
    return found


def test_each_kind_is_served_by_its_engine_in_the_order_of_the_names(work: Pass) -> None:
    mixed = replace(work.serving, engine_of={"cpu_cores": "seasonal-naive", "memory_bytes": "linear"})
    forecast_shard.fn(replace(work, serving=mixed), Shard(0, 1, POOLS))
    forecast = made(work)
    assert [name.split("/")[-1] for name in forecast.unique_id] == ["cpu_cores"] * 3 + ["memory_bytes"] * 3
    assert forecast.method == ("seasonal-naive",) * 3 + ("linear",) * 3
    forecast_shard.fn(work, Shard(0, 1, POOLS))
    np.testing.assert_allclose(made(work).values[3:], forecast.values[3:], rtol=0.2)


def test_a_stored_calibration_serves_until_its_hour_is_over(work: Pass) -> None:
    shard = Shard(0, 1, POOLS)
    later = [replace(work, as_of=work.as_of + timedelta(minutes=minutes)) for minutes in (0, 5, 50, 70)]
    assert [forecast_shard.fn(one, shard).renewed for one in (work, *later)] == [1, 0, 1, 0, 1]


def test_a_calibration_of_another_model_or_a_damaged_one_is_made_anew(work: Pass) -> None:
    shard = Shard(0, 1, POOLS)
    assert forecast_shard.fn(work, shard).renewed == 1
    files = SeriesStore.open()
    path = module._calibration_path(work, shard, "linear")
    files.write_bytes(path, files.read_bytes(path)[:500])
    assert forecast_shard.fn(work, shard).renewed == 1
    assert forecast_shard.fn(work, shard).renewed == 0


def test_every_shard_has_a_moment_of_its_own_in_the_hour(work: Pass) -> None:
    parts = [Shard(number, 12, POOLS) for number in range(12)]
    made_s = int(work.as_of.timestamp())
    for passes in range(1, 13):
        now = replace(work, as_of=work.as_of + timedelta(minutes=5 * passes))
        due = [module._is_due(now, shard, made_s) for shard in parts]
        assert sum(due) == passes
    assert all(due)


def test_shards_hold_every_pool_once_and_neighbours_together() -> None:
    pools = [f"c{i % 7}/p{i}" for i in range(2_501)]
    found = shards_of(pools)
    assert [name for shard in found for name in shard.pools] == sorted(pools)
    assert max(len(shard.pools) for shard in found) <= module.SHARD_POOLS
    assert [shard.number for shard in found] == list(range(found[0].count))


def test_a_spike_among_the_newest_steps_is_told_with_what_was_to_come() -> None:
    history = demand()
    history.values[1, -4] = 60
    (anomaly,) = anomalies_in(history)
    assert (anomaly.series, anomaly.at, anomaly.value) == ("b/web", utc(history.end_s - 4 * 300), 60)
    assert anomaly.expected is not None
    assert 0 < anomaly.expected < 20


def test_a_forecast_that_nothing_supports_is_told(work: Pass, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast = module.forecast

    def wild(*given: Any, **named: Any) -> Any:
        found = forecast(*given, **named)
        found.values[0] *= 50
        return found

    monkeypatch.setattr(module, "forecast", wild)
    told = forecast_shard.fn(work, Shard(0, 1, POOLS))
    assert [doubt.series for doubt in told.doubts] == ["a/web/cpu_cores"]
    assert told.doubtful == 1
