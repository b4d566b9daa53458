"""Monitoring of the simulated fleet: healthy, a cluster that is off, and what people and Alertmanager hear of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from blocks.events import HealthDegraded
from blocks.fleet import Fleet, HttpAccess
from blocks.inventory import save_fleet
from blocks.store import Store
from deployments.simulation import Simulation
from flows.fleet_monitoring import MonitoringRequest, fleet_monitoring
from tasks.monitoring import tell
from tests.blocks.conftest import Asked, Server, as_json, server

pytestmark = pytest.mark.server
__all__ = ["server"]  # a fixture


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[HealthDegraded]:
    said: list[HealthDegraded] = []
    monkeypatch.setattr(tell, "emit", lambda event, identity: said.append(event))
    return said


@pytest.fixture
def off(simulation: Simulation) -> Iterator[str]:
    """A cluster whose API resets every connection."""
    simulation.add_fault({"kind": "api", "api": "kubernetes", "cluster": "edge-osaka", "effect": "reset"})
    yield "edge-osaka"
    simulation.lift_fault()


def codes(told: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["code"], each["subject"]) for each in told["findings"]}


def test_the_fleet_is_looked_at_and_its_health_is_kept(fleet: Fleet, events: list[HealthDegraded]) -> None:
    told = fleet_monitoring()
    assert told["trouble"] == []
    assert told["health"]["network"] == 1
    assert 0.8 < told["health"]["overall"] <= 1
    assert not [each for each in told["findings"] if each["severity"] == "critical"]
    (card,) = Store.open().scorecards(flow="fleet-monitoring", subject="default")
    assert card.scores["overall"] == told["health"]["overall"]


def test_a_cluster_that_is_off_is_told_once_and_its_end_too(
    fleet: Fleet, off: str, simulation: Simulation, events: list[HealthDegraded]
) -> None:
    told = fleet_monitoring()
    assert ("cluster-silent", off) in codes(told)
    assert any(off in line for line in told["trouble"])
    (event,) = events
    assert (event.site, event.findings) == ("osaka", ["edge-osaka: the API does not answer"])
    save_fleet(fleet, "another")
    fleet_monitoring(MonitoringRequest(fleet="another"))  # its findings are its own
    assert fleet_monitoring()["events"] == 0
    simulation.lift_fault()
    assert "edge-osaka: the API does not answer" in fleet_monitoring()["over"]


def test_alertmanager_hears_what_is_open_and_what_is_over(
    fleet: Fleet, off: str, simulation: Simulation, events: list[HealthDegraded], server: Server
) -> None:
    heard: list[Any] = []

    def answer(asked: Asked) -> Any:
        assert (asked.path, asked.headers["authorization"]) == ("/api/v2/alerts", "Bearer only-between-us")
        heard.append({each["labels"]["subject"]: each for each in json.loads(asked.body)})
        return as_json(None)

    server.handler = answer
    access = HttpAccess.model_validate({"url": server.url, "token": "only-between-us"})
    save_fleet(fleet.model_copy(update={"alertmanager": access}), "default")
    assert fleet_monitoring()["trouble"] != []
    simulation.lift_fault()
    assert fleet_monitoring()["trouble"] == []
    first, second = heard
    assert first[off]["labels"]["severity"] == "critical"
    assert first[off]["endsAt"] > first[off]["startsAt"]
    assert second[off]["endsAt"] < first[off]["endsAt"]


def test_an_alertmanager_that_does_not_answer_is_named_and_the_pass_goes_on(
    fleet: Fleet, off: str, events: list[HealthDegraded]
) -> None:
    access = HttpAccess.model_validate({"url": "http://127.0.0.1:9"})
    save_fleet(fleet.model_copy(update={"alertmanager": access}), "default")
    line = fleet_monitoring()["trouble"][-1]
    assert "alertmanager" in line
    assert "the next pass tells it again" in line


def test_metrics_that_are_gone_are_named_and_the_clusters_are_still_looked_at(
    fleet: Fleet, simulation: Simulation, events: list[HealthDegraded]
) -> None:
    simulation.add_fault({"kind": "api", "api": "prometheus", "effect": "error", "status": 403})
    try:
        told = fleet_monitoring()
    finally:
        simulation.lift_fault()
    assert ("metrics-silent", "fleet") in codes(told)
    assert told["health"]["kubernetes"] > 0
