"""ReplicaSets: as many pods as wanted, adopted, replaced, let go."""

from __future__ import annotations

from collections import Counter
from typing import Any

from deployments.local.kubernetes.controllers.base import Work
from deployments.local.kubernetes.controllers.pod_owner import PodOwner, from_template, is_active, is_going
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import condition, dig, epoch_s, is_true, with_condition

Json = dict[str, Any]

REPLICA_SETS = "replicasets.apps"
COST = "controller.kubernetes.io/pod-deletion-cost"
FAILURE = "ReplicaFailure"


class ReplicaSets(PodOwner):
    """Creates and deletes pods until there are as many as wanted, and counts them."""

    resources = frozenset({REPLICA_SETS, "pods"})
    component = "replicaset-controller"
    resource, kind, api_version = REPLICA_SETS, "ReplicaSet", "apps/v1"

    def reconcile(self, key: Work) -> None:
        """Bring one ReplicaSet's pods to the number wanted."""
        owner = self.store.get(REPLICA_SETS, *key)
        if owner is None:
            return
        pods, refused = self.claimed(owner), ""
        if "deletionTimestamp" not in owner.obj["metadata"]:
            active = [pod for pod in pods if is_active(pod)]
            refused = self._fit(owner, active, owner.obj["spec"].get("replicas", 1) - len(active))
        self._count(owner, refused)

    def _fit(self, owner: Stored, active: list[Stored], missing: int) -> str:
        """Create or delete pods; "" or why creating was refused."""
        if missing < 0:
            crowd = Counter(pod.obj["spec"].get("nodeName") for pod in active)
            for pod in sorted(active, key=lambda pod: _spareable(pod, crowd))[:-missing]:
                self.end_pod(owner, pod)
        for _ in range(self.granted(owner, missing)):
            metadata, spec = from_template(owner.obj["spec"]["template"])
            if refused := self.make_pod(owner, {**metadata, "generateName": f"{owner.key[1]}-"}, spec):
                return refused
        return ""

    def _count(self, owner: Stored, refused: str) -> None:
        current = self.store.get(REPLICA_SETS, *owner.key)
        if current is None:
            return
        pods = self.store.owned_objects(owner.uid, "pods")
        active = [pod for pod in pods if is_active(pod)]
        ready = [pod for pod in active if is_true(pod.obj, "Ready")]
        labels = dig(owner.obj, "spec", "template", "metadata", "labels", default={})
        full = [pod for pod in active if labels.items() <= pod.obj["metadata"].get("labels", {}).items()]
        counts = {
            "fullyLabeledReplicas": len(full), "readyReplicas": len(ready),
            "availableReplicas": sum(self.is_available(current, pod) for pod in ready),
        }  # fmt: skip
        status: Json = {"replicas": len(active), **{name: count for name, count in counts.items() if count}}
        status["terminatingReplicas"] = sum(map(is_going, pods))
        status["observedGeneration"] = current.obj["metadata"].get("generation", 1)
        conditions = current.obj.get("status", {}).get("conditions", [])
        if refused:
            entry = {"type": FAILURE, "status": "True", "reason": "FailedCreate", "message": refused}
            conditions = with_condition(conditions, entry, self.backend.timestamp())
        else:
            conditions = [entry for entry in conditions if entry["type"] != FAILURE]
        self.set_status(REPLICA_SETS, current, {**status, "conditions": conditions} if conditions else status)


def _spareable(pod: Stored, crowd: Counter[Any]) -> tuple[Any, ...]:
    """Sort key by which pods go first: unbound, pending, not ready, cheap, on crowded nodes, new, often restarted."""
    spec, state, metadata = pod.obj["spec"], pod.obj["status"], pod.obj["metadata"]
    cost = metadata.get("annotations", {}).get(COST, "0")
    since = (condition(pod.obj, "Ready") or {}).get("lastTransitionTime", metadata["creationTimestamp"])
    restarts = max((entry.get("restartCount", 0) for entry in state.get("containerStatuses", ())), default=0)
    return (
        bool(spec.get("nodeName")), state.get("phase") != "Pending", is_true(pod.obj, "Ready"),
        int(cost) if cost.lstrip("-").isdigit() else 0, -crowd[spec.get("nodeName")], -epoch_s(since), -restarts,
        -epoch_s(metadata["creationTimestamp"]), pod.key,
    )  # fmt: skip
