"""Revisions of a Deployment: a ReplicaSet for every template, numbered, with what `kubectl rollout history` shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from deployments.local.kubernetes.backend import SUFFIX_LETTERS, Backend, Options
from deployments.local.kubernetes.controllers.pod_owner import owned_by
from deployments.local.kubernetes.controllers.replica_sets import REPLICA_SETS
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone, dig, with_value
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

DEPLOYMENTS = "deployments.apps"
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_COPIED = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied")


def template_hash(template: Json, collisions: int = 0) -> str:
    """A short name for a pod template, the same for equal templates; another one after each collision."""
    text = json.dumps(template, sort_keys=True) + (str(collisions) if collisions else "")
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = []
    for _ in range(10):
        number, rest = divmod(number, len(SUFFIX_LETTERS))
        letters.append(SUFFIX_LETTERS[rest])
    return "".join(letters)


def revision(entry: Stored) -> int:
    """Number of a ReplicaSet among those of its Deployment; 0 for none."""
    text = str(entry.obj["metadata"].get("annotations", {}).get(REVISION, ""))
    return int(text) if text.isdecimal() else 0


def same_template(entry: Stored, deployment: Stored) -> bool:
    """Whether a ReplicaSet is that of the Deployment's present template."""
    template = entry.obj["spec"]["template"]
    labels = {key: value for key, value in dig(template, "metadata", "labels", default={}).items() if key != HASH}
    return bool(with_value(template, ("metadata", "labels"), labels or None) == deployment.obj["spec"]["template"])


class Revisions:
    """Makes and numbers the ReplicaSets of Deployments."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.store = backend, backend.store

    def present(
        self, deployment: Stored, new: Stored | None, old: Sequence[Stored]
    ) -> tuple[Stored, Stored | None, str]:
        """The ReplicaSet of the present template with the highest revision, made without replicas if need be.

        The Deployment as it is now, the ReplicaSet (None when its name is taken: try again), what happened to it.
        """
        number, reason = max(map(revision, old), default=0) + 1, ""
        if new is None:
            new, reason = self._create(deployment, number), "NewReplicaSetCreated"
            if new is None:
                return deployment, None, ""
        else:
            reason = "FoundNewReplicaSet" if revision(new) < number else ""
            new = self._renewed(deployment, new, number)
        annotations = deployment.obj["metadata"].get("annotations", {})
        if annotations.get(REVISION) != str(revision(new)):
            annotations = {**annotations, REVISION: str(revision(new))}
            changed = with_value(deployment.obj, ("metadata", "annotations"), annotations)
            deployment = self.store.put(DEPLOYMENTS, changed)
        return deployment, new, reason

    def _renewed(self, deployment: Stored, new: Stored, number: int) -> Stored:
        """A ReplicaSet with its Deployment's annotations, and its new number if it was an old one."""
        annotations = {**new.obj["metadata"].get("annotations", {}), **_copied(deployment)}
        if (before := revision(new)) < number:
            past = [entry for entry in annotations.get(HISTORY, "").split(",") if entry]
            annotations |= {REVISION: str(number), **({HISTORY: ",".join([*past, str(before)])} if before else {})}
        obj = with_value(new.obj, ("metadata", "annotations"), annotations)
        least = deployment.obj["spec"].get("minReadySeconds")
        if obj["spec"].get("minReadySeconds") != least:
            obj = with_value(obj, ("spec", "minReadySeconds"), least)
        return new if obj == new.obj else self.store.put(REPLICA_SETS, obj)

    def _create(self, deployment: Stored, number: int) -> Stored | None:
        template = clone(deployment.obj["spec"]["template"])
        name = template_hash(template, dig(deployment.obj, "status", "collisionCount", default=0))
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {**metadata.get("labels", {}), HASH: name}
        selector = clone(deployment.obj["spec"]["selector"])
        selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH: name}
        spec = {"replicas": 0, "selector": selector, "template": template}
        if least := deployment.obj["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = least
        body = {
            "metadata": {"name": f"{deployment.key[1]}-{name}", "labels": metadata["labels"],
                         "annotations": {**_copied(deployment), REVISION: str(number)},
                         "ownerReferences": [owned_by(deployment, "Deployment", "apps/v1")]},
            "spec": spec,
        }  # fmt: skip
        try:
            return create(self.backend, self.backend.registry.of(REPLICA_SETS), deployment.key[0], body, Options())
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        count = dig(deployment.obj, "status", "collisionCount", default=0) + 1
        self.store.put(DEPLOYMENTS, with_value(deployment.obj, ("status", "collisionCount"), count))
        return None


def _copied(deployment: Stored) -> Json:
    """Annotations that a Deployment hands on, such as `kubernetes.io/change-cause`."""
    return {key: value for key, value in deployment.obj["metadata"].get("annotations", {}).items()
            if not key.startswith(_NOT_COPIED)}  # fmt: skip
