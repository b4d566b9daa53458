"""The production layout under kills: no run is lost, none acts twice.

Every day one server and one worker, which is killed with its run; `make test-production` plays it at full size.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from blocks.fleet_file import load_fleet
from blocks.inventory import save_fleet
from blocks.store import Journal, Store
from blocks.store.tables import State
from deployments.automations import ensure, wanted
from deployments.deploy import WORK_POOL
from tests.deployments.server.conftest import FULL_RUNS, ROOT, Written

pytestmark = pytest.mark.server

RUNS = max(FULL_RUNS // 5, 1)
KILLED = ("worker-1", "server-1", "services", "worker-2") if FULL_RUNS else ("worker-1",)
PATIENCE_S = 300 + 30 * FULL_RUNS
ALL_RESTARTED = "every server has been restarted"
TAKES_S = 8.0


@pytest.fixture(scope="module")
def serve(written: Written) -> Iterator[subprocess.Popen[str]]:
    """`continuum serve`, as a person starts it."""
    command = [sys.executable, "-m", "deployments.command", "serve", str(written.file), "--json"]
    with (written.file.parent / "said").open("w") as said:
        process = subprocess.Popen(command, env=written.env, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True)
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "}\n":
            if not line:
                pytest.fail((written.file.parent / "said").read_text())
        yield process
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def client(written: Written, serve: subprocess.Popen[str]) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: f"{written.url}/api", PREFECT_CLIENT_MAX_RETRIES: 12,
                             PREFECT_API_AUTH_STRING: written.env["PREFECT_API_AUTH_STRING"]}):  # fmt: skip
        save_fleet(load_fleet(ROOT / "deployments/local/fleet.yaml"), "default")
        with get_client(sync_client=True) as client:
            assert until(lambda: [pool for pool in client.read_work_pools() if pool.name == WORK_POOL])
            yield client


@pytest.fixture(scope="module")
def deployment(client: SyncPrefectClient) -> Any:
    """The ledger's flow, and what starts a dead run again."""
    ensure(client, wanted(None, timedelta(seconds=90)))
    flow_id = client.create_flow_from_name("ledger")
    return client.create_deployment(
        flow_id, "ledger", entrypoint="tests.deployments.server.ledger.enter", work_pool_name=WORK_POOL,
        tags=["continuum"], enforce_parameter_schema=False,
    )  # fmt: skip


def processes(written: Written, serve: subprocess.Popen[str], name: str) -> list[int]:
    """The pid of a part of what we have started: the child of its supervisor."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()[1:]]
    rows = [(int(pid), int(parent), args) for pid, parent, args in lines]
    supervisors = {pid for pid, parent, _ in rows if parent == serve.pid}
    port = re.search(r"127.0.0.1:(\d+) max", (written.file.parent / "home/server/nginx.conf").read_text())
    sign = {"services": "services start", "server-1": f"--port {port[1]}" if port else ""}.get(name, name)
    return [pid for pid, parent, args in rows if parent in supervisors and sign in args]


def until(look: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def start(client: SyncPrefectClient, deployment: Any, written: Written, numbers: range, takes_s: float) -> list[Any]:
    given = {"ledger": str(written.ledger), "takes_s": takes_s}
    return [client.create_flow_run_from_deployment(deployment, parameters={"number": number, **given}).id
            for number in numbers]  # fmt: skip


def ended(client: SyncPrefectClient, runs: list[Any]) -> Counter[str] | None:
    """How the runs have ended, once all of them have."""
    time.sleep(len(runs) / 20)  # the servers have more to do than to answer this
    states = Counter(str(client.read_flow_run(run).state_name) for run in runs)
    return states if set(states) <= {"Completed", "Failed"} else None


def entries(written: Written) -> Counter[str]:
    return Counter(written.ledger.read_text().split()) if written.ledger.exists() else Counter()


def test_nobody_is_let_in_without_the_password(written: Written, serve: subprocess.Popen[str]) -> None:
    asked = {"json": {}, "timeout": 10}
    assert httpx.post(f"{written.url}/api/flow_runs/filter", **asked).status_code == 401
    right = tuple(written.env["PREFECT_API_AUTH_STRING"].split(":"))
    assert httpx.post(f"{written.url}/api/flow_runs/filter", auth=right, **asked).status_code == 200


def kill(written: Written, serve: subprocess.Popen[str], name: str) -> int:
    (pid,) = processes(written, serve, name)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_one_of_each_is_killed_and_every_run_acts_once(
    written: Written, serve: subprocess.Popen[str], client: SyncPrefectClient, deployment: Any
) -> None:
    runs = start(client, deployment, written, range(RUNS), TAKES_S)
    for name in KILLED:
        seen = len(entries(written))
        assert until(lambda seen=seen: len(entries(written)) > seen or len(entries(written)) == RUNS)
        before = kill(written, serve, name)  # a run has acted, and has not said so yet
        assert until(lambda before=before, name=name: set(processes(written, serve, name)) - {before})
    assert until(lambda: ended(client, runs)) == {"Completed": RUNS}
    assert_once(written, RUNS)
    assert max(client.read_flow_run(run).run_count for run in runs) > 1, "no run was hit: the test shows nothing"


def assert_once(written: Written, runs: int) -> None:
    """Each run has one intent, which ended: done, with one line in the ledger, or undone, with none."""
    store = Store.open(written.env["CONTINUUM_STORE_URL"])
    try:
        told = [(intent.subject, intent.state) for intent in Journal(store).intents()]
    finally:
        store.close()
    assert sorted(subject for subject, _ in told) == sorted(f"entry-{number}" for number in range(runs))
    assert entries(written) == {subject: 1 for subject, state in told if state == State.DONE}
    print(f"{runs} runs: {Counter(state for _, state in told)}")
    assert {state for _, state in told} <= {State.DONE, State.UNDONE}


@pytest.mark.skipif(not FULL_RUNS, reason="takes minutes: make test-production")
def test_servers_are_restarted_one_by_one_and_no_run_is_lost(
    written: Written, serve: subprocess.Popen[str], client: SyncPrefectClient, deployment: Any
) -> None:
    runs = start(client, deployment, written, range(RUNS, RUNS + FULL_RUNS), 0.0)
    said = written.file.parent / "said"
    for done in (0, FULL_RUNS // 2):
        assert until(lambda done=done: len(entries(written)) >= RUNS + done)
        before, told = processes(written, serve, "services"), said.read_text().count(ALL_RESTARTED)
        serve.send_signal(signal.SIGHUP)
        assert until(lambda told=told: said.read_text().count(ALL_RESTARTED) > told)
        assert processes(written, serve, "services") != before
    assert until(lambda: ended(client, runs)) == {"Completed": FULL_RUNS}
    assert_once(written, RUNS + FULL_RUNS)
    assert [client.read_flow_run(run).run_count for run in runs] == [1] * FULL_RUNS


def test_it_ends_and_leaves_nothing(written: Written, serve: subprocess.Popen[str]) -> None:
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(timeout=120) == 0
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(written.file.parent / "home") not in left
