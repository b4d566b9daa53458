"""The silence of nodes: nobody knows the state of a node whose kubelet has not reported for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.kubelet.marks import played, silent
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import condition, with_condition

Json = dict[str, Any]

MONITOR_GRACE_S = 40.0
"""Seconds of silence after which a node's state is unknown (node controller: nodeMonitorGracePeriod)."""
_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class NodeMonitor(Controller):
    """Every condition of a silent node becomes Unknown, and its pods are not Ready.

    The silence is counted from when it is first seen, so it begins anew with a restart, as the real one's does.
    """

    resources = frozenset({"nodes"})
    component = "node-controller"

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._silent_since: dict[str, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """Nodes that a kubelet plays."""
        if event.new is None:
            self._silent_since.pop(event.state.uid, None)
        elif played(event.new):
            yield event.key[1]

    def affected(self) -> Iterable[Work]:
        """All played nodes."""
        return [node.key[1] for node in self.store.sorted("nodes") if played(node)]

    def reconcile(self, key: Work) -> None:
        """Judge one node's silence."""
        node, now_s = self.store.get("nodes", "", str(key)), self.backend.now_s()
        if node is None or not played(node):
            return
        if not silent(self.backend, node):
            self._silent_since.pop(node.uid, None)
            return
        since_s = self._silent_since.setdefault(node.uid, now_s)
        if now_s < since_s + MONITOR_GRACE_S:
            self.again_at(since_s + MONITOR_GRACE_S, key)
        elif (condition(node.obj, "Ready") or {}).get("status") != "Unknown":
            self._lose(node)

    def _lose(self, node: Stored) -> None:
        now, status = self.backend.timestamp(), node.obj.get("status", {})
        conditions = status.get("conditions", [])
        for kind in _CONDITIONS:
            entry = {"type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                     "message": "Kubelet stopped posting node status."}  # fmt: skip
            conditions = with_condition(conditions, entry, now)
        self.set_status("nodes", node, {**status, "conditions": conditions})
        message = f"Node {node.key[1]} status is now: NodeNotReady"
        self.note(node, "Node", "v1", reason="NodeNotReady", message=message, warning=False)
        for pod in self.store.pods_on(node.key[1]):
            state = pod.obj["status"]
            if any(entry["type"] == "Ready" and entry["status"] == "True" for entry in state.get("conditions", ())):
                entry = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
                self.set_status("pods", pod, {**state, "conditions": with_condition(state["conditions"], entry, now)})
                self.note(pod, "Pod", "v1", reason="NodeNotReady", message="Node is not ready", warning=True)
