from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blocks.events import EVENTS, ForecastBreached
from blocks.fleet import Fleet
from blocks.store import Store
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from deployments.simulation import Simulation
from flows.demand_forecasting import ForecastRequest, demand_forecasting
from tasks import publish
from tasks.forecasting import act
from tasks.forecasting.observe import present_capacity, read_demand

pytestmark = pytest.mark.server

QUICK = ForecastRequest(history_days=9)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(publish, "emit_event", lambda name, **given: events.append({"name": name, **given}))
    return events


def test_every_pool_gets_a_forecast_of_both_kinds_of_demand(fleet: Fleet) -> None:
    told = demand_forecasting(QUICK)
    made = load_forecast(Store.open(), act.forecast_name("default"))
    assert made is not None
    assert set(made.unique_id) == {
        f"{cluster.name}/{pool.name}/{kind}"
        for cluster, pool in fleet.pools()
        for kind in ("cpu_cores", "memory_bytes")
    }
    assert np.isfinite(made.values).all()
    assert (np.diff(made.values, axis=2) >= 0).all()
    assert told["methods"] == {"linear": len(made.unique_id)}
    assert told["as_of"] == made.as_of.isoformat()


def test_a_second_pass_only_brings_what_is_new(
    fleet: Fleet, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blocks.prometheus import PrometheusSource

    demand_forecasting(QUICK)
    simulation.advance(600)
    asked: list[float] = []
    matrix = PrometheusSource.matrix

    def counting(self: PrometheusSource, query: str, start_s: float, end_s: float, *given: Any, **named: Any) -> Any:
        asked.append(end_s - start_s)
        return matrix(self, query, start_s, end_s, *given, **named)

    monkeypatch.setattr(PrometheusSource, "matrix", counting)
    told = demand_forecasting(QUICK)
    assert max(asked) <= 3600
    history = read_demand(SeriesStore.open(), fleet, load_forecast(Store.open(), act.forecast_name("default")).as_of, 1)  # type: ignore[union-attr]
    assert np.isfinite(history.values).all()
    assert told["series"] == len(history.unique_id)


def test_pools_that_outgrow_their_nodes_are_announced_once_in_one_event(
    fleet: Fleet, emitted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {name: limit / 3 for name, limit in present_capacity(fleet).items()}
    monkeypatch.setattr("flows.demand_forecasting.present_capacity", lambda fleet: small)
    told = demand_forecasting(QUICK)
    (event,) = emitted
    payload = ForecastBreached.model_validate(event["payload"])
    assert event["name"] == "continuum.forecast.breached"
    assert event["resource"]["prefect.resource.id"] == "continuum.fleet.default"
    assert payload.pools == [row["pool"] for row in told["crossing"]]
    assert len(payload.pools) == len(set(payload.pools)) > 1
    assert [row["at"] for row in told["crossing"]] == sorted(row["at"] for row in told["crossing"])


def test_nothing_is_announced_where_every_pool_has_room(
    fleet: Fleet, emitted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = {name: limit * 10 for name, limit in present_capacity(fleet).items()}
    monkeypatch.setattr("flows.demand_forecasting.present_capacity", lambda fleet: roomy)
    assert demand_forecasting(QUICK)["crossing"] == []
    assert emitted == []


def test_event_names_follow_the_scheme() -> None:
    for event in EVENTS:
        owner, subject, participle = event.name.split(".")
        assert (owner, participle[-2:]) == ("continuum", "ed")
        assert subject
