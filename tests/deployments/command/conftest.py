"""A small server that speaks what discovery reads: nodes of Kubernetes clusters, and the clouds' lists."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml


@dataclass
class World:
    """`answers` maps a path to its JSON; whatever is not in it is answered 404, in HTML."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def cluster(self, name: str, *nodes: dict[str, Any]) -> dict[str, Any]:
        """A cluster with these nodes; its kubeconfig entry."""
        self.answers[f"/clusters/{name}/api/v1/nodes"] = {"kind": "NodeList", "metadata": {}, "items": list(nodes)}
        return {"name": name, "cluster": {"server": f"{self.url}/clusters/{name}"}}

    def kubeconfig(self, path: Path, *entries: dict[str, Any]) -> Path:
        """A kubeconfig with one context a cluster."""
        names = [entry["name"] for entry in entries]
        contexts = [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names]
        document = {
            "contexts": contexts,
            "clusters": list(entries),
            "users": [{"name": "me", "user": {"token": "hunter2"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def eks(self, name: str, endpoint: str, groups: dict[str, dict[str, Any]]) -> None:
        """An EKS cluster with its node groups."""
        at = f"/aws/clusters/{name}"
        self.answers["/aws/clusters"] = {
            "clusters": [*self.answers.get("/aws/clusters", {"clusters": []})["clusters"], name]
        }
        self.answers[at] = {"cluster": {"name": name, "endpoint": endpoint}}
        self.answers[f"{at}/node-groups"] = {"nodegroups": list(groups)}
        for group, body in groups.items():
            self.answers[f"{at}/node-groups/{group}"] = {"nodegroup": {"nodegroupName": group, **body}}


class _Handler(BaseHTTPRequestHandler):
    world: World

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.world.asked.append(path)
        found = self.world.answers.get(path)
        data = b"<html>nothing here</html>" if found is None else json.dumps(found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "text/html" if found is None else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    world = World()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"world": world}))
    http.daemon_threads = True
    world.url = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield world
    http.shutdown()
    http.server_close()
