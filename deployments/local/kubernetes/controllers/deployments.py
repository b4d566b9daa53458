"""Deployments: rolling updates within maxSurge and maxUnavailable, scaling in mid-rollout, pauses, history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.deployment_revisions import (
    DEPLOYMENTS,
    Revisions,
    revision,
    same_template,
)
from deployments.local.kubernetes.controllers.deployment_status import progress_due_s, summary
from deployments.local.kubernetes.controllers.pod_owner import controller_of, owned_by
from deployments.local.kubernetes.controllers.replica_sets import REPLICA_SETS
from deployments.local.kubernetes.controllers.rollout_sizes import Size, grown, limits, proportional, shrunk
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, with_value

Json = dict[str, Any]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"


def wanted(entry: Stored) -> int:
    """Replicas that a workload asks for."""
    return int(entry.obj["spec"].get("replicas", 1))


def _noted(entry: Stored, name: str) -> int | None:
    """A count that this controller left in an annotation."""
    text = str(entry.obj["metadata"].get("annotations", {}).get(name, ""))
    return int(text) if text.isdecimal() else None


def _size(deployment: Stored, entry: Stored) -> Size:
    most = _noted(entry, MOST) or dig(deployment.obj, "status", "replicas", default=0)
    available = int(dig(entry.obj, "status", "availableReplicas", default=0))
    return Size(wanted(entry), available, most, entry.obj["metadata"]["creationTimestamp"])


class Deployments(Controller):
    """Moves replicas from old ReplicaSets to the one of the present template."""

    resources = frozenset({DEPLOYMENTS, REPLICA_SETS})
    component = "deployment-controller"

    def prepare(self) -> None:
        """Revisions are kept in ReplicaSets."""
        self._revisions = Revisions(self.backend)

    def keys(self, event: Event) -> Iterable[Work]:
        """The Deployment itself, or the controller of a ReplicaSet."""
        if event.resource == DEPLOYMENTS:
            yield event.key
            return
        for entry in (event.old, event.new):
            owner = controller_of(entry.obj) if entry is not None else None
            if owner is not None and owner["kind"] == "Deployment":
                yield (event.key[0], owner["name"])

    def reconcile(self, key: Work) -> None:
        """One move of one rollout, and its report."""
        deployment = self.store.get(DEPLOYMENTS, *key)
        if deployment is None:
            return
        sets = self._claimed(deployment)
        if "deletionTimestamp" in deployment.obj["metadata"]:
            return
        new = next((entry for entry in sets if same_template(entry, deployment)), None)
        old = [entry for entry in sets if new is None or entry.uid != new.uid]
        reason = ""
        if deployment.obj["spec"].get("paused") or _is_scaled(deployment, sets):
            self._scale(deployment, new, old)
        elif dig(deployment.obj, "spec", "strategy", "type") == "Recreate":
            reason = self._recreate(deployment, new, old)
        else:
            reason = self._roll(deployment, new, old)
        self._forget(deployment, old)
        self._report(deployment.key, reason)

    def _claimed(self, deployment: Stored) -> list[Stored]:
        """This Deployment's ReplicaSets, orphans that fit its selector included, oldest revision first."""
        for entry in list(self.store.all(REPLICA_SETS, deployment.key[0])):
            fits = selects(deployment.obj["spec"].get("selector"), entry.obj["metadata"].get("labels", {}))
            if fits and controller_of(entry.obj) is None and "deletionTimestamp" not in deployment.obj["metadata"]:
                own = owned_by(deployment, "Deployment", "apps/v1")
                owners = [*entry.obj["metadata"].get("ownerReferences", ()), own]
                self.store.put(REPLICA_SETS, with_value(entry.obj, ("metadata", "ownerReferences"), owners))
        found = self.store.owned_objects(deployment.uid, REPLICA_SETS)
        return sorted(found, key=lambda entry: (revision(entry), entry.key))

    def _set_replicas(self, deployment: Stored, entry: Stored, count: int) -> bool:
        """Scale one ReplicaSet, leaving on it what it was scaled for; whether its count changed."""
        entry = self.store.get(REPLICA_SETS, *entry.key) or entry
        before, target = wanted(entry), wanted(deployment)
        surge, _ = limits(deployment.obj["spec"])
        annotations = {**entry.obj["metadata"].get("annotations", {}), DESIRED: str(target), MOST: str(target + surge)}
        obj = with_value(entry.obj, ("metadata", "annotations"), annotations)
        if before != count:
            obj = with_value(obj, ("spec", "replicas"), count)
            obj = with_value(obj, ("metadata", "generation"), obj["metadata"].get("generation", 1) + 1)
            way = "up" if count > before else "down"
            message = f"Scaled {way} replica set {entry.key[1]} from {before} to {count}"
            self.note(deployment, "Deployment", "apps/v1", reason="ScalingReplicaSet", message=message, warning=False)
        if obj != entry.obj:
            self.store.put(REPLICA_SETS, obj)
        return before != count

    def _scale(self, deployment: Stored, new: Stored | None, old: list[Stored]) -> None:
        """Give a Deployment its number of replicas without moving its rollout on."""
        present = [] if new is None else [new]
        active = [entry for entry in [*old, *present] if wanted(entry)]
        target = wanted(deployment)
        if len(active) <= 1:
            latest = active or present or old[-1:]
            for entry in latest:
                self._set_replicas(deployment, entry, target)
        elif new is not None and wanted(new) == target == _size(deployment, new).available:
            for entry in old:
                self._set_replicas(deployment, entry, 0)
        elif dig(deployment.obj, "spec", "strategy", "type") != "Recreate":
            surge, _ = limits(deployment.obj["spec"])
            counts = proportional(target, surge, [_size(deployment, entry) for entry in active])
            for entry, count in zip(active, counts, strict=True):
                self._set_replicas(deployment, entry, count)

    def _recreate(self, deployment: Stored, new: Stored | None, old: list[Stored]) -> str:
        """Start the new ReplicaSet once every old pod has ended; what happened to it."""
        down = [self._set_replicas(deployment, entry, 0) for entry in old if wanted(entry)]
        left = any(pod.obj["status"].get("phase") not in ("Succeeded", "Failed")
                   for entry in old for pod in self.store.owned_objects(entry.uid, "pods"))  # fmt: skip
        if any(down) or left:
            return ""
        deployment, new, reason = self._revisions.present(deployment, new, old)
        if new is not None:
            self._set_replicas(deployment, new, wanted(deployment))
        return reason

    def _roll(self, deployment: Stored, new: Stored | None, old: list[Stored]) -> str:
        """One step of a rolling update; what happened to the new ReplicaSet."""
        target, before = wanted(deployment), sum(map(wanted, old))
        surge, unavailable = limits(deployment.obj["spec"])
        deployment, new, reason = self._revisions.present(deployment, new, old)
        if new is None:
            return reason
        if not self._set_replicas(deployment, new, grown(target, surge, wanted(new), before)):
            sizes = [_size(deployment, entry) for entry in old]
            for entry, count in zip(old, shrunk(target, unavailable, _size(deployment, new), sizes), strict=True):
                if wanted(entry):
                    self._set_replicas(deployment, entry, count)
        return reason

    def _forget(self, deployment: Stored, old: list[Stored]) -> None:
        """Keep only revisionHistoryLimit old ReplicaSets to go back to."""
        idle = [entry for entry in old if not wanted(entry) and not dig(entry.obj, "status", "replicas", default=0)]
        keep = deployment.obj["spec"].get("revisionHistoryLimit", 10)
        for entry in idle[: max(len(idle) - keep, 0)]:
            delete(self.backend, self.backend.registry.of(REPLICA_SETS), *entry.key, DeleteOptions("Background"))

    def _report(self, key: tuple[str, str], reason: str) -> None:
        deployment = self.store.get(DEPLOYMENTS, *key)
        if deployment is None:
            return
        sets = self.store.owned_objects(deployment.uid, REPLICA_SETS)
        new = next((entry for entry in sets if same_template(entry, deployment)), None)
        status = summary(deployment, new, sets, floor=wanted(deployment) - limits(deployment.obj["spec"])[1],
                         reason=reason, now_s=self.backend.now_s())  # fmt: skip
        written = self.set_status(DEPLOYMENTS, deployment, status)
        if (due := progress_due_s(written, self.backend.now_s())) is not None:
            self.again_at(due, key)


def _is_scaled(deployment: Stored, sets: list[Stored]) -> bool:
    """Whether a Deployment's number of replicas has changed since its ReplicaSets were scaled."""
    noted = [_noted(entry, DESIRED) for entry in sets if wanted(entry)]
    return any(count not in (None, wanted(deployment)) for count in noted)
