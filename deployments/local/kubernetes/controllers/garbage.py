"""Garbage collection: dependents follow their owners, in the order that the deletion asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import Backend, DeleteOptions
from deployments.local.kubernetes.controllers.base import EVERYTHING, Controller, Work
from deployments.local.kubernetes.deleting import FOREGROUND, ORPHAN, delete
from deployments.local.kubernetes.store import Event, Key, Stored

Json = dict[str, Any]

POD_GRACE_S = 40
"""Seconds after which a terminating pod whose node does not exist is given up."""


class GarbageCollector(Controller):
    """Removes what has lost its owners, holds owners back in the foreground, lets orphans go."""

    resources = EVERYTHING

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._unconfirmed: dict[str, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """Owners that were deleted or marked, and objects that may have lost theirs."""
        metadata = event.state.obj["metadata"]
        if event.new is None:
            yield ("orphaned", event.state.uid)
            for owner in metadata.get("ownerReferences", ()):
                yield ("owner", owner["uid"])
        elif "deletionTimestamp" in metadata and metadata.get("finalizers"):
            yield ("marked", event.resource, event.key)
        elif event.old is None and "ownerReferences" in metadata:
            yield ("dependent", event.resource, event.key)
        if event.resource == "pods" and event.new is not None and "deletionTimestamp" in metadata:
            yield ("pod", event.key)

    def reconcile(self, key: Work) -> None:
        """Act on one owner, one dependent or one pod."""
        what, *rest = key
        if what == "orphaned":
            for resource, entry in self.store.owned(rest[0]):
                self._collect(resource, entry)
        elif what == "owner":
            self._release(rest[0])
        elif what == "marked":
            self._marked(*rest)
        elif what == "dependent":
            self._collect(*rest)
        else:
            self._give_up(rest[0])

    def _collect(self, resource: str, key: Key) -> None:
        """Delete an object none of whose owners is left."""
        found = self.store.get(resource, *key)
        if found is None:
            return
        owners = found.obj["metadata"].get("ownerReferences", [])
        left = [owner for owner in owners if self.store.knows(owner["uid"])]
        if owners and not left:
            delete(self.backend, self.backend.registry.stored(resource), *key, DeleteOptions("Background"))
        elif len(left) < len(owners):
            self.store.put(resource, _owned_by(found, left))

    def _marked(self, resource: str, key: Key) -> None:
        owner = self.store.get(resource, *key)
        if owner is None:
            return
        finalizers = owner.obj["metadata"].get("finalizers", [])
        if ORPHAN in finalizers:
            for kind, dependent in self.store.owned(owner.uid):
                found = self.store.get(kind, *dependent)
                if found is not None:
                    rest = [entry for entry in found.obj["metadata"]["ownerReferences"] if entry["uid"] != owner.uid]
                    self.store.put(kind, _owned_by(found, rest))
            _finish(self.backend, resource, owner, ORPHAN)
        elif FOREGROUND in finalizers:
            for kind, dependent in self.store.owned(owner.uid):
                found = self.store.get(kind, *dependent)
                if found is not None and "deletionTimestamp" not in found.obj["metadata"]:
                    policy = DeleteOptions("Foreground" if self.store.owned(found.uid) else "Background")
                    delete(self.backend, self.backend.registry.stored(kind), *dependent, policy)
            self._release(owner.uid)

    def _release(self, uid: str) -> None:
        """Let an owner go whose dependents are gone."""
        place = self.store.place(uid)
        owner = self.store.get(place[0], *place[1]) if place else None
        if owner is None or place is None or self.store.owned(uid):
            return
        metadata = owner.obj["metadata"]
        if "deletionTimestamp" in metadata and FOREGROUND in metadata.get("finalizers", ()):
            _finish(self.backend, place[0], owner, FOREGROUND)

    def _give_up(self, key: Key) -> None:
        """A terminating pod on a node that does not exist has nobody to confirm its end."""
        pod = self.store.get("pods", *key)
        if pod is None or self.store.get("nodes", "", pod.obj["spec"].get("nodeName", "")) is not None:
            return
        since = self._unconfirmed.setdefault(pod.uid, self.backend.now_s())
        if self.backend.now_s() - since < POD_GRACE_S:
            self.again_at(since + POD_GRACE_S, ("pod", key))
            return
        del self._unconfirmed[pod.uid]
        delete(self.backend, self.backend.registry.of("pods"), *key, DeleteOptions("Background", grace_s=0))


def _owned_by(entry: Stored, owners: list[Json]) -> Json:
    metadata = {key: value for key, value in entry.obj["metadata"].items() if key != "ownerReferences"}
    if owners:
        metadata["ownerReferences"] = owners
    return {**entry.obj, "metadata": metadata}


def _finish(backend: Backend, resource: str, owner: Stored, finalizer: str) -> None:
    """Take a finalizer off; with the last one the object goes."""
    finalizers = [entry for entry in owner.obj["metadata"]["finalizers"] if entry != finalizer]
    metadata = {key: value for key, value in owner.obj["metadata"].items() if key != "finalizers"}
    if finalizers:
        backend.store.put(resource, {**owner.obj, "metadata": {**metadata, "finalizers": finalizers}})
    else:
        backend.store.remove(resource, *owner.key, last={**owner.obj, "metadata": metadata})
