"""Workloads of the simulated fleet moved by the flow: told, done, taken back, drained, and what cannot be."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from sqlalchemy import update

from blocks.errors import InvalidInput, Refused
from blocks.fleet import Fleet
from blocks.kubernetes.connection import path_of
from blocks.store import Journal, Store
from blocks.store.tables import Intent, Verdict
from deployments.command import journal
from deployments.simulation import Simulation
from flows.workload_migration import MigrationRequest, workload_migration
from tasks.migration.act import mover_of
from tasks.migration.moves import objects, plan_move
from tests.faults.move_scenes import MADE, NAMESPACE, REPLICAS, Clusters, deploy, ready_pods
from tests.faults.move_scenes import mover_of as mover_with

pytestmark = pytest.mark.server
numbers = itertools.count()


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


@pytest.fixture
def name(clusters: Clusters) -> Iterator[str]:
    """A workload in the United States whose users are in Munich."""
    made = f"far-{next(numbers)}"
    deploy(clusters("us-gke"), made)
    yield made
    for cluster in clusters.fleet.clusters:
        for resource in MADE:
            clusters(cluster.name).delete_at(path_of(resource, namespace=NAMESPACE), made)


def asked(name: str, mode: str = "shadow", **changed: object) -> MigrationRequest:
    workload = {"name": name, "users": {"munich": 50}, "allowed": ["us-gke", "eu-eks"]}
    return MigrationRequest.model_validate(
        {"mode": mode, "workloads": [workload], "soak_s": 0, "check_s": 0, "patience_s": 60} | changed)  # fmt: skip


def pods(clusters: Clusters, name: str) -> dict[str, int]:
    return {each: ready_pods(clusters(each), name) for each in ("us-gke", "eu-eks")}


def test_shadow_tells_what_would_move_and_moves_nothing(clusters: Clusters, name: str) -> None:
    (row,) = workload_migration(asked(name))["decisions"]
    assert (row["action"], row["source"], row["target"]) == ("move", "us-gke", "eu-eks")
    assert row["latency_ms"][1] < row["latency_ms"][0]
    assert "us-gke -> eu-eks" in row["words"]
    assert pods(clusters, name) == {"us-gke": REPLICAS, "eu-eks": 0}
    (section,) = Store.open().sections(flow="workload-migration")
    assert section.content["table"]["rows"][0][:3] == [f"default/{name}", "us-gke", "eu-eks"]


def test_act_moves_it_once_and_undo_brings_it_back(clusters: Clusters, name: str) -> None:
    (row,) = workload_migration(asked(name, "act"))["decisions"]
    assert row["result"]["state"] == "done", row["result"]
    assert pods(clusters, name) == {"us-gke": 0, "eu-eks": REPLICAS}
    (again,) = workload_migration(asked(name, "act"))["decisions"]
    assert (again["action"], again["reasons"][0]["code"]) == ("stay", "best-already")
    store = Store.open()
    assert store.decision(row["id"]).state == Verdict.ACTED
    journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert pods(clusters, name) == {"us-gke": REPLICAS, "eu-eks": 0}
    (rest,) = workload_migration(asked(name, "act"))["decisions"]
    assert rest["reasons"][0]["code"] == "cooling-down"


def test_a_cluster_that_is_to_be_left_is_left(clusters: Clusters, name: str) -> None:
    home = next(cluster.site for cluster in clusters.fleet.clusters if cluster.name == "us-gke")
    near = {"workloads": [{"name": name, "users": {home: 9}, "allowed": ["us-gke", "eu-eks"]}]}
    (row,) = workload_migration(asked(name, **near))["decisions"]
    assert row["action"] == "stay"
    (row,) = workload_migration(asked(name, leave=["us-gke"], **near))["decisions"]
    assert (row["action"], row["reasons"][0]["code"]) == ("move", "maintenance")


def test_a_workload_that_stands_nowhere_or_twice_is_told_and_left(clusters: Clusters, name: str) -> None:
    deploy(clusters("eu-eks"), name)
    told = workload_migration(asked(name, "act"))
    assert told["decisions"] == []
    assert any("stands in" in line and "one has to go first" in line for line in told["trouble"])
    assert pods(clusters, name) == {"us-gke": REPLICAS, "eu-eks": REPLICAS}


def test_a_move_that_a_restored_store_never_heard_of_is_finished(
    clusters: Clusters, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, elsewhere = clusters("us-gke"), Store.open(f"sqlite:///{tmp_path}/other.db")
    mover = mover_with(clusters, store=elsewhere)
    proceed = Journal.proceed

    def stopping(journal: Journal, intent: Intent) -> Intent:
        if intent.operation.get("stage") == "drained":
            raise Refused("the store was put back to an older day")
        return proceed(journal, intent)

    monkeypatch.setattr(Journal, "proceed", stopping)
    mover.carry_out(mover.begin(plan_move(source, clusters("eu-eks"), NAMESPACE, name, cause="pays"), key="a"))
    monkeypatch.undo()
    (left,) = workload_migration(asked(name))["left_over"]
    assert left["state"] == "started"
    assert pods(clusters, name) == {"us-gke": 0, "eu-eks": REPLICAS}
    source.delete_at(path_of("leases", namespace=NAMESPACE), f"continuum-move-{name}")  # else it is waited for
    (left,) = workload_migration(asked(name, "act"))["left_over"]
    assert left["state"] == "done", left
    assert pods(clusters, name) == {"us-gke": 0, "eu-eks": REPLICAS}
    assert not objects.found(source, "deployments", name, NAMESPACE)


def test_a_move_whose_pods_are_ready_again_is_no_longer_wanted(clusters: Clusters, name: str) -> None:
    wanted = mover_of(clusters.fleet, Journal(Store.open())).world.still_wanted
    plan = plan_move(clusters("us-gke"), clusters("eu-eks"), NAMESPACE, name, cause="pays")
    assert wanted(plan)
    assert not wanted(replace(plan, cause="pods-failing"))


@pytest.mark.parametrize(("changed", "words"), [
    ({"workloads": []}, "no workload is given"), ({"leave": ["eu-esk"]}, "no cluster `eu-esk`"),
    ({"workloads": [{"name": "a", "users": {"atlantis": 1}}]}, "no site `atlantis`"),
    ({"workloads": [{"name": "a"}, {"name": "a"}]}, "it is there twice"),
])  # fmt: skip
def test_what_cannot_be_is_refused_by_name(fleet: Fleet, changed: dict, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        workload_migration(asked("a", **changed))


def test_a_workload_of_a_silent_cluster_is_started_elsewhere_and_is_not_left_there_twice(
    simulation: Simulation, clusters: Clusters, name: str
) -> None:
    home = {"workloads": [{"name": name, "allowed": ["us-gke", "eu-eks"], "restart_after_min": 5}], "policy": "never"}

    def one_pass() -> dict:
        (row,) = workload_migration(asked(name, "act", **home))["decisions"]
        return row

    assert one_pass()["action"] == "stay"
    simulation.add_fault({"kind": "api", "api": "kubernetes", "cluster": "us-gke", "effect": "reset"})
    assert one_pass()["reasons"][0]["code"] == "silent"
    simulation.advance(300)
    started = one_pass()
    assert (started["reasons"][0]["code"], started["target"], started["result"]["state"]) == (
        "site-silent", "eu-eks", "done"), started  # fmt: skip
    told = workload_migration(asked(name, "act", **home))
    assert told["decisions"] == []
    assert any(f"workload default/{name} runs in eu-eks until us-gke answers" in line for line in told["trouble"])
    simulation.lift_fault()
    assert pods(clusters, name) == {"us-gke": REPLICAS, "eu-eks": REPLICAS}  # its silence was not its end
    with Store.open().write() as session:  # the run that started it has ended long ago
        session.execute(update(Intent).values(lease_until=datetime(2026, 1, 1, tzinfo=UTC)))
    told = workload_migration(asked(name, "act", **home))
    assert [each["state"] for each in told["left_over"]] == ["done"], told["left_over"]
    assert pods(clusters, name) == {"us-gke": 0, "eu-eks": REPLICAS}


STAGES = ("reserved", "started", "healthy", "shifting", "drained", "removed")


@pytest.mark.parametrize("stage", STAGES if os.environ.get("CONTINUUM_MOVE_FAULTS") else STAGES[4:5])
def test_a_flow_run_killed_at_a_stage_is_carried_to_its_end_by_the_next(
    clusters: Clusters, name: str, stage: str
) -> None:
    request = asked(name, "act")
    command = [sys.executable, "-m", "tests.faults.kill_in_move_flow", stage, request.model_dump_json()]
    env = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_LOGGING_LEVEL": "ERROR"}
    died = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    told = workload_migration(request)
    # its move, and the check of its wave
    assert {each["state"] for each in told["left_over"]} == {"done"}, told["left_over"]
    assert pods(clusters, name) == {"us-gke": 0, "eu-eks": REPLICAS}
    assert [row["action"] for row in told["decisions"]] == ["stay"]
