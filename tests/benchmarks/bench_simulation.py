"""Measures the simulated fleet as its users meet it, from outside: one `continuum local up`, over HTTP. Prints JSON.

Run: `python tests/benchmarks/bench_simulation.py [--clusters 6] [--nodes 50] [--pods 500] [--runs 3]`.

Every cluster gets so many nodes and pods beside those that its demand asks for. CPU is the server process's own
(user + system, /proc), so a busy machine does not count; start is wall time from the command to its URLs. A figure is
the median of the runs; memory is the largest. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

REQUESTS = 200
DAY_S = 86_400
PATIENCE_S = 600


class Fleet:
    """A running simulated fleet, and what its process has used."""

    def __init__(self, process: subprocess.Popen[str], start_wall_s: float, told: dict[str, Any]) -> None:
        self.process, self.start_wall_s, self.told = process, start_wall_s, told
        document = yaml.safe_load(Path(told["kubeconfig"]).read_text())
        self.names = [entry["name"] for entry in document["clusters"]]
        tokens = {entry["name"]: entry["user"]["token"] for entry in document["users"]}
        self.tokens = {name: tokens[f"{name}-admin"] for name in self.names}
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, cluster: str, method: str, path: str, body: Any = None, form: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[cluster]}", "Content-Type": form}
        url = f"{self.told['url']}/clusters/{cluster}/{path}"
        answer = self.http.request(method, url, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def control(self, what: str, **body: Any) -> None:
        answer = self.http.post(f"{self.told['simulation_url']}/{what}", json=body, timeout=PATIENCE_S)
        answer.raise_for_status()

    def cpu_s(self) -> float:
        """User and system seconds of the server so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """Largest resident memory of the server so far, 10^6 bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6

    def cost_s(self, work: Callable[[], object]) -> float:
        """Server CPU seconds of some work."""
        before = self.cpu_s()
        work()
        return self.cpu_s() - before


@contextmanager
def fleet(clusters: int) -> Iterator[Fleet]:
    """A fleet whose time stands still until it is advanced."""
    command = [sys.executable, "-m", "deployments.command", "local", "up", "--json", "--speed", "0",
               "--clusters", str(clusters), "--start", "2026-03-02T08:00:00"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        process = subprocess.Popen(
            [*command, "--kubeconfig", f"{folder}/kubeconfig"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Fleet(process, time.monotonic() - begin, told)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def fill(fleet: Fleet, nodes: int, pods: int) -> None:
    """Add so many nodes and pods to what every cluster of the demo has."""
    room = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    container = {"name": "work", "image": "registry.example/work:1",
                 "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}}}  # fmt: skip
    for name in fleet.names:
        for number in range(nodes):
            metadata = {"name": f"bench-{number}", "labels": {"continuum.io/simulated-kubelet": "true", "bench": "yes"}}
            body = {"metadata": metadata, "status": {"capacity": room, "allocatable": room}}
            fleet.ask(name, "POST", "api/v1/nodes", body)
        template = {"metadata": {"labels": {"app": "bench"}},
                    "spec": {"nodeSelector": {"bench": "yes"}, "containers": [container]}}  # fmt: skip
        spec = {"replicas": pods, "selector": {"matchLabels": {"app": "bench"}}, "template": template}
        body = {"metadata": {"name": "bench"}, "spec": spec}
        fleet.ask(name, "POST", "apis/apps/v1/namespaces/default/deployments", body)
    fleet.control("advance", seconds=60)
    for name in fleet.names:
        told = fleet.ask(name, "GET", "apis/apps/v1/namespaces/default/deployments/bench")["status"]
        assert told.get("readyReplicas") == pods, f"{name}: {told.get('readyReplicas', 0)} of {pods} pods are ready"


def measured(clusters: int, nodes: int, pods: int) -> dict[str, float]:
    """One run."""
    with fleet(clusters) as found:
        first = found.names[0]
        result = {"start_wall_s": found.start_wall_s, "start_cpu_s": found.cpu_s(), "start_mb": found.peak_mb()}
        result["fill_cpu_s"] = found.cost_s(lambda: fill(found, nodes, pods))
        result["filled_mb"] = found.peak_mb()
        selector = "api/v1/pods?limit=500"
        result["list_cpu_ms"] = 1000 / REQUESTS * found.cost_s(
            lambda: [found.ask(first, "GET", selector) for _ in range(REQUESTS)])  # fmt: skip
        path, form = "apis/apps/v1/namespaces/default/deployments/bench", "application/strategic-merge-patch+json"
        result["patch_cpu_ms"] = 1000 / REQUESTS * found.cost_s(
            lambda: [found.ask(first, "PATCH", path, {"metadata": {"labels": {"n": str(n)}}}, form)
                     for n in range(REQUESTS)])  # fmt: skip
        node = found.ask(first, "GET", "api/v1/nodes?limit=1")["items"][0]["metadata"]["name"]
        result["patch_node_cpu_ms"] = 1000 / REQUESTS * found.cost_s(
            lambda: [found.ask(first, "PATCH", f"api/v1/nodes/{node}", {"metadata": {"labels": {"n": str(n)}}}, form)
                     for n in range(REQUESTS)])  # fmt: skip
        result["day_cpu_s"] = found.cost_s(lambda: found.control("advance", seconds=DAY_S))
        result["after_a_day_mb"] = found.peak_mb()
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--nodes", type=int, default=50, help="added to each cluster")
    parser.add_argument("--pods", type=int, default=500, help="added to each cluster")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    runs = [measured(asked.clusters, asked.nodes, asked.pods) for _ in range(asked.runs)]
    figures = {name: round((max if name.endswith("_mb") else statistics.median)(run[name] for run in runs), 2)
               for name in runs[0]}  # fmt: skip
    print(json.dumps({"benchmark": "simulated fleet", **vars(asked), **figures}, indent=2))


if __name__ == "__main__":
    main()
