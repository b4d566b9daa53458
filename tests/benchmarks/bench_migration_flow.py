"""A hundred moves between two simulated clusters by the flow, end to end: seconds, and Prefect task runs.

Run: `make bench-migration`. The fleet runs at 60 times real speed; soak and checks take no time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from blocks.fleet_file import load_fleet
from deployments.prefect_server import prefect_server
from deployments.simulation import ready, starting_simulation

MOVES = 100
MUST_S, MUST_RUNS = 120, 60
SOURCE, TARGET = "us-gke", "eu-eks"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {"CONTINUUM_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR"}
        with (
            starting_simulation(home / "local", speed=60, seed=7, start="2026-03-10T09:20:00+00:00") as child,
            prefect_server(home / "prefect") as server,
        ):
            server.become_client()
            simulation = ready(child)
            sys.stdout.write(json.dumps(measure(simulation.fleet_file), indent=2) + "\n")


def measure(fleet_file: Path) -> dict[str, object]:
    """Deploy, move, and count."""
    from prefect.client.orchestration import get_client

    from blocks.inventory import save_fleet
    from blocks.kubernetes import KubernetesApi
    from flows.workload_migration import MigrationRequest, workload_migration

    fleet = load_fleet(fleet_file)
    save_fleet(fleet, "default")
    apis = {each.name: KubernetesApi.connect(each) for each in fleet.clusters if each.name in (SOURCE, TARGET)}
    names = [f"shop-{number}" for number in range(MOVES)]
    for name in names:
        labels = {"app": name}
        container = {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
        apis[SOURCE].create("deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
        }, "default")  # fmt: skip
    while sum(int(each["status"].get("readyReplicas") or 0) for each in _ours(apis[SOURCE], names)) < MOVES:
        time.sleep(0.5)
    workloads = [{"name": name, "users": {"munich": 1}, "allowed": [SOURCE, TARGET]} for name in names]
    request = MigrationRequest.model_validate({"mode": "act", "workloads": workloads, "cap_percent": 100, "soak_s": 0,
                                               "check_s": 0})  # fmt: skip
    begin, cpu = time.perf_counter(), time.process_time()
    told = workload_migration(request)
    took, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    with get_client(sync_client=True) as client:
        runs = client.request("POST", "/task_runs/count", json={}).json()
    done = sum(1 for row in told["decisions"] if (row["result"] or {}).get("state") == "done")
    there = len([each for each in _ours(apis[TARGET], names) if each["status"].get("readyReplicas")])
    return {"moves": done, "ready_in_target": there, "left_in_source": len(_ours(apis[SOURCE], names)),
            "seconds": round(took, 1), "must_s": MUST_S, "cpu_s": round(cpu_s, 1), "task_runs": runs,
            "must_task_runs": MUST_RUNS}  # fmt: skip


def _ours(api: object, names: list[str]) -> list[dict]:  # type: ignore[type-arg]
    found = api.list("deployments", "default")  # type: ignore[attr-defined]
    return [each for each in found if each["metadata"]["name"] in names]


if __name__ == "__main__":
    main()
