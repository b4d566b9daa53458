"""metrics.k8s.io: what nodes and pods use now, worked out when it is asked for, as metrics-server tells it."""

from __future__ import annotations

from typing import Any, NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import condition, dig, epoch_s
from deployments.local.kubernetes.usage import Usage

Json = dict[str, Any]

POD_METRICS = ("metrics.k8s.io", "v1beta1", "pods")
WINDOW_S = 15
"""Seconds between two samples, metrics-server's `--metric-resolution`; usage is a rate, so it takes two."""
SYSTEM_CPU, SYSTEM_MEMORY = 0.02, 0.05
"""Of a node's capacity, in use by what is no pod."""


class ContainerUsage(NamedTuple):
    """What one container uses, in the units that metrics-server writes."""

    name: str
    nanocores: int
    kibibytes: int


def computed(backend: Backend, kind: Kind, namespace: str | None) -> list[Stored]:
    """NodeMetrics or PodMetrics of everything that has been sampled, by namespace and name."""
    make = _node_metrics if kind.plural == "nodes" else _pod_metrics
    found = (make(backend, entry) for entry in backend.store.sorted(kind.plural, namespace))
    return [entry for entry in found if entry is not None]


def computed_one(backend: Backend, kind: Kind, namespace: str, name: str) -> Stored:
    """The metrics of one node or pod.

    Raises
    ------
    StatusError: 404, it does not exist or has no sample yet.
    """
    entry = backend.store.get(kind.plural, namespace, name)
    make = _node_metrics if kind.plural == "nodes" else _pod_metrics
    metrics = make(backend, entry) if entry is not None else None
    if metrics is None:
        raise status.not_found(kind, name)
    return metrics


def of_containers(backend: Backend, pod: Stored) -> list[ContainerUsage]:
    """What each container of a pod uses, in proportion to what it requests; nothing where there is no sample."""
    if not _sampled(backend, pod):
        return []
    used, containers = backend.usage(pod.obj), pod.obj["spec"]["containers"]
    cpu, memory = _shares(containers, "cpu"), _shares(containers, "memory")
    return [
        ContainerUsage(entry["name"], int(used.cpu_cores * cpu[i] * 1e9), int(used.memory_bytes * memory[i] / 1024))
        for i, entry in enumerate(containers)
    ]


def _sampled(backend: Backend, pod: Stored) -> bool:
    """Whether a pod has run for a window, on a node that reports."""
    state = pod.obj.get("status", {})
    if state.get("phase") != "Running" or not _reports(backend, pod.obj["spec"].get("nodeName", "")):
        return False
    started = state.get("startTime", pod.obj["metadata"]["creationTimestamp"])
    for entry in state.get("containerStatuses", ()):
        running = dig(entry, "state", "running")
        if running is None:  # metrics-server leaves out a pod that lacks a container's sample
            return False
        started = max(started, running.get("startedAt", started))
    return epoch_s(started) + WINDOW_S <= backend.now_s()


def _reports(backend: Backend, name: str) -> bool:
    node = backend.store.get("nodes", "", name)
    ready = condition(node.obj, "Ready") if node is not None else None
    return ready is not None and ready["status"] == "True" and name not in backend.outages.silent_nodes


def _shares(containers: list[Json], name: str) -> list[float]:
    asked = [float(quantity(dig(entry, "resources", "requests", name, default="0"))) for entry in containers]
    total = sum(asked)
    return [one / total for one in asked] if total else [1 / len(containers)] * len(containers)


def _pod_metrics(backend: Backend, pod: Stored) -> Stored | None:
    containers = of_containers(backend, pod)
    if not containers:
        return None
    usage = [{"name": one.name, "usage": _quantities(one.nanocores, one.kibibytes)} for one in containers]
    return Stored({**_head(backend, pod), "containers": usage}, 0)


def _node_metrics(backend: Backend, node: Stored) -> Stored | None:
    ready = condition(node.obj, "Ready")
    if ready is None or not _reports(backend, node.key[1]):
        return None
    if epoch_s(ready["lastTransitionTime"]) + WINDOW_S > backend.now_s():
        return None
    capacity = dig(node.obj, "status", "capacity", default={})
    cores, room = float(quantity(capacity.get("cpu", "0"))), float(quantity(capacity.get("memory", "0")))
    pods = [pod for pod in backend.store.pods_on(node.key[1]) if pod.obj.get("status", {}).get("phase") == "Running"]
    used = [Usage(cores * SYSTEM_CPU, room * SYSTEM_MEMORY), *(backend.usage(pod.obj) for pod in pods)]
    cpu = min(sum(one.cpu_cores for one in used), cores)
    memory = min(sum(one.memory_bytes for one in used), room)
    return Stored({**_head(backend, node), "usage": _quantities(int(cpu * 1e9), int(memory / 1024))}, 0)


def _head(backend: Backend, entry: Stored) -> Json:
    now, about = backend.timestamp(), entry.obj["metadata"]
    metadata = {key: about[key] for key in ("name", "namespace", "labels") if key in about}
    return {"metadata": {**metadata, "creationTimestamp": now}, "timestamp": now, "window": f"{WINDOW_S}s"}


def _quantities(nanocores: int, kibibytes: int) -> Json:
    return {"cpu": f"{nanocores}n" if nanocores else "0", "memory": f"{kibibytes}Ki" if kibibytes else "0"}
