"""A cluster as one look of the autoscaler finds it: nodes with room, pods on them, pods that wait. A view to try on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.scheduler import requests, unfit
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.store import Store, Stored
from deployments.local.kubernetes.trees import condition, dig

Json = dict[str, Any]
Used = dict[str, float]

EXPENDABLE_BELOW = -10
"""Pods of a lower priority neither bring a node nor keep one (`--expendable-pods-priority-cutoff`)."""
_ENDED = ("Succeeded", "Failed")


def of_daemon_set(pod: Json) -> bool:
    """Whether a DaemonSet owns the pod: it comes and goes with its node."""
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def add(used: Used, spec: Json) -> None:
    """Count a pod's requests."""
    for name, amount in requests(spec).items():
        used[name] = used.get(name, 0.0) + amount


def fits(spec: Json, node: Json, used: Used) -> bool:
    """Whether the scheduler would take the pod onto the node."""
    return not unfit(spec, requests(spec), node, used)


def why_not(spec: Json, node: Json, used: Used) -> str:
    """The scheduler's first reason against a node."""
    return unfit(spec, requests(spec), node, used)[0]


class View:
    """Nodes and pods of one cluster; placing and taking pods changes only this view.

    Attributes
    ----------
    nodes, used, pods: by node name: the Node, what its pods request, the pods.
    waiting: pods that the scheduler found no node for, first by priority, then by age.
    """

    def __init__(self, store: Store) -> None:
        self.nodes = {entry.key[1]: entry.obj for entry in store.sorted("nodes")}
        self.pods = {name: [pod for pod in store.pods_on(name) if _counts(pod.obj)] for name in self.nodes}
        self.used: dict[str, Used] = {}
        for name, pods in self.pods.items():
            used = self.used.setdefault(name, {})
            for pod in pods:
                add(used, pod.obj["spec"])
        unbound = [pod for pod in store.all("pods") if not pod.obj["spec"].get("nodeName") and _counts(pod.obj)]
        self.waiting: list[Stored] = []
        for pod in sorted(unbound, key=_rank):
            nominated = pod.obj["status"].get("nominatedNodeName", "")
            if nominated in self.used:
                add(self.used[nominated], pod.obj["spec"])
            elif _unschedulable(pod.obj):
                self.waiting.append(pod)

    def copy(self) -> View:
        """One of the same state, to place and take pods on."""
        other = object.__new__(View)
        other.nodes, other.waiting = dict(self.nodes), list(self.waiting)
        other.pods = {name: list(pods) for name, pods in self.pods.items()}
        other.used = {name: dict(used) for name, used in self.used.items()}
        return other

    def utilisation(self, name: str) -> float:
        """Requested share of a node's CPU or memory, whichever is larger."""
        room = self.nodes[name]["status"].get("allocatable", {})
        return max((self.used[name].get(kind, 0.0) / (float(quantity(room[kind])) or 1.0)
                    for kind in ("cpu", "memory") if kind in room), default=0.0)  # fmt: skip

    def place(self, spec: Json, names: Iterable[str]) -> str | None:
        """Put a pod on the first node of these that takes it; None when none does."""
        for name in names:
            if fits(spec, self.nodes[name], self.used[name]):
                add(self.used[name], spec)
                return name
        return None

    def add_node(self, name: str, node: Json, used: Used) -> None:
        """Count on a node that is on its way."""
        self.nodes[name], self.used[name], self.pods[name] = node, dict(used), []


def _counts(pod: Json) -> bool:
    ended = pod["status"].get("phase") in _ENDED
    return not ended and pod["spec"].get("priority", 0) >= EXPENDABLE_BELOW


def _rank(pod: Stored) -> tuple[int, str, tuple[str, str]]:
    return -pod.obj["spec"].get("priority", 0), pod.obj["metadata"]["creationTimestamp"], pod.key


def _unschedulable(pod: Json) -> bool:
    scheduled = condition(pod, "PodScheduled")
    refused = scheduled is not None and scheduled.get("reason") == "Unschedulable"
    return refused and dig(pod, "metadata", "deletionTimestamp") is None
