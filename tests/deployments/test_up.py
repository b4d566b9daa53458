"""`continuum up` as a person runs it: schedules, the event that starts a run, and an end that leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deployments.prefect_server import SLOT_WAIT_S
from tests.printed import first_document

pytestmark = pytest.mark.server

PATIENCE_S = 90


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [sys.executable, "-m", "deployments.command", "up", "--speed", "6", "--json"]
    with (home / "stderr").open("w") as stderr:
        process = subprocess.Popen(command, env=os.environ | {"CONTINUUM_HOME": str(home)}, stdout=subprocess.PIPE,
                                   stderr=stderr, text=True)  # fmt: skip
        assert process.stdout is not None
        yield process, first_document(process.stdout)
        process.kill()
        process.wait()


def runs_of(told: dict[str, str], deployment: str) -> list[dict[str, Any]]:
    """Runs of a deployment that have ended, newest first."""
    name = requests.get(f"{told['prefect_api_url']}/deployments/name/{deployment}", timeout=10).json()
    query = {
        "flow_runs": {
            "deployment_id": {"any_": [name["id"]]},
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}},
        },
        "sort": "START_TIME_DESC",
    }
    found: list[dict[str, Any]] = requests.post(
        f"{told['prefect_api_url']}/flow_runs/filter", json=query, timeout=10
    ).json()
    return found


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something; real processes are watched from outside."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def emit(told, name: str, payload: dict) -> None:
    code = (
        "import sys, json; from prefect.events import emit_event; "
        "emit_event(sys.argv[1], payload=json.loads(sys.argv[2]), "
        "resource={'prefect.resource.id': 'continuum.fleet.default'})"
    )
    env = os.environ | {"PREFECT_API_URL": told["prefect_api_url"]}
    subprocess.run([sys.executable, "-c", code, name, json.dumps(payload)], env=env, check=True, timeout=60)


def test_the_first_forecast_runs_at_once_and_scaling_after_it(running) -> None:
    _, told = running
    (forecast,) = until(lambda: runs_of(told, "demand-forecasting/demand-forecasting"))
    scaling = until(lambda: runs_of(told, "cluster-scaling/cluster-scaling"))
    assert {forecast["state_name"], scaling[-1]["state_name"]} == {"Completed"}
    assert forecast["start_time"] < scaling[-1]["start_time"]


def test_an_event_starts_one_run_for_its_pools_in_the_mode_of_the_deployment(running) -> None:
    _, told = running
    payload = {"fleet": "default", "as_of": "2026-03-10T09:20:00Z", "pools": ["eu-eks/web", "us-gke/web"],
               "first_crossing": "2026-03-10T09:40:00Z"}  # fmt: skip
    emit(told, "continuum.forecast.breached", payload)
    name = "cluster-scaling/cluster-scaling-on-event"
    mine = until(lambda: [run for run in runs_of(told, name) if run["parameters"].get("pools") == payload["pools"]])
    assert [run["state_name"] for run in mine] == ["Completed"]
    assert "request" not in mine[0]["parameters"]


def test_a_workload_that_somebody_announces_is_placed_in_the_mode_of_the_deployment(running) -> None:
    _, told = running
    payload = {"fleet": "default", "workloads": [
        {"name": "announced", "image": "nginx:1", "cpu_cores": 0.1, "memory_gib": 0.1}]}  # fmt: skip
    emit(told, "continuum.workload.created", payload)
    mine = until(lambda: runs_of(told, "workload-placement/workload-placement-on-event"))
    assert [run["state_name"] for run in mine] == ["Completed"]
    assert mine[0]["parameters"]["workloads"] == payload["workloads"]
    assert "request" not in mine[0]["parameters"]


def test_a_run_looks_again_within_seconds_whether_the_slot_that_it_waits_for_is_free(running) -> None:
    settings = requests.get(f"{running[1]['prefect_api_url']}/admin/settings", timeout=10).json()
    assert settings["server"]["deployments"]["concurrency_slot_wait_seconds"] == SLOT_WAIT_S


def test_status_and_logs_tell_what_ran_and_what_comes(running) -> None:
    _, told = running
    (forecast, *_) = until(lambda: runs_of(told, "demand-forecasting/demand-forecasting"))
    env = os.environ | {"PREFECT_API_URL": told["prefect_api_url"], "CONTINUUM_HOME": told["home"]}

    def said(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "deployments.command", *words, "--json"]
        return dict(json.loads(subprocess.run(command, env=env, capture_output=True, check=True, timeout=60).stdout))

    status = said("status")
    rows = {row["deployment"].split("/")[1]: row for row in status["flows"]}
    assert (status["fleet"]["simulated"], status["fleet"]["clusters"], status["trouble"]) == (True, 6, [])
    assert rows["demand-forecasting"]["last_state"] == "Completed"
    assert rows["demand-forecasting"]["next_run"] > rows["demand-forecasting"]["last_run"]
    assert 'continuum_pass_duration_seconds{fleet="default",flow="demand-forecasting"}' in requests.get(
        told["metrics_url"], timeout=10
    ).text  # fmt: skip
    logs = said("logs", "demand-forecasting")
    assert logs["state"] == "Completed"
    assert any(line["message"].startswith("Finished in state") for line in logs["logs"]), forecast["name"]


def test_sigterm_ends_it_and_leaves_nothing(running, home: Path) -> None:
    process, _ = running
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(home) not in left
    told = (home / "stderr").read_text()
    assert "nothing is left running" in told
    assert "Traceback" not in told
