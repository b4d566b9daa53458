"""Runs as Jobs: Prefect's own Kubernetes worker, with its account of worker.yaml, against a simulated cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

import deployments
from blocks.fleet_file import load_fleet
from deployments.deploy import PREFECT, WORK_POOL, ensure_pool
from deployments.simulation import Simulation

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect")]

FOLDER = Path(deployments.__file__).parent / "kubernetes"
NAMESPACED = "/namespaces/continuum/"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": f"/api/v1{NAMESPACED}serviceaccounts",
    "Role": f"/apis/rbac.authorization.k8s.io/v1{NAMESPACED}roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1{NAMESPACED}rolebindings",
    "NetworkPolicy": f"/apis/networking.k8s.io/v1{NAMESPACED}networkpolicies",
}


class Api:
    """A simulated cluster as its admin sees it; unknown fields of an object are refused."""

    def __init__(self, simulation: Simulation) -> None:
        cluster = next(each for each in load_fleet(simulation.fleet_file).clusters if each.name == "us-gke")
        assert cluster.kubernetes.token
        self.server = str(cluster.kubernetes.server)
        self._headers = {"Authorization": f"Bearer {cluster.kubernetes.token.get_secret_value()}"}

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = requests.request(method, f"{self.server}{path}", headers=self._headers, timeout=10,
                                  params={"fieldValidation": "Strict"} if method == "POST" else {}, **body)  # fmt: skip
        assert answer.ok or answer.status_code == 409, answer.text  # other tests share the cluster
        return answer.json()


@pytest.fixture(scope="module")
def api(simulation: Simulation) -> Api:
    api = Api(simulation)
    for document in yaml.safe_load_all((FOLDER / "worker.yaml").read_text()):
        api("POST", PATHS[document["kind"]], json=document)
    return api


@pytest.fixture
def worker_env(api: Api, tmp_path: Path) -> dict[str, str]:
    """A kubeconfig with a token of the worker's account, and nothing more."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api("POST", f"{PATHS['ServiceAccount']}/continuum-worker/token", json=body)["status"]["token"]
    named = {"name": "one"}
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [named | {"cluster": {"server": api.server}}], "users": [named | {"user": {"token": token}}],
        "contexts": [named | {"context": {"cluster": "one", "user": "one", "namespace": "continuum"}}],
    }))  # fmt: skip
    values = yaml.safe_load((FOLDER / "values-worker.yaml").read_text())
    return {**os.environ, "KUBECONFIG": str(file), "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "PREFECT_API_AUTH_STRING": "continuum:not-for-jobs",
            **{each["name"]: each["value"] for each in values["worker"]["extraEnvVars"]}}  # fmt: skip


@pytest.fixture
def job(api: Api, worker_env: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """The Job of a run of a deployment, as the cluster holds it."""
    with get_client(sync_client=True) as client:
        assert ensure_pool(client, "kubernetes") == "created"
        flow_id = client.create_flow_from_name("energy-report")
        deployment = client.create_deployment(flow_id, "energy-report", work_pool_name=WORK_POOL,
                                              entrypoint="flows.energy_report.energy_report")  # fmt: skip
        client.create_flow_run_from_deployment(deployment)
    command = [*PREFECT, "worker", "start", "--pool", WORK_POOL, "--type", "kubernetes", "--run-once"]
    done = subprocess.run(command, env=worker_env, capture_output=True, text=True, timeout=300, check=False)
    jobs = api("GET", f"/apis/batch/v1{NAMESPACED}jobs")["items"]
    assert len(jobs) == 1, done.stdout + done.stderr
    return dict(jobs[0])


def test_a_run_becomes_a_job_that_may_nothing_it_does_not_need(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("continuum-runs", False)
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["envFrom"] == [{"secretRef": {"name": "continuum"}}]
    assert job["spec"]["backoffLimit"] == 0
    assert "not-for-jobs" not in json.dumps(job)
    assert {each["name"]: each.get("valueFrom") for each in container["env"]}["PREFECT_API_AUTH_STRING"] == {
        "secretKeyRef": {"name": "prefect-auth", "key": "auth-string"}
    }
