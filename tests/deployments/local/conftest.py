"""A few verbs of a cluster, enough to see what node pools do to nodes and pods; and the fleet they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.local.clock import SimulatedClock
from deployments.local.files import FLEET_FILE
from deployments.local.kubernetes.status import StatusError
from deployments.local.node_pools import NodePools

START_S = 1_780_000_000.0


class StandInCluster:
    """Nodes are Ready at once unless `boots` says no; evicted pods go at once unless `budget` is 0."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"nodes": {}, "pods": {}}
        self.budget = 10**6
        self.boots = True

    def create(self, resource: str, obj: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        if self.boots and resource == "nodes":
            obj["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        self.objects[resource][obj["metadata"]["name"]] = obj
        return obj

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        if name not in self.objects[resource]:
            raise StatusError(404, "NotFound", name)
        return self.objects[resource][name]

    def list(self, resource: str, namespace: str | None = None, label_selector: str | None = None) -> Any:
        return list(self.objects[resource].values())

    def patch(
        self, resource: str, name: str, body: Any, patch_type: str = "merge", namespace: str | None = None
    ) -> dict[str, Any]:
        self.get(resource, name)["spec"].update(body["spec"])
        return self.get(resource, name)

    def delete(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        self.get(resource, name)
        return self.objects[resource].pop(name)

    def evict(self, name: str, namespace: str) -> dict[str, Any]:
        if self.budget <= 0:
            raise StatusError(429, "TooManyRequests", name)
        self.budget -= 1
        return self.delete("pods", name)

    def step(self) -> None: ...

    def add_pods(self, node: str, count: int) -> None:
        for number in range(count):
            name = f"{node}-{number}"
            self.objects["pods"][name] = {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"nodeName": node},
            }


@pytest.fixture(scope="session")
def stand_in() -> type[StandInCluster]:
    return StandInCluster


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(FLEET_FILE)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START_S, speed=0)


@pytest.fixture
def clusters(fleet: Fleet) -> dict[str, StandInCluster]:
    return {cluster.name: StandInCluster() for cluster in fleet.clusters}


@pytest.fixture
def make_pools(fleet: Fleet, clock: SimulatedClock, clusters: dict[str, StandInCluster]) -> Callable[..., NodePools]:
    def make(**more: Any) -> NodePools:
        return NodePools(fleet, clock, clusters, seed=7, **more)

    return make


@pytest.fixture
def pools(make_pools: Callable[..., NodePools], clock: SimulatedClock) -> NodePools:
    """Every pool with 5 nodes that have joined and are Ready."""
    made = make_pools()
    made.populate({f"{cluster.name}/{pool.name}": 5 for cluster, pool in made.fleet.pools()})
    clock.advance(60)
    return made
