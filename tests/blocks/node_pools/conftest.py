"""The simulated clouds behind a real socket, for the official SDKs; and a scripted server for what clouds do wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from blocks.errors import NotFound
from blocks.fleet import Cluster, Fleet
from blocks.node_pools.guards import Waiter
from deployments.local import aks, eks, gke
from deployments.local.clock import SimulatedClock
from deployments.local.node_pools import NodePools

CLOUD = {
    "eks": {"region": "eu-central-1"},
    "gke": {"region": "us-east4-a", "project": "p"},
    "aks": {"region": "asia", "subscription": "00000000-0000-4000-8000-000000000001", "resource_group": "g"},
}
PREFIX = {"eks": "/aws", "gke": "/gcp", "aks": "/azure"}
NODE = {"instance_type": "m5.xlarge", "node_cpu": 4, "node_memory": "16Gi"}


class NodesOnly:
    """A cluster in which a node is Ready as soon as it is created."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}

    def create(self, resource: str, obj: Any, namespace: str | None = None) -> Any:
        obj.setdefault("status", {})["conditions"] = [{"type": "Ready", "status": "True"}]
        self.nodes[obj["metadata"]["name"]] = obj
        return obj

    def get(self, resource: str, name: str, namespace: str | None = None) -> Any:
        if name not in self.nodes:
            raise NotFound(name)
        return self.nodes[name]

    def list(self, resource: str, *_: Any, **__: Any) -> Any:
        return list(self.nodes.values()) if resource == "nodes" else []

    def patch(self, resource: str, name: str, body: Any, *_: Any, **__: Any) -> Any:
        self.get(resource, name)["spec"].update(body["spec"])
        return self.nodes[name]

    def delete(self, resource: str, name: str, namespace: str | None = None) -> Any:
        return self.nodes.pop(name, None)

    def step(self) -> None:
        """Nothing runs by itself here."""


def cloud_cluster(provider: str, endpoint_url: str, **cloud: Any) -> Cluster:
    pools = [
        {"name": "web", "min_nodes": 2, "max_nodes": 20, **NODE},
        {"name": "mine", "min_nodes": 1, "max_nodes": 9, "autoscaler": "cluster-autoscaler", **NODE},
        {"name": "theirs", "min_nodes": 1, "max_nodes": 9, "hands_off": True, **NODE},
    ]
    access = {**CLOUD[provider], "endpoint_url": endpoint_url, **cloud}
    return Cluster(name=f"c-{provider}", site="s", provider=provider, cloud=access, node_pools=pools)


class Clouds:
    """`cluster(provider)` describes a simulated cluster; `pools` is the truth behind it; `after(s)` moves its time."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(1_780_000_000.0, speed=0)
        site = {"name": "s", "tier": "cloud-region", "latitude": 0, "longitude": 0}
        described = [cloud_cluster(provider, "http://unused") for provider in CLOUD]
        metrics = {"url": "http://unused"}
        self.fleet = Fleet.model_validate(
            {"name": "f", "metrics": metrics, "sites": [site], "clusters": [c.model_dump() for c in described]}
        )
        self.pools = NodePools(self.fleet, self.clock, {c.name: NodesOnly() for c in described}, seed=7)
        self.pools.populate({f"{c.name}/{p.name}": 5 for c, p in self.fleet.pools()})
        self.url = ""

    def cluster(self, provider: str) -> Cluster:
        return cloud_cluster(provider, self.url + PREFIX[provider])

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def app(self) -> Starlette:
        apps = {"eks": eks.app(self.pools), "gke": gke.app(self.pools), "aks": aks.app(self.pools)}
        return Starlette(routes=[Mount(PREFIX[name], app) for name, app in apps.items()])


@pytest.fixture(scope="session")
def socket_of() -> Iterator[tuple[str, dict[str, Starlette]]]:
    """One server for all tests; what it serves is put into the dict under "app"."""
    serving: dict[str, Starlette] = {}

    async def current(scope: Any, receive: Any, send: Any) -> None:
        await serving["app"](scope, receive, send)

    process = uvicorn.Server(uvicorn.Config(current, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    while not process.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}", serving
    process.should_exit = True
    thread.join(5)


@pytest.fixture
def clouds(socket_of: tuple[str, dict[str, Starlette]]) -> Clouds:
    made = Clouds()
    made.url, serving = socket_of
    serving["app"] = made.app()
    return made


@pytest.fixture
def waiter(fake_time, clouds) -> Waiter:
    """Waiting moves the simulated clock instead of this machine's."""

    def sleep(seconds: float) -> None:
        fake_time.sleep(seconds)
        clouds.after(seconds)

    return Waiter(fake_time.clock, sleep)
