"""A workload that is to be moved between two simulated clusters, and what must be true of it whatever happens."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from blocks.errors import ContinuumError, NotFound
from blocks.fleet import Fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.tables import Intent, State, now
from tasks.migration.moves import MovePlan, Mover, Pace, World, plan_move
from tasks.migration.moves.closure import MOVED_BY
from tests.faults.scenes import LATER

SOURCE, TARGET, NAMESPACE = "eu-eks", "us-gke", "default"
REPLICAS = 3
SLOW_S = 300
QUICK = Pace(patience_s=6.0, soak_s=0.1, check_s=0.02, away_s=1.5, poll_s=0.03, lease_s=60)
MADE = ("deployments", "configmaps", "services", "poddisruptionbudgets", "serviceaccounts", "secrets")


@dataclass
class Clusters:
    """Connections by cluster, made once in each process."""

    fleet: Fleet
    open: dict[tuple[int, str], KubernetesApi] = field(default_factory=dict)

    def __call__(self, name: str) -> KubernetesApi:
        key = os.getpid(), name
        if key not in self.open:
            cluster = next(each for each in self.fleet.clusters if each.name == name)
            self.open[key] = KubernetesApi.connect(cluster)
        return self.open[key]


_runs = itertools.count()


def mover_of(clusters: Clusters, *, pace: Pace = QUICK, **more: Any) -> Mover:
    """An owner of its own, of a later time than all before it: their leases have ended."""
    later = next(_runs) * LATER
    return Mover(
        Journal(Store.open(), clock=lambda: now() + later), World(clusters, time.monotonic, time.sleep, pace, **more)
    )


def deploy(api: KubernetesApi, name: str, start_s: int = 0, **changes: Any) -> None:
    """A Deployment with a ConfigMap, a ServiceAccount, a Service and a budget; all Ready when this returns.

    start_s: simulated seconds until a pod is Ready; with `SLOW_S` a watcher sees when too few are.
    """
    labels = {"app": name}
    meta = {"name": name, "namespace": NAMESPACE}
    api.create(
        "configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mode": "shop"}}, NAMESPACE
    )
    api.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}, NAMESPACE)
    api.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": meta,
                            "spec": {"selector": labels, "ports": [{"port": 80}]}}, NAMESPACE)  # fmt: skip
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    api.create("poddisruptionbudgets", {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta,
                                        "spec": budget}, NAMESPACE)  # fmt: skip
    container: dict[str, Any] = {
        "name": "web", "image": "registry.example/web:1", "envFrom": [{"configMapRef": {"name": name}}],
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
    }  # fmt: skip
    if start_s:
        container["readinessProbe"] = {"tcpSocket": {"port": 80}, "initialDelaySeconds": start_s, "periodSeconds": 5}
    pods = {"serviceAccountName": name, "terminationGracePeriodSeconds": 0, "containers": [container]}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods | changes}}  # fmt: skip
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    api.create("deployments", made, NAMESPACE)
    until(lambda: ready(api, name) >= REPLICAS)


def until(look: Callable[[], Any], patience_s: float = 20.0) -> None:
    """Wait for a simulated fleet that runs by its own clock."""
    end = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.03)


def ready(api: KubernetesApi, name: str) -> int:
    try:
        return int(api.get("deployments", name, NAMESPACE)["status"].get("readyReplicas") or 0)
    except NotFound:
        return 0


def ready_pods(api: KubernetesApi, name: str) -> int:
    """Pods of the workload that can serve: Ready, and not on their way out."""
    found = api.list("pods", NAMESPACE, label_selector=f"app={name}")
    return sum(
        not pod["metadata"].get("deletionTimestamp") and any(
            each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or ())
        for pod in found
    )  # fmt: skip


class Watcher:
    """Counts the Ready pods of one workload in both clusters, again and again, in a thread of its own."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._clusters, self._name, self.least, self.looks = Clusters(fleet), name, 10**6, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            try:  # the target first: pods that arrive there between the two looks count in neither, never in both
                self.least = min(
                    self.least, sum(ready_pods(self._clusters(each), self._name) for each in (TARGET, SOURCE))
                )
                self.looks += 1
            except ContinuumError:
                continue


@dataclass(frozen=True)
class Found:
    """What is there of a workload after all has ended."""

    source: int
    target: int
    left: tuple[str, ...]

    @property
    def lost(self) -> bool:
        return max(self.source, self.target) < REPLICAS

    @property
    def doubled(self) -> bool:
        return self.source > 0 and self.target > 0


def look(clusters: Clusters, name: str, intent: Intent) -> Found:
    """Pods by cluster, and what a move that did not end as done has left in the target."""
    target = clusters(TARGET)
    left = [f"{resource}/{each['metadata']['name']}" for resource in MADE for each in target.list(resource, NAMESPACE)
            if name in each["metadata"]["name"] and (each["metadata"].get("labels") or {}).get(MOVED_BY)]  # fmt: skip
    hold = [each for each in left if "continuum-hold" in each]
    return Found(
        ready_pods(clusters(SOURCE), name),
        ready_pods(target, name),
        tuple(hold if intent.state == State.DONE else left),
    )


def planned(clusters: Clusters, name: str, **more: Any) -> MovePlan:
    return plan_move(clusters(SOURCE), clusters(TARGET), NAMESPACE, name, cause="a test", **more)
