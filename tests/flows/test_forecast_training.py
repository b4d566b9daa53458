from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blocks.errors import Conflict
from blocks.fleet import Fleet
from blocks.inventory import save_fleet
from blocks.store import Journal, Store
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from blocks.store.tables import now
from deployments.simulation import Simulation
from flows.demand_forecasting import ForecastRequest, demand_forecasting
from flows.forecast_training import TrainingRequest, forecast_training
from tasks import publish
from tasks.forecasting.act import forecast_name
from tasks.forecasting.decide.plans import PLANS
from tasks.forecasting.kinds import KINDS
from tasks.forecasting.models import is_trained, shelf_of

pytestmark = pytest.mark.server

QUICK = TrainingRequest(history_days=9, engines=["linear", "seasonal-naive"], origins=6, scored_pools=4)
PASS = ForecastRequest(history_days=9)
SCORES = {
    "mase", "wql", "coverage_80", "coverage_95", "within_5", "within_8", "peak_90", "series", "origins", "cpu_s",
    "series_per_cpu_s",
}  # fmt: skip


def test_a_training_keeps_models_scores_and_the_choice(fleet: Fleet) -> None:
    told = forecast_training(QUICK)
    shelf = shelf_of(SeriesStore.open(), "default", PLANS["two-hours"])
    manifest = shelf.newest()
    assert manifest is not None
    assert manifest["choice"] == told["choice"]
    assert set(told["choice"]) == set(KINDS)
    assert shelf.load(manifest["models"]["linear"]["digest"])
    cards = Store.open().scorecards(flow="forecast-training")
    assert {(card.subject, card.method) for card in cards} == {
        (f"default/two-hours/{kind}", engine) for kind in KINDS for engine in QUICK.engines
    }
    assert all(set(card.scores) == SCORES for card in cards)
    by = {(card.subject.rsplit("/", 1)[1], card.method): card.scores["wql"] for card in cards}
    for kind, engine in told["choice"].items():
        assert by[kind, engine] == min(by[kind, name] for name in QUICK.engines)


def test_a_pass_loads_the_chosen_model_and_fits_none(
    fleet: Fleet, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast_training(QUICK)
    monkeypatch.setattr("tasks.forecasting.decide.engines.fit", lambda *given, **named: 1 / 0)
    first = demand_forecasting(PASS)
    assert first["trained_at"]
    assert set(first["engines"].values()) <= {"linear", "seasonal-naive"}
    assert (first["calibrations_renewed"], first["trouble"]) == (1, [])
    simulation.advance(300)
    assert demand_forecasting(PASS.model_copy(update={"calibration_min": 1440}))["calibrations_renewed"] == 0


def test_a_damaged_model_is_told_and_the_next_engine_serves(fleet: Fleet) -> None:
    told = forecast_training(QUICK)
    shelf = shelf_of(SeriesStore.open(), "default", PLANS["two-hours"])
    shelf.files.write_bytes(f"{shelf.folder}/{told['models']['linear']}.npz", b"PK\x03\x04 not a model")
    after = demand_forecasting(PASS)
    assert set(after["methods"]) == {"seasonal-naive"}
    assert any("damaged" in line and "forecast-training" in line for line in after["trouble"])
    made = load_forecast(Store.open(), forecast_name("default"))
    assert made is not None
    assert np.isfinite(made.values).all()


def test_the_day_ahead_plan_has_models_and_forecasts_of_its_own(fleet: Fleet) -> None:
    forecast_training(QUICK.model_copy(update={"plan": "day-ahead"}))
    assert not is_trained(SeriesStore.open(), "default", PLANS["two-hours"])
    told = demand_forecasting(PASS.model_copy(update={"plan": "day-ahead"}))
    made = load_forecast(Store.open(), forecast_name("default", PLANS["day-ahead"]))
    assert made is not None
    assert (made.step_s, made.values.shape[1], told["trouble"]) == (900, 96, [])
    assert load_forecast(Store.open(), forecast_name("default")) is None


def test_a_fleet_without_history_ends_green_and_keeps_seasonal_naive(fleet: Fleet) -> None:
    blind = fleet.metrics.model_copy(update={"cpu_cores": "absent_metric", "memory_bytes": "absent_metric"})
    save_fleet(fleet.model_copy(update={"name": "new", "metrics": blind}), "new")
    told = forecast_training(QUICK.model_copy(update={"fleet": "new"}))
    assert (told["models"], set(told["choice"].values())) == ({}, {"seasonal-naive"})
    (section,) = Store.open().sections(flow="forecast-training")
    assert "too little history" in section.content["paragraphs"][0]


def test_a_second_training_of_the_same_fleet_is_refused(fleet: Fleet) -> None:
    Journal(Store.open(), owner="elsewhere:1:1:busy", clock=now).acquire("train/default/two-hours", 600)
    with pytest.raises(Conflict, match="train/default/two-hours"):
        forecast_training(QUICK)


def test_anomalies_are_announced_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.forecasting import shards

    emitted: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "emit_event", lambda name, **given: emitted.append({"name": name, **given}))
    detect = shards.detect

    def all_hot(history: Any, judged: int) -> Any:
        found = detect(history, judged)
        found.alerts[0, -1] = True
        return found

    monkeypatch.setattr(shards, "detect", all_hot)
    simulated_now = fleet.metrics
    monkeypatch.setattr("tasks.forecasting.observe.source_time_s", _frozen(simulated_now))
    first = demand_forecasting(PASS)
    second = demand_forecasting(PASS)
    (event,) = [event for event in emitted if event["name"] == "continuum.anomaly.detected"]
    assert event["name"] == "continuum.anomaly.detected"
    assert event["payload"]["anomalies"] == first["anomalies"] == second["anomalies"]
    sections = Store.open().sections(flow="demand-forecasting")
    assert "Anomalies of the last two days" in [section.title for section in sections]


def _frozen(metrics: Any) -> Any:
    from blocks.inventory import resolve_secrets
    from blocks.prometheus import PrometheusSource

    moment = PrometheusSource.from_metrics(resolve_secrets(metrics)).now().timestamp()
    return lambda fleet: moment
