"""A hook that takes the data of workloads along, as their owner would run it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from blocks.errors import Conflict, ContinuumError
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from tests.faults.move_scenes import NAMESPACE, Clusters

Answer = Callable[[dict[str, Any]], dict[str, Any] | int]


class Hook:
    """A server that remembers what it was asked; what its answer cannot do is an error of its own."""

    def __init__(self, answer: Answer) -> None:
        asked: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append(body)
                try:
                    told = answer(body)
                except ContinuumError:
                    told = 500
                self.send_response(told if isinstance(told, int) else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.asked, self.server = asked, ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def verbs(self) -> list[str]:
        return [each["do"] for each in self.asked]

    def last(self, name: str) -> str:
        """What it was asked last of a workload; "" where nothing was."""
        return next((each["do"] for each in reversed(self.asked) if each["workload"] == f"{NAMESPACE}/{name}"), "")


def keeping(clusters: Clusters) -> Answer:
    """Saves and restores: the claims are there afterwards, and gone again when the move goes back."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        for name in body["claims"]:
            if body["do"] == "restore":
                with suppress(Conflict):
                    claim(clusters(body["target"]), name)
        return {"key": f"s3://backups/{body['move']}"}

    return answer


def claim(api: KubernetesApi, name: str) -> None:
    """A volume claim, where there is none yet."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
    api.create("persistentvolumeclaims", body, NAMESPACE)


def remove_claims(clusters: Clusters, name: str, *where: str) -> None:
    """Remove the claims of a StatefulSet, which outlive it."""
    for cluster in where:
        for each in clusters(cluster).list("persistentvolumeclaims", NAMESPACE):
            if each["metadata"]["name"].startswith(f"data-{name}-"):
                clusters(cluster).delete_at(path_of("persistentvolumeclaims", namespace=NAMESPACE),
                                            each["metadata"]["name"])  # fmt: skip
