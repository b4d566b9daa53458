"""Moves in waves: each checked, a person asked between, taken back where one fails; and a run that is cancelled."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from blocks.errors import InvalidInput
from blocks.fleet import Fleet
from blocks.kubernetes.connection import path_of
from blocks.store import Journal, Store
from blocks.store.tables import State, Verdict
from flows.workload_migration import MigrationRequest, workload_migration
from tasks.migration.moves import KIND
from tasks.migration.waves import CHECK
from tests.faults.move_scenes import MADE, NAMESPACE, REPLICAS, Clusters, deploy, ready_pods, until
from tests.flows.deployed import Deployed

pytestmark = pytest.mark.server
numbers = itertools.count()
ENTRYPOINT = "flows.workload_migration.workload_migration"
SOURCE, FIRST, SECOND = "us-gke", "asia-aks", "eu-eks"  # waves go by the names of their targets


@pytest.fixture
def clusters(fleet: Fleet) -> Clusters:
    return Clusters(fleet)


@pytest.fixture
def names(clusters: Clusters) -> Iterator[tuple[str, str]]:
    """Two workloads in the United States: users of the one are in Singapore, of the other in Munich."""
    number = next(numbers)
    made = f"asian-{number}", f"european-{number}"
    for name in made:
        deploy(clusters(SOURCE), name)
        measured = {"metadata": {"labels": {"continuum.io/simulated-demand": "1"}}}
        clusters(SOURCE).patch_at(path_of("deployments", namespace=NAMESPACE), name, measured)
    yield made
    for cluster, name in itertools.product((SOURCE, FIRST, SECOND), made):
        for resource in MADE:
            clusters(cluster).delete_at(path_of(resource, namespace=NAMESPACE), name)


def asked(names: tuple[str, str], mode: str = "act", **checks: object) -> MigrationRequest:
    places = (("singapore", FIRST), ("munich", SECOND))
    workloads = [{"name": name, "users": {zone: 50}, "allowed": [SOURCE, target]}
                 for name, (zone, target) in zip(names, places, strict=True)]  # fmt: skip
    return MigrationRequest.model_validate({
        "mode": mode, "workloads": workloads, "cap_percent": 100, "soak_s": 0, "check_s": 0, "patience_s": 60,
        "checks": checks,
    })  # fmt: skip


def where(clusters: Clusters, names: tuple[str, str]) -> list[list[str]]:
    """Clusters in which each workload has all of its pods."""
    return [[each for each in (SOURCE, FIRST, SECOND) if ready_pods(clusters(each), name) == REPLICAS]
            for name in names]  # fmt: skip


def ends(told: dict) -> list[str]:
    return [row["result"]["state"] for row in told["decisions"]]


def test_a_wave_that_breaks_a_service_level_is_taken_back_and_no_other_is_begun(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    told = workload_migration(asked(names, objectives=[{"query": "workload:errors:ratio", "at_most": -1}]))
    assert ends(told) == ["undone", "refused"]
    assert where(clusters, names) == [[SOURCE], [SOURCE]]
    states = [Store.open().decision(row["id"]).state for row in told["decisions"]]
    assert states == [Verdict.UNDONE, Verdict.EXPIRED]
    assert "was not begun" not in told["decisions"][0]["result"]["detail"]
    assert "later ones were not begun" in told["decisions"][1]["result"]["detail"]


def test_a_wave_whose_run_was_killed_before_its_check_is_checked_first_by_the_next_run(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    request = asked(names, objectives=[{"query": "nobody:measures:this", "at_most": 1}])
    env = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_LOGGING_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "tests.faults.kill_in_move_flow", "check", request.model_dump_json()]
    died = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert where(clusters, names) == [[FIRST], [SOURCE]]
    told = workload_migration(asked(names).model_copy(update={"policy": "never"}))  # and no checks of its own
    assert [each["state"] for each in told["left_over"]] == ["undone"]
    assert "nobody:measures:this is not measured" in told["left_over"][0]["detail"]
    assert [each.state for each in Journal(Store.open()).intents() if each.kind == CHECK] == ["undone"]
    assert where(clusters, names) == [[SOURCE], [SOURCE]]


def test_a_service_level_that_is_kept_lets_all_waves_go(clusters: Clusters, names: tuple[str, str]) -> None:
    told = workload_migration(asked(names, watch_s=20, objectives=[{"query": "workload:errors:ratio",
                                                                     "at_most": 0.01}]))  # fmt: skip
    assert ends(told) == ["done", "done"], [row["result"]["detail"] for row in told["decisions"]]
    assert where(clusters, names) == [[FIRST], [SECOND]]


def test_a_deployment_that_is_not_there_stops_all_before_anything_moves(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    with pytest.raises(InvalidInput, match="there is no such deployment"):
        workload_migration(asked(names, deployment="nobody/nowhere"))
    assert where(clusters, names) == [[SOURCE], [SOURCE]]


@flow(name="judge", persist_result=True)
def judge(moves: list[dict[str, str]]) -> bool:
    """A user's own check: waves to the second cluster do not please it."""
    return all(each["target"] != SECOND for each in moves)


