"""CustomResourceDefinitions: served once established, and gone with all their objects."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.local.kubernetes import custom
from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import with_condition


class CustomResources(Controller):
    """Declares the kinds of definitions, and withdraws them."""

    resources = frozenset({custom.DEFINITIONS})

    def keys(self, event: Event) -> Iterable[Work]:
        """The definition's name, which is also the resource that it declares."""
        yield event.key[1]

    def reconcile(self, key: Work) -> None:
        """Serve one definition, or stop serving it."""
        resource = str(key)
        definition = self.store.get(custom.DEFINITIONS, "", resource)
        if definition is not None:
            self._establish(definition)
            return
        for entry in self.store.sorted(resource):
            delete(self.backend, self.backend.registry.stored(resource), *entry.key, DeleteOptions("Background"))
        self.backend.registry.withdraw(resource)

    def _establish(self, definition: Stored) -> None:
        spec, old, now = definition.obj["spec"], definition.obj.get("status", {}), self.backend.timestamp()
        self.backend.registry.declare(custom.kinds_of(definition.obj))
        conditions = old.get("conditions", [])
        for kind, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted")):
            conditions = with_condition(
                conditions, {"type": kind, "status": "True", "reason": reason, "message": ""}, now
            )
        names = {"listKind": f"{spec['names']['kind']}List", "singular": spec["names"]["kind"].lower(), **spec["names"]}
        stored = [version["name"] for version in spec["versions"] if version.get("storage")]
        self.set_status(custom.DEFINITIONS, definition, {**old, "conditions": conditions, "acceptedNames": names,
                                                         "storedVersions": stored})  # fmt: skip
