"""ReplicaSets: as many pods as wanted, adopted, replaced, let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import RETRY_S, Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import clone, condition, dig, epoch_s, is_true
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

REPLICA_SETS = "replicasets.apps"
COST = "controller.kubernetes.io/pod-deletion-cost"


def controller_of(obj: Json) -> Json | None:
    """The owner reference of an object's controller."""
    return next((owner for owner in obj["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)


def owned_by(owner: Stored, kind: str, api_version: str) -> Json:
    """An owner reference that makes an object a controller."""
    return {"apiVersion": api_version, "kind": kind, "name": owner.key[1], "uid": owner.uid, "controller": True,
            "blockOwnerDeletion": True}  # fmt: skip


def is_active(pod: Stored) -> bool:
    """Whether a pod counts: it has not ended and is not going."""
    return (
        pod.obj["status"].get("phase") not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod.obj["metadata"]
    )


class ReplicaSets(Controller):
    """Creates and deletes pods until there are as many as wanted, and counts them."""

    resources = frozenset({REPLICA_SETS, "pods"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The ReplicaSet itself, a pod's controller, or every ReplicaSet that would take an orphan."""
        if event.resource == REPLICA_SETS:
            yield event.key
            return
        before = controller_of(event.old.obj) if event.old is not None else None
        after = controller_of(event.new.obj) if event.new is not None else None
        for owner in (before, after):
            if owner is not None and owner["kind"] == "ReplicaSet":
                yield (event.key[0], owner["name"])
        if event.new is not None and after is None:
            for entry in self.store.all(REPLICA_SETS, event.key[0]):
                if selects(entry.obj["spec"].get("selector"), event.new.obj["metadata"].get("labels", {})):
                    yield entry.key

    def reconcile(self, key: Work) -> None:
        """Bring one ReplicaSet's pods to the number wanted."""
        owner = self.store.get(REPLICA_SETS, *key)
        if owner is None:
            return
        pods = self._claimed(owner)
        if "deletionTimestamp" not in owner.obj["metadata"]:
            active = [pod for pod in pods if is_active(pod)]
            self._fit(owner, active, owner.obj["spec"].get("replicas", 1) - len(active))
        self._count(owner)

    def _claimed(self, owner: Stored) -> list[Stored]:
        """This ReplicaSet's pods, after orphans were adopted and strays let go."""
        selector, pods = owner.obj["spec"].get("selector"), []
        for pod in self.store.owned_objects(owner.uid, "pods"):
            if selects(selector, pod.obj["metadata"].get("labels", {})):
                pods.append(pod)
            elif "deletionTimestamp" not in pod.obj["metadata"]:
                self.store.put("pods", _without_owner(pod, owner.uid))
        if "deletionTimestamp" in owner.obj["metadata"]:
            return pods
        for pod in list(self.store.all("pods", owner.key[0])):
            orphan = controller_of(pod.obj) is None and is_active(pod)
            if orphan and selects(selector, pod.obj["metadata"].get("labels", {})):
                owners = [*pod.obj["metadata"].get("ownerReferences", ()), owned_by(owner, "ReplicaSet", "apps/v1")]
                metadata = {**pod.obj["metadata"], "ownerReferences": owners}
                pods.append(self.store.put("pods", {**pod.obj, "metadata": metadata}))
        return pods

    def _fit(self, owner: Stored, active: list[Stored], missing: int) -> None:
        if missing < 0:
            crowd = Counter(pod.obj["spec"].get("nodeName") for pod in active)
            for pod in sorted(active, key=lambda pod: _spareable(pod, crowd))[:-missing]:
                delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions())
        for _ in range(missing):
            try:
                create(self.backend, self.backend.registry.of("pods"), owner.key[0], self._pod(owner), Options())
            except StatusError as error:
                self.note(owner, "ReplicaSet", "apps/v1", reason="FailedCreate", message=error.what, warning=True)
                self.again_in(RETRY_S, owner.key)
                return

    def _pod(self, owner: Stored) -> Json:
        template = clone(owner.obj["spec"]["template"])
        metadata = {key: value for key, value in template.get("metadata", {}).items()
                    if key in ("labels", "annotations", "finalizers")}  # fmt: skip
        metadata |= {"generateName": f"{owner.key[1]}-", "ownerReferences": [owned_by(owner, "ReplicaSet", "apps/v1")]}
        return {"metadata": metadata, "spec": template["spec"]}

    def _count(self, owner: Stored) -> None:
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
            "availableReplicas": self._available(current, ready),
        }  # fmt: skip
        status: Json = {"replicas": len(active), **{name: count for name, count in counts.items() if count}}
        status["terminatingReplicas"] = sum(1 for pod in pods if "deletionTimestamp" in pod.obj["metadata"])
        status["observedGeneration"] = current.obj["metadata"].get("generation", 1)
        if "conditions" in current.obj.get("status", {}):
            status["conditions"] = current.obj["status"]["conditions"]
        self.set_status(REPLICA_SETS, current, status)

    def _available(self, owner: Stored, ready: list[Stored]) -> int:
        """Pods that have been ready for minReadySeconds; looks again when the next one will be."""
        needed = owner.obj["spec"].get("minReadySeconds", 0)
        if not needed:
            return len(ready)
        now, count = self.backend.now_s(), 0
        for pod in ready:
            entry = condition(pod.obj, "Ready") or {}
            due = epoch_s(entry["lastTransitionTime"]) + needed if "lastTransitionTime" in entry else now
            if due <= now:
                count += 1
            else:
                self.again_at(due, owner.key)
        return count


def _spareable(pod: Stored, crowd: Counter[Any]) -> tuple[Any, ...]:
    """Sort key by which pods go first: unbound, pending, not ready, cheap, on crowded nodes, young."""
    spec, state, metadata = pod.obj["spec"], pod.obj["status"], pod.obj["metadata"]
    cost = metadata.get("annotations", {}).get(COST, "0")
    return (
        bool(spec.get("nodeName")), state.get("phase") != "Pending", is_true(pod.obj, "Ready"),
        int(cost) if cost.lstrip("-").isdigit() else 0, -crowd[spec.get("nodeName")],
        -epoch_s(metadata["creationTimestamp"]), pod.key,
    )  # fmt: skip


def _without_owner(pod: Stored, uid: str) -> Json:
    metadata = dict(pod.obj["metadata"])
    owners = [owner for owner in metadata.pop("ownerReferences", ()) if owner["uid"] != uid]
    return {**pod.obj, "metadata": {**metadata, "ownerReferences": owners} if owners else metadata}
