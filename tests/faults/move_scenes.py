"""A workload that is to be moved between two simulated clusters, and what must be true of it whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import requests

from blocks.fleet import Fleet
from blocks.http import retry_policy
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import path_of
from blocks.store import Journal, Store
from blocks.store.tables import now
from tasks.migration.moves import MovePlan, Mover, Pace, World, plan_move
from tests.faults.scenes import LATER

SOURCE, TARGET, NAMESPACE = "eu-eks", "us-gke", "default"
REPLICAS = 3
START_S = 60  # simulated seconds until a pod is Ready: long enough for a watcher to see that too few are
QUICK = Pace(patience_s=3.0, soak_s=0.05, check_s=0.02, away_s=1.0, poll_s=0.02)
ANSWER_S = 2.0  # that a mover of the campaign waits for an answer
MADE = ("deployments", "statefulsets", "configmaps", "services", "poddisruptionbudgets", "serviceaccounts", "secrets")


@dataclass
class Clusters:
    """Connections by cluster, made once in each process. Quick ones wait and ask again as others do, for less long.

    later: how far the clocks of those who ask are ahead: Leases of earlier owners have ended by then.
    """

    fleet: Fleet
    open: dict[tuple[int, str], KubernetesApi] = field(default_factory=dict)
    later: timedelta = timedelta()
    quick: bool = False

    def __call__(self, name: str) -> KubernetesApi:
        key = os.getpid(), name
        if key not in self.open:
            cluster = next(each for each in self.fleet.clusters if each.name == name)
            api = self.open[key] = KubernetesApi.connect(cluster)
            api._now = lambda: now() + self.later
            if self.quick:
                api._timeout_s, configuration = ANSWER_S, api._client.configuration
                configuration.retries = retry_policy(retries=1, backoff_s=0.02)
                api._client.rest_client = type(api._client.rest_client)(configuration)
        return self.open[key]


_runs = itertools.count()


def mover_of(clusters: Clusters, *, pace: Pace = QUICK, store: Store | None = None, **more: Any) -> Mover:
    """An owner of its own, of a later time than all before it, when their leases have ended; of this time elsewhere."""
    if store is None:
        clusters.later = next(_runs) * LATER
    later = clusters.later
    return Mover(
        Journal(store or Store.open(), clock=lambda: now() + later),
        World(clusters, time.monotonic, time.sleep, pace, **more),
    )


def deploy(api: KubernetesApi, name: str, start_s: int = 0, *, hook: str = "", **changes: Any) -> None:
    """A Deployment with a ConfigMap, a ServiceAccount, a Service and a budget; all Ready when this returns.

    start_s: simulated seconds until a pod is Ready. hook: URL of what takes its data along; then it is a StatefulSet.
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
    if hook:
        claims = [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]  # fmt: skip
        more = {"serviceName": name, "podManagementPolicy": "Parallel", "volumeClaimTemplates": claims}
        marks = {"annotations": {"continuum.io/move-hook": hook}}
        made |= {"kind": "StatefulSet", "metadata": meta | marks, "spec": spec | more}
    api.create("statefulsets" if hook else "deployments", made, NAMESPACE)
    until(lambda: ready_pods(api, name) >= REPLICAS)


def until(
    look: Callable[[], Any], patience_s: float = 20.0, why: Callable[[], str] = lambda: "it did not come true"
) -> None:
    """Wait for what runs by its own clock; `why` tells what was seen instead."""
    end = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end, why()
        time.sleep(0.03)


def ready_pods(api: KubernetesApi, name: str) -> int:
    """Pods of the workload that can serve: Ready, and not on their way out."""
    return sum(map(serves, api.list("pods", NAMESPACE, label_selector=f"app={name}")))


def serves(pod: dict[str, Any]) -> bool:
    """Whether a pod is Ready, and not on its way out."""
    conditions = pod["status"].get("conditions") or ()
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return is_ready and not pod["metadata"].get("deletionTimestamp")


