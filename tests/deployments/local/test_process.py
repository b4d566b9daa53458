"""The simulated fleet as a child process: it starts, ends cleanly, and comes back after kill -9 as it was."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from blocks.fleet_file import load_fleet

ANY_SIGNATURE = {"Authorization": "any"}
UPDATE = "aws/clusters/eu-eks/node-groups/web/update-config"


class Running:
    """A child that has said where it serves."""

    def __init__(self, state: Path, *more: str) -> None:
        command = [sys.executable, "-m", "deployments.local", "--state", str(state), "--with-parent", *more]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)
        self.url: str = self.told["url"]

    def ended(self) -> tuple[int, str]:
        """Exit code and what was written to stderr."""
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url}/{path}", timeout=20).json()

    def post(self, path: str, body: Any) -> Any:
        answer = requests.post(f"{self.url}/{path}", json=body, headers=ANY_SIGNATURE, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


@contextmanager
def running(state: Path, *more: str) -> Iterator[Running]:
    child = Running(state, *more)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("state"), "--speed", "0", "--start", "2026-03-02T08:00") as started:
        yield started


def test_once_it_speaks_every_api_accepts_requests(child: Running) -> None:
    for cluster in load_fleet(child.told["fleet"]).clusters:
        assert cluster.kubernetes.server
        assert cluster.kubernetes.token
        headers = {"Authorization": f"Bearer {cluster.kubernetes.token.get_secret_value()}"}
        nodes = requests.get(f"{cluster.kubernetes.server}/api/v1/nodes", headers=headers, timeout=5).json()["items"]
        assert len(nodes) >= sum(pool.min_nodes for pool in cluster.node_pools)
        assert requests.get(f"{cluster.kubernetes.server}/api/v1/nodes", timeout=5).status_code in (401, 403)
    assert child.get("prometheus/api/v1/query?query=up")["status"] == "success"
    assert requests.get(f"{child.url}/aws/clusters", headers=ANY_SIGNATURE, timeout=5).json()["clusters"] == ["eu-eks"]


def test_answers_do_not_wait_for_delayed_acknowledgements(child: Running) -> None:
    with requests.Session() as http:
        took = []
        for _ in range(20):
            begin = time.monotonic()
            http.get(f"{child.url}/simulation", timeout=20).json()
            took.append(time.monotonic() - begin)
    assert min(took[10:]) < 0.03  # such an acknowledgement takes 40 ms; a connection is spared it at first


def test_simulated_time_starts_where_it_was_told_to(child: Running) -> None:
    assert child.get("simulation")["time"] == "2026-03-02T08:00:00+00:00"
    answer = child.get("prometheus/api/v1/query?query=time()")
    assert float(answer["data"]["result"][1]) == datetime.fromisoformat("2026-03-02T08:00:00+00:00").timestamp()


def test_the_kubeconfig_has_three_contexts_per_cluster_and_only_its_owner_reads_it(child: Running) -> None:
    document = yaml.safe_load(Path(child.told["kubeconfig"]).read_text())
    names = [context["name"] for context in document["contexts"]]
    assert names[:3] == ["eu-eks-admin", "eu-eks-operator", "eu-eks-viewer"]
    assert len(names) == 18
    for file in (child.told["kubeconfig"], child.told["fleet"]):
        assert Path(file).stat().st_mode & 0o777 == 0o600


def test_a_second_simulation_in_the_same_folder_is_refused(child: Running) -> None:
    command = [sys.executable, "-m", "deployments.local", "--state", str(Path(child.told["fleet"]).parent)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert "another simulated fleet runs in this folder" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_control_api_refuses_what_makes_no_sense(child: Running) -> None:
    for path, body in (("advance", {"seconds": -1}), ("speed", {"speed": "fast"}), ("advance", {}), ("speed", [])):
        answer = requests.post(f"{child.url}/simulation/{path}", json=body, timeout=5)
        assert answer.status_code == 400
        assert "To mend it" in answer.json()["error"]


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGINT"])
def test_it_ends_cleanly_while_a_watch_is_open(tmp_path: Path, end: str) -> None:
    with running(tmp_path) as child:
        cluster = load_fleet(child.told["fleet"]).clusters[0]
        assert cluster.kubernetes.token
        headers = {"Authorization": f"Bearer {cluster.kubernetes.token.get_secret_value()}"}
        url = f"{cluster.kubernetes.server}/api/v1/pods?watch=true"
        with requests.get(url, headers=headers, stream=True, timeout=5) as watch:
            assert watch.status_code == 200
            if end == "stdin":
                assert child.process.stdin is not None
                child.process.stdin.close()
            else:
                child.process.send_signal(signal.Signals[end])
            child.process.stdin = None
            assert child.ended() == (0, "")


def test_it_ends_at_once_while_a_fault_lets_a_request_hang(tmp_path: Path) -> None:
    with running(tmp_path, "--speed", "0") as child:
        child.post("faults", {"kind": "api", "api": "prometheus", "effect": "drop"})
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{child.url}/prometheus/api/v1/query?query=up", timeout=0.2)
        with socket.create_connection(("127.0.0.1", int(child.url.rpartition(":")[2]))) as hanging:
            hanging.sendall(b"GET /prometheus/api/v1/query?query=up HTTP/1.1\r\nHost: here\r\n\r\n")
            while child.get("faults")["active"][0]["struck"] < 2:
                continue
            child.process.send_signal(signal.SIGINT)
            child.process.stdin = None
            assert child.ended() == (0, "")


def test_after_kill_9_faults_go_on(tmp_path: Path) -> None:
    with running(tmp_path, "--speed", "0") as child:
        child.post("faults", {"kind": "cluster-kill", "cluster": "eu-eks"})
        child.post("faults", {"kind": "site-freeze", "site": "munich", "after_s": 60})
        before = child.get("faults")
        os.kill(child.told["pid"], signal.SIGKILL)
    with running(tmp_path, "--speed", "0") as again:
        assert again.get("faults") == before
        with pytest.raises(requests.ConnectionError):
            again.get("clusters/eu-eks/api")
        again.post("simulation/advance", {"seconds": 60})
        assert [fault["id"] for fault in again.get("faults")["active"]] == ["f1", "f2"]


def test_after_kill_9_pools_operations_and_time_are_there_again(tmp_path: Path) -> None:
    with running(tmp_path, "--speed", "20") as child:
        before = child.get("simulation")
        desired = before["clusters"][0]["node_pools"][0]["desired"]
        target = desired - 1 if desired > 3 else desired + 1
        update = child.post(UPDATE, {"scalingConfig": {"desiredSize": target}})["update"]
        seen = child.get("simulation")["time"]
        os.kill(child.told["pid"], signal.SIGKILL)
    with running(tmp_path, "--speed", "0") as again:
        mine = {operation["id"]: operation for operation in again.get("simulation/operations")}
        operation = mine[update["id"]]
        assert (operation["id"], operation["state"], operation["to"]) == (update["id"], "running", target)
        gap_s = (datetime.fromisoformat(seen) - datetime.fromisoformat(again.get("simulation")["time"])).total_seconds()
        assert gap_s < 20 * 2.5
        after = again.post("simulation/advance", {"seconds": 900})
        mine = {operation["id"]: operation for operation in again.get("simulation/operations")}
        operation = mine[update["id"]]
        assert operation["state"] == "done"
        pool = after["clusters"][0]["node_pools"][0]
        assert (pool["desired"], pool["ready"]) == (target, target)
