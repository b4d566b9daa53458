"""Which nodes are not needed: hardly used, and their pods would find room elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.cluster_autoscaler.view import View, of_daemon_set
from deployments.local.kubernetes.eviction import BUDGETS
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.store import Store, Stored
from deployments.local.kubernetes.trees import dig
from deployments.local.nodes import is_ready
from deployments.local.pool_state import Pool

Json = dict[str, Any]

THRESHOLD = 0.5
"""Of requests; a node at or above it is needed (`--scale-down-utilization-threshold`)."""
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
REPLICATED = ("ReplicaSet", "ReplicationController", "Job", "StatefulSet")


class Budgets:
    """Disruption budgets, spent as trial evictions go on."""

    def __init__(self, store: Store) -> None:
        self._budgets = store.sorted(BUDGETS)
        self._left = {
            budget.key: dig(budget.obj, "status", "disruptionsAllowed", default=0) for budget in self._budgets
        }

    def covering(self, pod: Json) -> list[Stored]:
        """Budgets that protect a pod."""
        space, labels = pod["metadata"].get("namespace", ""), pod["metadata"].get("labels", {})
        return [b for b in self._budgets if b.key[0] == space and selects(dig(b.obj, "spec", "selector"), labels)]

    def spend(self, pods: Iterable[Stored]) -> bool:
        """Take one disruption for each pod; whether there were enough. Nothing is taken otherwise."""
        left = dict(self._left)
        for pod in pods:
            for budget in self.covering(pod.obj):
                left[budget.key] -= 1
                if left[budget.key] < 0:
                    return False
        self._left = left
        return True


def to_move(pods: Iterable[Stored]) -> list[Stored]:
    """Pods that must go before their node does."""
    return [pod for pod in pods if not of_daemon_set(pod.obj)]


def _holds_back(pod: Json, budgets: Budgets) -> bool:
    """Whether a pod keeps its node: it would be lost, or somebody said so."""
    metadata = pod["metadata"]
    safe = metadata.get("annotations", {}).get(SAFE_TO_EVICT)
    if safe == "true":
        return False
    replicated = any(owner.get("controller") and owner["kind"] in REPLICATED
                     for owner in metadata.get("ownerReferences", ()))  # fmt: skip
    system = metadata.get("namespace") == "kube-system" and not budgets.covering(pod)
    local = any("hostPath" in volume or ("emptyDir" in volume and dig(volume, "emptyDir", "medium") != "Memory")
                for volume in pod["spec"].get("volumes", ()))  # fmt: skip
    return safe == "false" or not replicated or system or local


def unneeded(view: View, pools: Iterable[Pool], budgets: Budgets, known: dict[str, float]) -> list[str]:
    """Nodes that could go together, in the order in which they would: nodes known as unneeded first, then the idlest.

    Moving the pods of one node fills the others, in the view too. `known` holds the nodes that were unneeded before.
    """
    homes = {name: pool for pool in pools for name, machine in pool.machines.items() if machine.leaving_s is None}
    spare = {pool.id: pool.desired - pool.min_nodes for pool in homes.values()}
    candidates = [name for name in homes if name in view.nodes and _removable(view, name)]
    candidates.sort(key=lambda name: (name not in known, view.utilisation(name), name))
    open_to_pods = [name for name, node in view.nodes.items() if is_ready(node) and not _being_deleted(node)]
    found = []
    for name in candidates:
        pods = to_move(view.pods[name])
        if spare[homes[name].id] < 1 or any(_holds_back(pod.obj, budgets) for pod in pods):
            continue
        others = [other for other in open_to_pods if other != name]
        if _move(view, pods, others) and budgets.spend(pods):
            found.append(name)
            spare[homes[name].id] -= 1
            open_to_pods = others
    return found


def _removable(view: View, name: str) -> bool:
    node = view.nodes[name]
    disabled = node["metadata"].get("annotations", {}).get(DISABLED) == "true"
    return not disabled and not _being_deleted(node) and view.utilisation(name) < THRESHOLD


def _being_deleted(node: Json) -> bool:
    return any(taint["key"] == TO_BE_DELETED for taint in dig(node, "spec", "taints", default=()))


def _move(view: View, pods: list[Stored], names: list[str]) -> bool:
    """Place all pods on these nodes, or none."""
    before = {name: dict(view.used[name]) for name in names} if pods else {}
    for pod in pods:
        if view.place(pod.obj["spec"], names) is None:
            view.used.update(before)
            return False
    return True
