"""Full disks: the kubelet evicts one pod after the other, the least important first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.kubelet.marks import played, silent
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import condition, epoch_s, is_true, with_condition

Json = dict[str, Any]

EVICT_EVERY_S = 10.0
"""Seconds between two looks at the disk (kubelet: monitoringInterval of the eviction manager); one pod goes a look."""
CRITICAL = 2_000_000_000
"""Priority from which a pod is never evicted."""
_CODE = 137
_QUALITIES = ("BestEffort", "Burstable", "Guaranteed")
_WHY = ("The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 1Gi. "
        "Container {name} was using 1Gi, request is 0, has larger consumption of ephemeral-storage. ")  # fmt: skip


def is_critical(pod: Stored) -> bool:
    """Whether a pod is too important for the kubelet to evict."""
    return bool(pod.obj["spec"].get("priority", 0) >= CRITICAL)


def evicted(pod: Stored, message: str, now: str) -> Json:
    """Status of a pod that its kubelet evicted, or did not take on."""
    status = pod.obj["status"]
    conditions = status.get("conditions", [])
    for entry in (
        {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message},
        {"type": "Ready", "status": "False", "reason": "PodFailed"},
        {"type": "ContainersReady", "status": "False", "reason": "PodFailed"},
    ):
        conditions = with_condition(conditions, entry, now)
    state = {"terminated": {"exitCode": _CODE, "reason": "Error", "finishedAt": now}}
    found = {
        field: [{**entry, "ready": False, "started": False, "state": state} if "terminated" not in entry["state"]
                else entry for entry in status[field]]
        for field in ("initContainerStatuses", "containerStatuses") if field in status
    }  # fmt: skip
    return {**status, **found, "phase": "Failed", "reason": "Evicted", "message": message, "conditions": conditions,
            "startTime": status.get("startTime", now)}  # fmt: skip


class DiskPressure(Controller):
    """Evicts pods from nodes whose disk is full, until nobody is left who may go."""

    resources = frozenset({"nodes"})
    component = "kubelet"

    def keys(self, event: Event) -> Iterable[Work]:
        """Nodes whose disk is full."""
        if event.new is not None and played(event.new) and is_true(event.new.obj, "DiskPressure"):
            yield event.key[1]

    def affected(self) -> Iterable[Work]:
        """Nodes whose disk is full: one may be heard of again."""
        return [node.key[1] for node in self.store.sorted("nodes") if is_true(node.obj, "DiskPressure")]

    def reconcile(self, key: Work) -> None:
        """Evict the least important pod of a node, once the disk has been full for a while."""
        node, now_s = self.store.get("nodes", "", str(key)), self.backend.now_s()
        entry = condition(node.obj, "DiskPressure") if node is not None else None
        if node is None or entry is None or entry["status"] != "True" or silent(self.backend, node):
            return
        since_s = epoch_s(entry["lastTransitionTime"])
        looks, rest_s = divmod(now_s - since_s, EVICT_EVERY_S)
        if looks and not rest_s:
            self._evict_one(node)
        self.again_at(since_s + (looks + 1) * EVICT_EVERY_S, key)

    def _evict_one(self, node: Stored) -> None:
        pods = [pod for pod in self.store.pods_on(node.key[1]) if pod.obj["status"].get("phase") == "Running"
                and "deletionTimestamp" not in pod.obj["metadata"] and not is_critical(pod)]  # fmt: skip
        if not pods:
            return
        pod = min(pods, key=_rank)
        message = _WHY.format(name=pod.obj["spec"]["containers"][0]["name"])
        self.set_status("pods", pod, evicted(pod, message, self.backend.timestamp()))
        self.note(pod, "Pod", "v1", reason="Evicted", message=message, warning=True)


def _rank(pod: Stored) -> tuple[int, int, Any]:
    """Sort key of eviction: low priority, then poor quality of service, then the name."""
    quality = pod.obj["status"].get("qosClass", _QUALITIES[0])
    return pod.obj["spec"].get("priority", 0), _QUALITIES.index(quality), pod.key