@pytest.fixture
def worker(fleet: Fleet) -> Iterator[str]:
    """Carries out the runs of the deployment `judge/judge` as they come."""
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow_from_name("judge"), "judge")
    ended = threading.Event()

    def work() -> None:
        with get_client(sync_client=True) as client:
            while not ended.wait(0.3):
                for run in client.read_flow_runs():
                    if run.deployment_id and run.state and run.state.is_scheduled() and "moves" in run.parameters:
                        run_flow(judge, flow_run=run, parameters=run.parameters, return_type="state")

    thread = threading.Thread(target=copy_context().run, args=(work,))
    thread.start()
    yield "judge/judge"
    ended.set()
    thread.join()


def test_a_flow_of_the_users_own_judges_each_wave(clusters: Clusters, names: tuple[str, str], worker: str) -> None:
    told = workload_migration(asked(names, deployment=worker))
    assert ends(told) == ["done", "undone"], told["decisions"]
    assert "judge/judge returned false" in told["decisions"][1]["result"]["detail"]
    assert where(clusters, names) == [[FIRST], [SOURCE]]


def test_a_person_is_asked_before_the_next_wave_and_the_whole_run_is_told(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    run = Deployed(workload_migration, request=asked(names, pause=True))
    words = run.until_it_asks()
    assert where(clusters, names) == [[FIRST], [SOURCE]]
    assert f"default/{names[1]}: {SOURCE} -> {SECOND}" in words
    run.answer()
    assert ends(run.go_on()) == ["done", "done"]
    assert where(clusters, names) == [[FIRST], [SECOND]]


def test_a_proposal_is_a_table_and_what_it_left_out_stays_out_through_later_questions(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    run = Deployed(workload_migration, request=asked(names, "propose", pause=True))
    words = run.until_it_asks()
    assert "| workload | from | to |" in words
    assert f"1 from {SOURCE} to {FIRST}, 1 from {SOURCE} to {SECOND}" in words
    assert where(clusters, names) == [[SOURCE], [SOURCE]]
    run.answer(leave_out=f"{SOURCE}/default/{names[1]}")
    told = run.go_on()
    assert told["decisions"][0]["result"]["state"] == "done"
    assert where(clusters, names) == [[FIRST], [SOURCE]]


def test_a_no_between_waves_leaves_what_is_done_and_begins_nothing(clusters: Clusters, names: tuple[str, str]) -> None:
    run = Deployed(workload_migration, request=asked(names, "propose", pause=True))
    run.until_it_asks()
    run.answer()
    run.until_it_asks()
    run.answer(approve=False)
    told = run.go_on()
    assert told["decisions"][0]["result"]["state"] == "done"
    states = {row.subject: row.state for row in Store.open().proposals(str(run.id))}
    assert states == {f"{SOURCE}/default/{names[0]}": Verdict.ACTED, f"{SOURCE}/default/{names[1]}": Verdict.REJECTED}
    assert where(clusters, names) == [[FIRST], [SOURCE]]


def test_a_run_that_is_cancelled_in_the_ui_brings_its_moves_back_before_it_ends(
    clusters: Clusters, names: tuple[str, str]
) -> None:
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name(workload_migration.name)
        here = [{"prefect.deployments.steps.set_working_directory": {"directory": str(Path.cwd())}}]
        deployment = client.create_deployment(flow_id, "cancelled", entrypoint=ENTRYPOINT, pull_steps=here)
        request = asked(names).model_copy(update={"soak_s": 120.0})
        parameters = {"request": request.model_dump(mode="json")}
        run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        env = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_LOGGING_LEVEL": "ERROR"}
        runner = subprocess.Popen([sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)], env=env)
        journal = Journal(Store.open())
        until(lambda: any(each.operation.get("stage") == "started" for each in journal.intents()), 120)
        client.set_flow_run_state(run.id, Cancelling())
        runner.wait(timeout=120)
        state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.is_cancelled(), state
    (move,) = [each for each in journal.intents() if each.kind == KIND]
    assert (move.state, "its run was cancelled" in move.detail) == (State.UNDONE, True)
    assert where(clusters, names) == [[SOURCE], [SOURCE]]
    assert not [each for each in clusters(FIRST).list("deployments", NAMESPACE) if names[0] in each["metadata"]["name"]]