class Watcher:
    """Hears of every pod in both clusters through the API's watch, and tells how few could serve at any moment.

    Whatever happens while a cluster cannot be heard is told when it is back. The two streams are put in one order
    by the times in the pods themselves, of the one simulated clock: whole seconds, of which 300 make one of ours.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.events, self.gaps = fleet, 0, 0
        self._ended = threading.Event()
        self._serving: dict[str, dict[tuple[str, str], bool]] = {}
        self._changes: dict[str, list[tuple[str, int]]] = {}

    def __enter__(self) -> Watcher:
        for name in (SOURCE, TARGET):  # they end with the streams, which the server ends
            threading.Thread(target=self._listen, args=(name,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def serving(self, name: str) -> int:
        """Pods of a workload that can serve, as far as was heard."""
        return sum(list(self._serving.get(name, {}).values()))

    def least(self, name: str) -> int:
        """Fewest pods of a workload that could serve at any moment since there were `REPLICAS` for the first time."""
        count, least = 0, -1
        for _, change in sorted(self._changes.get(name, ()), key=lambda each: (each[0], -each[1])):
            count += change
            least = count if least < 0 and count == REPLICAS else min(least, count)
        return least

    def _listen(self, name: str) -> None:
        """Every change of a pod, in order, from the first on; a stream that was cut is taken up where it ended."""
        access = next(cluster for cluster in self.fleet.clusters if cluster.name == name).kubernetes
        assert access.token is not None
        headers = {"Authorization": f"Bearer {access.token.get_secret_value()}"}
        url, since = f"{access.server}/api/v1/namespaces/{NAMESPACE}/pods", 0
        with requests.Session() as http:
            http.trust_env = False
            while not self._ended.wait(0.02):
                asked = {"watch": "1", "timeoutSeconds": "900", "resourceVersion": str(since)}
                with suppress(requests.RequestException, ValueError), http.get(
                    url, params=asked, headers=headers, stream=True, timeout=(2, 900)
                ) as answer:  # fmt: skip
                    answer.raise_for_status()
                    for line in answer.iter_lines(chunk_size=None):
                        event = json.loads(line)
                        if event["type"] == "ERROR":  # the server does not remember that far back
                            since, self.gaps = 0, self.gaps + 1
                            break
                        since = max(since, int(event["object"]["metadata"]["resourceVersion"]))
                        self._note(name, event["object"], gone=event["type"] == "DELETED")

    def _note(self, cluster: str, pod: dict[str, Any], *, gone: bool) -> None:
        name = str((pod["metadata"].get("labels") or {}).get("app"))
        here, key = self._serving.setdefault(name, {}), (cluster, pod["metadata"]["uid"])
        before, after = here.get(key, False), serves(pod) and not gone
        self.events, here[key] = self.events + 1, after
        if before != after:
            ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
            ended = "" if after else pod["metadata"].get("deletionTimestamp")
            self._changes.setdefault(name, []).append((ended or ready["lastTransitionTime"], 1 if after else -1))


@dataclass(frozen=True)
class Found:
    """What is there of a workload after all has ended: Ready pods by cluster, and what a move has left."""

    source: int
    target: int
    left: tuple[str, ...]

    def lost(self, expected: int = REPLICAS) -> bool:
        return max(self.source, self.target) < expected

    @property
    def doubled(self) -> bool:
        return self.source > 0 and self.target > 0


def look(clusters: Clusters, name: str, *, done: bool) -> Found:
    """Pods by cluster, and what a move has left where nothing should be: what held room, copies, leftovers."""
    empty = SOURCE if done else TARGET
    left = [f"{each}: {what}" for each in (SOURCE, TARGET) for what in there(clusters(each), name)
            if each == empty or "continuum-hold" in what]  # fmt: skip
    return Found(ready_pods(clusters(SOURCE), name), ready_pods(clusters(TARGET), name), tuple(left))


def there(api: KubernetesApi, name: str) -> list[str]:
    """The objects of a workload that are in a cluster, and what holds room for it."""
    return [f"{resource}/{each['metadata']['name']}" for resource in MADE for each in api.list(resource, NAMESPACE)
            if each["metadata"]["name"] in (name, f"continuum-hold-{name}")]  # fmt: skip


def planned(clusters: Clusters, name: str, **more: Any) -> MovePlan:
    return plan_move(clusters(SOURCE), clusters(TARGET), NAMESPACE, name, cause="a test", **more)


def tidy(clusters: Clusters, name: str, *where: str) -> None:
    """Take the workload away, wherever it is, or in some clusters."""
    for cluster in where or (SOURCE, TARGET):
        for resource in MADE:
            clusters(cluster).delete_at(path_of(resource, namespace=NAMESPACE), name)
