"""What a forecast pass tells: the pools most at risk first, bands, and what was forecast before against what came."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from blocks.errors import NotConfigured
from blocks.series import Forecast, Series, utc
from blocks.store import Store
from blocks.store.forecasts import save_forecast
from tasks.forecasting.act import PassMade, announce, breached
from tasks.forecasting.decide.plans import LEVELS, PLANS
from tasks.forecasting.kinds import KINDS
from tasks.forecasting.models import Serving
from tasks.forecasting.observe import Collected
from tasks.forecasting.record import earlier_forecast
from tasks.forecasting.report import most_at_risk, sections
from tasks.forecasting.report_training import scorecard
from tasks.forecasting.shards import ShardMade
from tasks.forecasting.training import Lesson, Training
from tasks.runner import task_runner

NOW = utc(1_767_225_600)
POOLS = ("a/web", "b/web", "c/web")
NAMES = tuple(f"{pool}/cpu_cores" for pool in POOLS)
CAPACITY = {"a/web/cpu_cores": 100.0, "b/web/cpu_cores": 10.0, "c/web/cpu_cores": 14.0}


def forecast(as_of=NOW) -> Forecast:
    """Three pools whose median rises from 8 by half a core a step; the quantiles lie a core apart."""
    steps = 8 + 0.5 * np.arange(24, dtype=np.float32)
    values = np.tile(steps[None, :, None] + np.arange(-2, 3, dtype=np.float32), (3, 1, 1))
    return Forecast(NAMES, as_of, int(as_of.timestamp()) + 300, 300, LEVELS, values, values + 0.5, ("linear",) * 3)


def passed(plan: str = "two-hours") -> PassMade:
    return PassMade(NOW, (ShardMade(0, 3, {"linear": 3}),), Serving(PLANS[plan], dict.fromkeys(KINDS, "linear")), ())


def history(shown: list[int]) -> Series:
    values = np.full((len(shown), 576), 8, np.float32)
    return Series(tuple(NAMES[row] for row in shown), int(NOW.timestamp()) - 575 * 300, 300, values)


def told(past: Forecast | None = None) -> dict[str, Any]:
    shown = most_at_risk(forecast(), CAPACITY)
    (found,) = sections(forecast(), history(shown), CAPACITY, [], Collected(NOW, 3, ()), passed(), shown, past)
    return found


def test_the_pool_that_crosses_first_comes_first_with_the_minutes_until_then() -> None:
    rows = told()["table"]["rows"]
    assert [row[0] for row in rows] == ["b/web", "c/web", "a/web"]
    # the peak's p90 is 8 + 0.5 k + 1.5: above 10 from the third step on, above 14 from the eleventh
    assert [row[-1] for row in rows] == [15, 55, ""]
    assert rows[0][5:7] == ["10.0 cores", "00:15 UTC"]


def test_a_past_forecast_is_drawn_beside_what_came() -> None:
    plain, beside = told(), told(forecast(NOW - timedelta(hours=2)))
    assert [len(plot["bands"]) for plot in plain["plots"]] == [1, 1, 1]
    labels = [band["label"] for band in beside["plots"][0]["bands"]]
    assert labels == ["p10 to p90", "p10 to p90, forecast at 22:00"]
    assert beside["plots"][0]["bands"][1]["t"][0] == int(NOW.timestamp()) - 7200 + 300


def test_the_forecast_of_one_horizon_before_is_looked_for_then_younger_ones() -> None:
    run: Any = SimpleNamespace(store=Store.open())
    found = []
    for minutes in (10, 40, 130, 500):
        made = forecast(NOW - timedelta(minutes=minutes))
        save_forecast(run.store, made, metric="m", shard="0000", engine="linear", flow_run_id="r")
        past = earlier_forecast(run, "m", forecast())
        found.append(past and round((NOW - past.as_of).total_seconds() / 60))
    assert found == [None, 40, 130, 130]


def test_a_pool_is_announced_by_its_peak_and_only_within_reach() -> None:
    assert [pool for pool, _ in breached(forecast(), CAPACITY, level=0.9, within_s=1800)] == ["b/web"]
    assert [pool for pool, _ in breached(forecast(), CAPACITY, level=0.9, within_s=7200)] == ["b/web", "c/web"]
    by_step = replace(forecast(), peaks=forecast().values)
    assert breached(forecast(), CAPACITY, level=0.9, within_s=7200) < breached(
        by_step, CAPACITY, level=0.9, within_s=7200
    )


def test_only_the_forecast_that_scaling_reads_announces(monkeypatch: pytest.MonkeyPatch) -> None:
    emitted: list[str] = []
    monkeypatch.setattr("tasks.publish.emit_event", lambda name, **_: emitted.append(name))
    crossing = [("b/web", NOW)]
    assert announce("default", passed("day-ahead"), crossing) is None
    assert announce("default", passed(), crossing) is not None
    assert emitted == ["continuum.forecast.breached"]


def test_the_scorecard_has_the_best_engine_first_and_its_ratio_to_seasonal_naive() -> None:
    lesson = Lesson("default", "fleet", NOW, "two-hours", POOLS, POOLS, 40, 30)
    scores = {name: {kind: {"wql": wql, "mase": 1.0} for kind in KINDS}
              for name, wql in (("seasonal-naive", 0.2), ("linear", 0.1))}  # fmt: skip
    found = scorecard(Training(lesson, scores, {"linear": "0"}, dict.fromkeys(KINDS, "linear")), ["a line"])
    first, second = found["table"]["rows"][:2]
    assert (first[:3], first[-1]) == (["CPU", "linear", "chosen"], 0.5)
    assert (second[:3], second[-1]) == (["CPU", "seasonal-naive", ""], 1.0)
    assert found["paragraphs"][-1] == "a line"


def test_workers_without_dask_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prefect_dask.task_runners", None)
    with pytest.raises(NotConfigured, match=r"continuum-fleet\[dask\]"):
        task_runner(2)
