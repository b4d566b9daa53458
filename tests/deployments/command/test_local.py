"""`continuum local up` as a person or a script runs it: one process, its files, its end."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

STILL = ("--speed", "0", "--start", "2026-03-02T08:00:00")


class Running:
    """A `local up --json` that has said where it serves."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "deployments.command", "local", "up", "--json", *words]
        self.process = subprocess.Popen(command, env=os.environ | (env or {}), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)
        self.kubeconfig = Path(self.told["kubeconfig"])

    def token(self, cluster: str, role: str = "admin") -> str:
        users = yaml.safe_load(self.kubeconfig.read_text())["users"]
        return next(str(entry["user"]["token"]) for entry in users if entry["name"] == f"{cluster}-{role}")

    def get(self, cluster: str, path: str, role: str = "admin") -> requests.Response:
        document = yaml.safe_load(self.kubeconfig.read_text())
        found = next(entry["cluster"] for entry in document["clusters"] if entry["name"] == cluster)
        verify: str | bool = True
        if "certificate-authority-data" in found:
            authority = self.kubeconfig.with_suffix(".crt")
            authority.write_bytes(base64.b64decode(found["certificate-authority-data"]))
            verify = str(authority)
        headers = {"Authorization": f"Bearer {self.token(cluster, role)}"}
        return requests.get(f"{found['server']}/{path}", headers=headers, verify=verify, timeout=10)

    def interrupted(self) -> tuple[int, str, str]:
        """Exit code, what was on stdout after the document, and stderr, after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        rest, errors = self.process.communicate(timeout=20)
        return self.process.returncode, rest, errors


@contextmanager
def running(*words: str, **more: Any) -> Iterator[Running]:
    child = Running(*words, **more)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.communicate()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("--clusters", "2", "--kubeconfig", str(tmp_path_factory.mktemp("k") / "config"), *STILL) as child:
        yield child


def test_it_tells_every_url_as_one_document_and_all_of_them_answer(two: Running) -> None:
    told = two.told
    assert told["simulated"]
    assert [cluster["name"] for cluster in told["clusters"]] == ["eu-eks", "us-gke"]
    for name in ("eu-eks", "us-gke"):
        assert two.get(name, "readyz").text == "ok"
        assert two.get(name, "api/v1/nodes").json()["items"]
    up = requests.get(f"{told['prometheus_url']}/api/v1/query?query=up", timeout=10).json()
    assert len(up["data"]["result"]) == 2
    assert requests.get(told["simulation_url"], timeout=10).json()["time"] == "2026-03-02T08:00:00+00:00"
    eks = requests.get(f"{told['cloud_urls']['eks']}/clusters", headers={"Authorization": "any"}, timeout=10)
    assert eks.json()["clusters"] == ["eu-eks"]


def test_the_kubeconfig_has_one_entry_per_cluster_and_a_context_per_role_admin_first(two: Running) -> None:
    document = yaml.safe_load(two.kubeconfig.read_text())
    assert [entry["name"] for entry in document["clusters"]] == ["eu-eks", "us-gke"]
    names = [entry["name"] for entry in document["contexts"]]
    assert names[:3] == ["eu-eks-admin", "eu-eks-operator", "eu-eks-viewer"]
    assert document["current-context"] == "eu-eks-admin"
    assert all(set(entry["user"]) == {"token"} for entry in document["users"])
    assert two.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_each_role_may_what_its_name_says(two: Running) -> None:
    assert two.get("eu-eks", "api/v1/secrets", "admin").status_code == 200
    assert two.get("eu-eks", "api/v1/pods", "viewer").status_code == 200
    assert two.get("eu-eks", "api/v1/secrets", "viewer").status_code == 403


def test_ctrl_c_ends_it_with_0_and_leaves_nothing_but_the_kubeconfig_asked_for(tmp_path: Path) -> None:
    with running("--clusters", "1", "--kubeconfig", str(tmp_path / "config"), env={"TMPDIR": str(tmp_path)}) as child:
        assert Path(child.told["fleet_file"]).exists()
        code, rest, errors = child.interrupted()
    assert (code, rest, errors) == (0, "", "stopped; nothing is left running\n")
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_a_kubeconfig_that_no_simulated_fleet_wrote_stays_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "config"
    mine.write_text("apiVersion: v1\nkind: Config\n")
    command = [sys.executable, "-m", "deployments.command", "local", "up", "--kubeconfig", str(mine)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is not of a simulated fleet" in refused.stderr
    assert mine.read_text() == "apiVersion: v1\nkind: Config\n"


def test_over_tls_the_certificate_of_the_kubeconfig_is_the_servers(tmp_path: Path) -> None:
    with running("--clusters", "1", "--tls", "--kubeconfig", str(tmp_path / "config"), *STILL) as child:
        assert child.told["clusters"][0]["server"].startswith("https://")
        assert child.get("eu-eks", "api/v1/nodes").json()["items"]
        if shutil.which("kubectl"):
            command = ["kubectl", f"--kubeconfig={child.kubeconfig}", "--context=eu-eks-viewer", "auth", "can-i"]
            environment = os.environ | {"HOME": str(tmp_path)}

            def may(*words: str) -> str:
                return subprocess.run([*command, *words], env=environment, capture_output=True, text=True,
                                      timeout=30, check=False).stdout.strip()  # fmt: skip

            assert (may("list", "pods"), may("delete", "nodes")) == ("yes", "no")


def story(child: Running) -> str:
    """A client's requests, two faults, an hour and more; everything that is there afterwards."""
    headers = {"Authorization": f"Bearer {child.token('eu-eks')}"}
    container = {"name": "m", "image": "i:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"replicas": 30, "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}}  # fmt: skip
    node = child.get("eu-eks", "api/v1/nodes").json()["items"][0]["metadata"]["name"]
    campaign = [{"kind": "node-kill", "cluster": "eu-eks", "node": node, "after_s": 60},
                {"kind": "pod-never-ready", "cluster": "us-gke", "name": "web-*", "for_s": 600}]  # fmt: skip
    for path, body in (
        ("clusters/eu-eks/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "x"}, "spec": spec}),
        ("faults", {"seed": 3, "faults": campaign}),
        ("simulation/advance", {"seconds": 4000}),
    ):
        answer = requests.post(f"{child.told['url']}/{path}", json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
    kinds = ("api/v1/nodes", "api/v1/pods", "apis/apps/v1/replicasets", "api/v1/events", "api/v1/serviceaccounts")
    return "".join(child.get(name, kind).text for name in ("eu-eks", "us-gke") for kind in kinds)


def test_the_same_seed_and_requests_give_the_same_objects_in_two_processes_side_by_side() -> None:
    words = ("--clusters", "2", "--seed", "11", *STILL)
    with running(*words, env={"PYTHONHASHSEED": "1"}) as one, running(*words, env={"PYTHONHASHSEED": "2"}) as other:
        assert story(one) == story(other)


def test_with_a_state_folder_the_next_start_goes_on(tmp_path: Path) -> None:
    words = ("--clusters", "1", "--state", str(tmp_path), *STILL)
    with running(*words) as child:
        requests.post(f"{child.told['simulation_url']}/advance", json={"seconds": 600}, timeout=60)
        before = child.get("eu-eks", "api/v1/pods").text
        assert child.interrupted()[0] == 0
    with running(*words) as again:
        assert requests.get(again.told["simulation_url"], timeout=10).json()["time"] == "2026-03-02T08:10:00+00:00"
        assert again.get("eu-eks", "api/v1/pods").text == before
