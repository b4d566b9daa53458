"""Hours pass on the simulated fleet: moves go by what is measured, are scored against staying, and go home again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.prometheus import PrometheusSource
from blocks.store import Store
from deployments.simulation import Simulation, ready, starting_simulation
from flows.migration_scorecard import migration_scorecard
from flows.workload_migration import MigrationRequest, workload_migration
from tests.faults.move_scenes import REPLICAS, Clusters, deploy, ready_pods
from tests.flows.conftest import START

pytestmark = pytest.mark.server
numbers = itertools.count()
MEASURED = {"rtt_ms": "site:rtt_ms", "carbon_g_per_kwh": "site:carbon_intensity:g_per_kwh",
            "error_ratio": "workload:errors:ratio"}  # fmt: skip
SOURCE, TARGET = "us-gke", "eu-eks"


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """A simulated fleet of its own: hours pass in here, and other files count on the morning."""
    with starting_simulation(tmp_path_factory.mktemp("own") / "local", speed=60, seed=7, start=START) as child:
        yield ready(child)


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


@pytest.fixture
def name(clusters: Clusters) -> str:
    made = f"scored-{next(numbers)}"
    deploy(clusters(SOURCE), made)
    return made


def asked(name: str, mode: str = "act", workload: dict | None = None, **changed: object) -> MigrationRequest:
    movable = {"name": name, "users": {"munich": 50}, "allowed": [SOURCE, TARGET]} | (workload or {})
    return MigrationRequest.model_validate(
        {"mode": mode, "workloads": [movable], "soak_s": 0, "check_s": 0, "patience_s": 60, "measured": MEASURED}
        | changed)  # fmt: skip


def rtt(fleet: Fleet, site: str, begin: datetime, end: datetime) -> float:
    """Mean of a day's quarters, straight from the metrics."""
    source = PrometheusSource.from_metrics(resolve_secrets(fleet).metrics)
    found = source.matrix(f'site:rtt_ms{{site="{site}",to="munich"}}', begin.timestamp() + 1, end.timestamp() + 1, 900)
    return float(found.values.mean())


def test_who_fled_from_failing_pods_goes_home_once_that_has_been_well(
    fleet: Fleet, simulation: Simulation, clusters: Clusters, name: str
) -> None:
    request = asked(name, workload={"users": {}, "home": SOURCE}, failback_min=90)
    simulation.add_fault({"kind": "pod-never-ready", "cluster": SOURCE, "namespace": "default", "name": f"{name}-*"})
    simulation.advance(120)
    for pod in clusters(SOURCE).list("pods", "default", label_selector=f"app={name}"):
        clusters(SOURCE).delete_at("/api/v1/namespaces/default/pods", pod["metadata"]["name"])
    simulation.advance(120)
    causes = [workload_migration(request)["decisions"][0]["reasons"][0]["code"] for _ in range(2)]
    assert causes[1] == "pods-failing"
    simulation.lift_fault()
    assert ready_pods(clusters(TARGET), name) == REPLICAS
    causes = []
    for _ in range(4):
        (row,) = workload_migration(request)["decisions"]
        causes.append(row["reasons"][0]["code"])
        simulation.advance(2700)
    assert "failback" not in causes[:2]
    assert causes[3] == "failback", (causes, row["home_well_s"])
    assert row["result"]["state"] == "done"
    assert ready_pods(clusters(SOURCE), name) == REPLICAS
    (rest,) = workload_migration(request)["decisions"]
    assert rest["action"] == "stay"


def test_a_move_is_scored_once_its_hours_have_passed_against_staying(
    fleet: Fleet, simulation: Simulation, clusters: Clusters, name: str
) -> None:
    (row,) = workload_migration(asked(name))["decisions"]
    assert (row["result"]["state"], row["reasons"][0]["code"]) == ("done", "pays")
    assert migration_scorecard()["waiting"] == 1
    simulation.advance(4.3 * 3600)
    told = migration_scorecard()
    (move,) = told["moves"]
    assert (told["new"], move["minutes"], move["worth"]) == (1, 240, True)
    begin = Store.open().decision(row["id"]).as_of
    hours = begin, begin + timedelta(hours=4)
    brought = rtt(fleet, "frankfurt", *hours) - rtt(fleet, "virginia", *hours)
    assert move["brought"]["latency_ms"] == pytest.approx(brought, rel=1e-3)
    assert move["promised"]["latency_ms"] == pytest.approx(brought, rel=0.1)
    assert move["brought"]["carbon_g_per_hour"] != 0
    again = migration_scorecard()
    assert (again["new"], again["moves"]) == (0, told["moves"])
    (section,) = Store.open().sections(flow="migration-scorecard")
    assert section.content["table"]["rows"][0][0] == f"default/{name}"
    assert "1 of 1 were worth their move" in section.content["paragraphs"][1]


def test_nobody_goes_where_the_round_trip_is_not_measured(fleet: Fleet, name: str) -> None:
    blind = MEASURED | {"rtt_ms": 'site:rtt_ms{site!="frankfurt"}'}
    (row,) = workload_migration(asked(name, "shadow", measured=blind))["decisions"]
    assert (row["action"], row["reasons"][0]["code"]) == ("stay", "best-already")
    told = workload_migration(asked(name, "shadow", measured=MEASURED | {"rtt_ms": "no:such:series"}))
    assert told["decisions"][0]["reasons"][0]["code"] == "not-measured"
    broken = workload_migration(asked(name, "shadow", measured=MEASURED | {"rtt_ms": "sum("}))
    assert broken["decisions"][0]["action"] == "stay"
    assert any("rtt_ms is not measured" in line for line in broken["trouble"])


def test_a_cluster_under_maintenance_is_left_and_nobody_goes_there(
    fleet: Fleet, simulation: Simulation, name: str
) -> None:
    present = datetime.fromisoformat(simulation.status()["time"])
    soon, later = (present + timedelta(minutes=each) for each in (30, 90))
    window = {"begin": soon.isoformat(), "end": later.isoformat()}
    near = {"users": {"virginia": 9}}
    (row,) = workload_migration(asked(name, "shadow", near, maintenance=[{"cluster": SOURCE, **window}]))["decisions"]
    assert (row["action"], row["reasons"][0]["code"]) == ("move", "maintenance")
    (row,) = workload_migration(asked(name, "shadow", near, maintenance=[{"cluster": SOURCE, "lead_min": 0, **window}])
                                )["decisions"]  # fmt: skip
    assert row["action"] == "stay"
    (row,) = workload_migration(asked(name, "shadow", maintenance=[{"cluster": TARGET, **window}]))["decisions"]
    assert (row["action"], row["reasons"][0]["code"]) == ("stay", "best-already")
