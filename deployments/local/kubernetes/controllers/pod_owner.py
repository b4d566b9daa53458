"""What all controllers that own pods share: whose a pod is, adoption, creation, deletion, availability."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import RETRY_S, Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Event, Key, Stored
from deployments.local.kubernetes.trees import clone, condition, dig, epoch_s, is_true
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

BURST = 500
"""Pods that one owner gets within a second, as the real controllers' burstReplicas."""
_COPIED = ("labels", "annotations", "finalizers")


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


def is_going(pod: Stored) -> bool:
    """Whether a pod is being deleted."""
    return "deletionTimestamp" in pod.obj["metadata"]


class PodOwner(Controller):
    """A controller of pods.

    Attributes
    ----------
    resource, kind, api_version: of the objects it brings nearer to what they ask for.
    """

    resource: ClassVar[str]
    kind: ClassVar[str]
    api_version: ClassVar[str]

    def prepare(self) -> None:
        """No pod is known yet."""
        self._orphans: dict[Key, None] = {}
        self._made: dict[str, tuple[float, int]] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """The object itself, a pod's controller, or every object that would take an orphan."""
        if event.resource == self.resource:
            if event.new is None:
                self._made.pop(event.state.uid, None)
            yield event.key
            return
        for entry in (event.old, event.new):
            owner = controller_of(entry.obj) if entry is not None else None
            if owner is not None and owner["kind"] == self.kind:
                yield (event.key[0], owner["name"])
        if event.new is not None and controller_of(event.new.obj) is None and is_active(event.new):
            self._orphans[event.key] = None
            for entry in self.store.sorted(self.resource, event.key[0]):
                if selects(entry.obj["spec"].get("selector"), event.new.obj["metadata"].get("labels", {})):
                    yield entry.key
        else:
            self._orphans.pop(event.key, None)

    def claimed(self, owner: Stored) -> list[Stored]:
        """An object's pods, after orphans were adopted and strays let go."""
        selector, pods = owner.obj["spec"].get("selector"), []
        for pod in self.store.owned_objects(owner.uid, "pods"):
            if selects(selector, pod.obj["metadata"].get("labels", {})):
                pods.append(pod)
            elif not is_going(pod):
                self.store.put("pods", _without_owner(pod, owner.uid))
        if "deletionTimestamp" in owner.obj["metadata"]:
            return pods
        for key in [key for key in self._orphans if key[0] == owner.key[0]]:
            orphan = self.store.get("pods", *key)
            if orphan is None or controller_of(orphan.obj) is not None or not is_active(orphan):
                del self._orphans[key]
            elif selects(selector, orphan.obj["metadata"].get("labels", {})) and self.may_adopt(owner, orphan):
                own = owned_by(owner, self.kind, self.api_version)
                owners = [*orphan.obj["metadata"].get("ownerReferences", ()), own]
                metadata = {**orphan.obj["metadata"], "ownerReferences": owners}
                pods.append(self.store.put("pods", {**orphan.obj, "metadata": metadata}))
        return pods

    def may_adopt(self, _owner: Stored, _orphan: Stored) -> bool:
        """Whether an orphan that the selector takes may be adopted."""
        return True

    def make_pod(self, owner: Stored, metadata: Json, spec: Json) -> str:
        """Create a pod; "" or why that was refused, to be tried again later."""
        own = [owned_by(owner, self.kind, self.api_version)]
        body = {"metadata": {**metadata, "ownerReferences": own}, "spec": spec}
        try:
            pod = create(self.backend, self.backend.registry.of("pods"), owner.key[0], body, Options())
        except StatusError as error:
            why = f"Error creating: {error.what}"
            self.note(owner, self.kind, self.api_version, reason="FailedCreate", message=why, warning=True)
            self.again_in(RETRY_S, owner.key)
            return error.what
        self.note(owner, self.kind, self.api_version, reason="SuccessfulCreate",
                  message=f"Created pod: {pod.key[1]}", warning=False)  # fmt: skip
        return ""

    def granted(self, owner: Stored, wanted: int) -> int:
        """How many of so many wanted pods an owner may have now; for the rest it is looked at again in a second."""
        now, (since, made) = self.backend.now_s(), self._made.get(owner.uid, (0.0, 0))
        if now >= since + 1:
            since, made = now, 0
        count = max(min(wanted, BURST - made), 0)
        if count < wanted:
            self.again_at(since + 1, owner.key)
        self._made[owner.uid] = since, made + count
        return count

    def end_pod(self, owner: Stored, pod: Stored) -> None:
        """Delete a pod."""
        delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions())
        self.note(owner, self.kind, self.api_version, reason="SuccessfulDelete",
                  message=f"Deleted pod: {pod.key[1]}", warning=False)  # fmt: skip

    def is_available(self, owner: Stored, pod: Stored) -> bool:
        """Whether a pod has been Ready for minReadySeconds; looks again when it will have been."""
        if not is_true(pod.obj, "Ready"):
            return False
        needed_s = owner.obj["spec"].get("minReadySeconds", 0)
        since = (condition(pod.obj, "Ready") or {}).get("lastTransitionTime")
        if not needed_s or since is None or epoch_s(since) + needed_s <= self.backend.now_s():
            return True
        self.again_at(epoch_s(since) + needed_s, owner.key)
        return False


def from_template(template: Json) -> tuple[Json, Json]:
    """Metadata and spec of a pod of a template, the caller's own."""
    metadata = {key: clone(value) for key, value in template.get("metadata", {}).items() if key in _COPIED}
    return metadata, clone(dig(template, "spec", default={}))


def _without_owner(pod: Stored, uid: str) -> Json:
    metadata = dict(pod.obj["metadata"])
    owners = [owner for owner in metadata.pop("ownerReferences", ()) if owner["uid"] != uid]
    return {**pod.obj, "metadata": {**metadata, "ownerReferences": owners} if owners else metadata}
