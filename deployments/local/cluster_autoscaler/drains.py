"""Nodes on their way out: marked, drained by eviction, given back to the cloud; or kept after all."""

from __future__ import annotations

from deployments.local import nodes
from deployments.local.cluster_autoscaler.events import note
from deployments.local.cluster_autoscaler.scale_down import TO_BE_DELETED, to_move
from deployments.local.cluster_autoscaler.state import State
from deployments.local.cluster_autoscaler.status import NAME, NAMESPACE
from deployments.local.cluster_autoscaler.view import View
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.trees import dig
from deployments.local.node_pools import NodePools

EVICTION_S = 120.0
"""How long evictions are tried (`--max-pod-eviction-time`)."""
GRACEFUL_S = 600.0
"""How long evicted pods may then take to end (`--max-graceful-termination-sec`)."""


class Drains:
    """The nodes of one cluster that its autoscaler is getting rid of; `state.draining` holds them."""

    def __init__(self, cluster: SimulatedCluster, pools: NodePools, state: State) -> None:
        self._cluster, self._pools, self._state = cluster, pools, state

    def remove_empty(self, name: str) -> None:
        """Take an empty node away at once."""
        self._tell("ScaleDownEmpty", f"Scale-down: removing empty node {name!r}")
        self._pools.take_away(self._cluster.name, name)
        self._state.unneeded.pop(name, None)

    def begin(self, name: str, now_s: float) -> None:
        """Mark a node, so that no new pod comes, and begin to drain it."""
        self._tell("ScaleDown", f"Scale-down: removing node {name!r} with drain")
        self._taint(name, str(int(now_s)))
        node = self._cluster.backend.store.get("nodes", "", name)
        if node is not None:
            note(self._cluster.backend, "Node", node, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
        self._state.draining[name] = now_s
        self._state.unneeded.pop(name, None)

    def go_on(self, view: View, now_s: float) -> None:
        """Evict what is left on each node; let go of those that are empty, keep those that resist for too long."""
        for name, since_s in list(self._state.draining.items()):
            if name not in view.nodes:
                del self._state.draining[name]
                continue
            pods = to_move(view.pods[name])
            standing = [pod for pod in pods if "deletionTimestamp" not in pod.obj["metadata"]]
            limit_s = EVICTION_S if standing else EVICTION_S + GRACEFUL_S
            if not pods:
                self._pools.take_away(self._cluster.name, name)
                del self._state.draining[name]
            elif now_s - since_s >= limit_s:
                self._give_up(name, now_s)
            else:
                nodes.evict(self._cluster, [pod.obj for pod in standing])

    def _give_up(self, name: str, now_s: float) -> None:
        del self._state.draining[name]
        self._state.drain_failed_s = now_s
        self._taint(name, None)
        node = self._cluster.backend.store.get("nodes", "", name)
        if node is not None:
            words = "failed to drain the node, aborting ScaleDown"
            note(self._cluster.backend, "Node", node, "ScaleDownFailed", words, warning=True)

    def _taint(self, name: str, value: str | None) -> None:
        """Set the mark of a node that is to go, or take it off."""
        taints = dig(self._cluster.get("nodes", name), "spec", "taints", default=[])
        taints = [taint for taint in taints if taint["key"] != TO_BE_DELETED]
        if value is not None:
            taints.append({"key": TO_BE_DELETED, "value": value, "effect": "NoSchedule"})
        self._cluster.patch("nodes", name, {"spec": {"taints": taints}}, "merge")

    def _tell(self, reason: str, message: str) -> None:
        about = self._cluster.backend.store.get("configmaps", NAMESPACE, NAME)
        if about is not None:
            note(self._cluster.backend, "ConfigMap", about, reason, message)
