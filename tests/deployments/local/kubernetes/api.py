"""A simulated cluster asked over its HTTP layer, in process: no socket, no thread, no wall time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.http import KubernetesApp

Json = dict[str, Any]

TOKENS = {"admin": "admin", "operator": "operator", "viewer": "viewer"}
MERGE, STRATEGIC, JSON_PATCH, APPLY = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)


class Reply(NamedTuple):
    """What came back."""

    code: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.raw)

    @property
    def fields(self) -> list[str]:
        """Fields of the causes of a failure."""
        return [cause["field"] for cause in self.body.get("details", {}).get("causes", ())]


class Api:
    """One cluster with the tokens admin, operator and viewer."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = SimulatedClock(1_800_000_000.0, speed=0)
        self.cluster = SimulatedCluster("test", self.clock, seed, TOKENS)
        self._app = KubernetesApp(self.cluster)

    def advance(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.cluster.step()
        self.clock.advance(seconds)

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = "admin", kind: str = "application/json",
        accept: str = "", headers: dict[str, str] | None = None, **query: str,
    ) -> Reply:  # fmt: skip
        """Send one request; a body that is no bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": kind, "accept": accept or "application/json", **(headers or {})}
        if token:
            sent["authorization"] = f"Bearer {token}"
        return asyncio.run(self._send(method, path, raw, sent, query))

    async def _send(self, method: str, path: str, raw: bytes, headers: dict[str, str], query: dict[str, str]) -> Reply:
        scope = {
            "type": "http", "method": method, "path": path, "root_path": "", "query_string": urlencode(query).encode(),
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        }  # fmt: skip
        messages: list[Json] = []

        async def receive() -> Json:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        start = messages[0]
        answered = {key.decode(): value.decode() for key, value in start["headers"]}
        return Reply(start["status"], answered, b"".join(part.get("body", b"") for part in messages[1:]))

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: str) -> Reply:
        """PATCH, a merge patch unless told otherwise."""
        return self("PATCH", path, body, kind=kind, **query)

    def apply(self, path: str, body: Any, manager: str = "me", **query: str) -> Reply:
        """Server-side apply."""
        return self("PATCH", path, body, kind=APPLY, fieldManager=manager, **query)


def pod_template(**labels: str) -> Json:
    """The smallest template that is sound."""
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": [{"name": "m", "image": "i:1"}]}}


def deployment(name: str = "web", **spec: Any) -> Json:
    """A Deployment that is sound."""
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": pod_template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
