"""A cluster on a clock that only moves when told to, and short ways to fill it and to look at it."""

from __future__ import annotations

import json
from typing import Any

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster

Json = dict[str, Any]

START_S = 1_800_000_000.0  # Friday 2027-01-15 08:00 UTC


class Play:
    """A simulated cluster and its clock."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = SimulatedClock(START_S, speed=0)
        self.cluster = SimulatedCluster("test", self.clock, seed, {})

    def advance(self, seconds: float) -> None:
        self.cluster.step()
        self.clock.advance(seconds)

    def nodes(self, *names: str, labels: Json | None = None) -> None:
        """Nodes that are Ready."""
        for name in names:
            room = {"cpu": "64", "memory": "256Gi", "pods": "110"}
            marks = {"continuum.io/simulated-kubelet": "true", **(labels or {})}
            self.cluster.create("nodes", {"metadata": {"name": name, "labels": marks},
                                          "status": {"capacity": room, "allocatable": room}})  # fmt: skip
        self.advance(2)

    def pod(self, name: str, spec: Json | None = None, container: Json | None = None, **annotations: str) -> None:
        """A pod of one container; annotations by the last part of their names, with underscores."""
        main = {"name": "main", "image": "web:1", **(container or {})}
        self.cluster.create("pods", {"metadata": {"name": name, "annotations": marks(**annotations)},
                                     "spec": {"containers": [main], **(spec or {})}})  # fmt: skip

    def get(self, resource: str, name: str) -> Json:
        return self.cluster.get(resource, name)

    def mark(self, resource: str, name: str, **annotations: str | None) -> None:
        """Set annotations, or remove them."""
        self.cluster.patch(resource, name, {"metadata": {"annotations": marks(**annotations)}})
        self.cluster.step()

    def phase(self, name: str) -> str:
        return str(self.get("pods", name)["status"]["phase"])

    def container(self, name: str, which: str = "containerStatuses") -> Json:
        """Status of a pod's first container."""
        return dict(self.get("pods", name)["status"][which][0])

    def state(self, name: str) -> str:
        """What a pod's container is doing: the reason it waits or ended, or `Running`."""
        form, state = next(iter(self.container(name)["state"].items()))
        return "Running" if form == "running" else str(state["reason"])

    def is_ready(self, resource: str, name: str) -> bool:
        return condition(self.get(resource, name), "Ready") == "True"

    def pods(self, selector: str = "app=web") -> list[Json]:
        return self.cluster.list("pods", label_selector=selector)

    def events(self, reason: str) -> list[Json]:
        return [entry for entry in self.cluster.list("events") if entry["reason"] == reason]

    def restore(self) -> None:
        """Go on from a snapshot, as after a restart."""
        snapshot = json.loads(json.dumps(self.cluster.snapshot()))
        self.cluster = SimulatedCluster.restore(snapshot, self.clock, 1, {})


def marks(**annotations: str | None) -> dict[str, str | None]:
    """Annotations by the last part of their names."""
    return {f"continuum.io/{name.replace('_', '-')}": value for name, value in annotations.items()}


def condition(obj: Json, kind: str) -> str:
    """Value of a condition; "" when it is not there."""
    found = obj.get("status", {}).get("conditions", [])
    return next((str(entry["status"]) for entry in found if entry["type"] == kind), "")


def template(labels: Json | None = None, spec: Json | None = None, **annotations: str) -> Json:
    """A pod template of one container, labelled app=web."""
    metadata = {"labels": {"app": "web", **(labels or {})}, "annotations": marks(**annotations)}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": "web:1"}], **(spec or {})}}
