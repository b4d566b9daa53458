"""Deployments: rolling updates within maxSurge and maxUnavailable, revisions, progress."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import SUFFIX_LETTERS, DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.deployment_status import progress_due_s, summary
from deployments.local.kubernetes.controllers.replica_sets import REPLICA_SETS, controller_of, owned_by
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import clone, dig, with_value
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

DEPLOYMENTS = "deployments.apps"
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_NOT_COPIED = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied")


def share(value: Any, of: int, *, up: bool) -> int:
    """A count, or a percentage of a number, rounded as the field demands.

    >>> share("25%", 4, up=True), share("25%", 3, up=False), share(2, 10, up=True)
    (1, 0, 2)
    """
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * of / 100
    return math.ceil(exact) if up else math.floor(exact)


def limits(spec: Json) -> tuple[int, int]:
    """MaxSurge and maxUnavailable in pods; never both 0."""
    replicas, rolling = spec.get("replicas", 1), dig(spec, "strategy", "rollingUpdate", default={})
    surge = share(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, min(unavailable if surge or unavailable else 1, replicas)


def template_hash(template: Json) -> str:
    """A short name for a pod template, the same for equal templates."""
    number = int.from_bytes(hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(SUFFIX_LETTERS))
        letters.append(SUFFIX_LETTERS[rest])
    return "".join(letters)


def wanted(entry: Stored) -> int:
    """Replicas that a workload asks for."""
    return int(entry.obj["spec"].get("replicas", 1))


def available(entry: Stored) -> int:
    """Replicas of a ReplicaSet that are available."""
    return int(dig(entry.obj, "status", "availableReplicas", default=0))


def _revision(entry: Stored) -> int:
    return int(entry.obj["metadata"].get("annotations", {}).get(REVISION, "0"))


class Deployments(Controller):
    """Moves replicas from old ReplicaSets to the one of the present template."""

    resources = frozenset({DEPLOYMENTS, REPLICA_SETS})

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
        new = next((entry for entry in sets if _same_template(entry, deployment)), None)
        paused = deployment.obj["spec"].get("paused", False)
        reason = ""
        if not paused:
            deployment, new, reason = self._present(deployment, sets, new)
        old = [entry for entry in sets if new is None or entry.uid != new.uid]
        if not paused and new is not None:
            self._roll(deployment, new, old)
            self._forget(deployment, old)
        elif new is not None:
            self._set_replicas(new, wanted(deployment))
        self._report(deployment.key, reason)

    def _claimed(self, deployment: Stored) -> list[Stored]:
        """This Deployment's ReplicaSets, orphans that fit its selector included."""
        for entry in list(self.store.all(REPLICA_SETS, deployment.key[0])):
            fits = selects(deployment.obj["spec"].get("selector"), entry.obj["metadata"].get("labels", {}))
            if fits and controller_of(entry.obj) is None and "deletionTimestamp" not in deployment.obj["metadata"]:
                owners = [
                    *entry.obj["metadata"].get("ownerReferences", ()),
                    owned_by(deployment, "Deployment", "apps/v1"),
                ]
                self.store.put(REPLICA_SETS, with_value(entry.obj, ("metadata", "ownerReferences"), owners))
        return sorted(
            self.store.owned_objects(deployment.uid, REPLICA_SETS), key=lambda entry: (_revision(entry), entry.key)
        )

    def _present(self, deployment: Stored, sets: list[Stored], new: Stored | None) -> tuple[Stored, Stored, str]:
        """The ReplicaSet of the present template, made if need be, with the highest revision."""
        others = [entry for entry in sets if new is None or entry.uid != new.uid]
        revision, reason = max((_revision(entry) for entry in others), default=0) + 1, ""
        if new is None:
            new, reason = self._create(deployment, revision), "NewReplicaSetCreated"
        elif _revision(new) < revision:
            annotations = {**new.obj["metadata"].get("annotations", {}), REVISION: str(revision)}
            new = self.store.put(REPLICA_SETS, with_value(new.obj, ("metadata", "annotations"), annotations))
            reason = "FoundNewReplicaSet"
        text = str(_revision(new))
        annotations = deployment.obj["metadata"].get("annotations", {})
        if annotations.get(REVISION) != text:
            annotations = {**annotations, REVISION: text}
            changed = with_value(deployment.obj, ("metadata", "annotations"), annotations)
            deployment = self.store.put(DEPLOYMENTS, changed)
        return deployment, new, reason

    def _create(self, deployment: Stored, revision: int) -> Stored:
        template = clone(deployment.obj["spec"]["template"])
        name = template_hash(template)
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {**metadata.get("labels", {}), HASH: name}
        selector = clone(deployment.obj["spec"]["selector"])
        selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH: name}
        annotations = {key: value for key, value in deployment.obj["metadata"].get("annotations", {}).items()
                       if not key.startswith(_NOT_COPIED)}  # fmt: skip
        spec = {"replicas": 0, "selector": selector, "template": template}
        if least := deployment.obj["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = least
        body = {
            "metadata": {"name": f"{deployment.key[1]}-{name}", "labels": metadata["labels"],
                         "annotations": {**annotations, REVISION: str(revision)},
                         "ownerReferences": [owned_by(deployment, "Deployment", "apps/v1")]},
            "spec": spec,
        }  # fmt: skip
        return create(self.backend, self.backend.registry.of(REPLICA_SETS), deployment.key[0], body, Options())

    def _set_replicas(self, entry: Stored, count: int) -> bool:
        if wanted(entry) == count:
            return False
        current = self.store.get(REPLICA_SETS, *entry.key) or entry
        obj = with_value(current.obj, ("spec", "replicas"), count)
        generation = obj["metadata"].get("generation", 1) + 1
        self.store.put(REPLICA_SETS, with_value(obj, ("metadata", "generation"), generation))
        return True

    def _roll(self, deployment: Stored, new: Stored, old: list[Stored]) -> None:
        if deployment.obj["spec"]["strategy"].get("type") == "Recreate":
            down = [self._set_replicas(entry, 0) for entry in old]
            left = any(self.store.owned_objects(entry.uid, "pods") for entry in old)
            if not any(down) and not left:
                self._set_replicas(new, wanted(deployment))
        elif not self._grow(deployment, new, old):
            self._shrink(deployment, new, old)

    def _grow(self, deployment: Stored, new: Stored, old: list[Stored]) -> bool:
        """Give the new ReplicaSet as many replicas as the surge allows."""
        target, present = wanted(deployment), wanted(new)
        if present >= target:
            return self._set_replicas(new, target)
        room = target + limits(deployment.obj["spec"])[0] - present - sum(wanted(entry) for entry in old)
        return self._set_replicas(new, min(target, present + max(room, 0)))

    def _shrink(self, deployment: Stored, new: Stored, old: list[Stored]) -> None:
        """Take replicas from old ReplicaSets: first those that do not work, then as many as availability allows."""
        floor = wanted(deployment) - limits(deployment.obj["spec"])[1]
        total = wanted(new) + sum(wanted(entry) for entry in old)
        spare = total - floor - (wanted(new) - min(available(new), wanted(new)))
        counts = {entry.key: wanted(entry) for entry in old}
        for entry in old:
            broken = min(max(counts[entry.key] - available(entry), 0), max(spare, 0))
            counts[entry.key] -= broken
            spare -= broken
        working = available(new) + sum(min(available(entry), counts[entry.key]) for entry in old)
        surplus = min(working - floor, spare)
        for entry in old:
            less = min(max(surplus, 0), counts[entry.key])
            counts[entry.key] -= less
            surplus -= less
        for entry in old:
            self._set_replicas(entry, counts[entry.key])

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
        new = next((entry for entry in sets if _same_template(entry, deployment)), None)
        status = summary(deployment, new, sets, floor=wanted(deployment) - limits(deployment.obj["spec"])[1],
                         reason=reason, now_s=self.backend.now_s())  # fmt: skip
        written = self.set_status(DEPLOYMENTS, deployment, status)
        if (due := progress_due_s(written, self.backend.now_s())) is not None:
            self.again_at(due, key)


def _same_template(entry: Stored, deployment: Stored) -> bool:
    template = entry.obj["spec"]["template"]
    labels = {key: value for key, value in dig(template, "metadata", "labels", default={}).items() if key != HASH}
    return bool(with_value(template, ("metadata", "labels"), labels or None) == deployment.obj["spec"]["template"])
