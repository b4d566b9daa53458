"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, numbered, to go back to."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.backend import Backend, DeleteOptions, Options
from deployments.local.kubernetes.controllers.deployment_revisions import template_hash
from deployments.local.kubernetes.controllers.pod_owner import owned_by
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone, dig, with_value
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

CONTROLLER_REVISIONS = "controllerrevisions.apps"
HASH = "controller-revision-hash"
"""Label on a pod and on a revision."""


class ControllerRevisions:
    """Keeps the revisions of one kind of workload.

    Parameters
    ----------
    kind: StatefulSet or DaemonSet.
    """

    def __init__(self, backend: Backend, kind: str) -> None:
        self.backend, self.store, self._kind = backend, backend.store, kind

    def all(self, owner: Stored) -> list[Stored]:
        """An object's revisions, oldest first."""
        found = self.store.owned_objects(owner.uid, CONTROLLER_REVISIONS)
        return sorted(found, key=lambda entry: (entry.obj["revision"], entry.key))

    def present(self, owner: Stored) -> Stored:
        """The revision of the present template, with the highest number, made if need be."""
        revisions, template = self.all(owner), owner.obj["spec"]["template"]
        highest = revisions[-1].obj["revision"] if revisions else 0
        for entry in revisions:
            if template_of(entry) == template:
                if entry.obj["revision"] == highest:
                    return entry
                return self.store.put(CONTROLLER_REVISIONS, with_value(entry.obj, ("revision",), highest + 1))
        name = template_hash(template)
        body = {
            "metadata": {"name": f"{owner.key[1]}-{name}",
                         "labels": {**dig(template, "metadata", "labels", default={}), HASH: name},
                         "ownerReferences": [owned_by(owner, self._kind, "apps/v1")]},
            "data": {"spec": {"template": {**clone(template), "$patch": "replace"}}}, "revision": highest + 1,
        }  # fmt: skip
        kind = self.backend.registry.of(CONTROLLER_REVISIONS)
        return create(self.backend, kind, owner.key[0], body, Options())

    def forget(self, owner: Stored, used: set[str]) -> None:
        """Keep only revisionHistoryLimit revisions that no pod has and that are not the present one."""
        idle = [
            entry for entry in self.all(owner)[:-1] if not used & {entry.key[1], entry.obj["metadata"]["labels"][HASH]}
        ]
        keep = owner.obj["spec"].get("revisionHistoryLimit", 10)
        for entry in idle[: max(len(idle) - keep, 0)]:
            kind = self.backend.registry.of(CONTROLLER_REVISIONS)
            delete(self.backend, kind, *entry.key, DeleteOptions("Background"))


def template_of(entry: Stored) -> Json:
    """The pod template that a revision keeps."""
    template = entry.obj["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}
