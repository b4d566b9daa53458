"""Namespaces: what each one starts with, and how one is emptied before it goes."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import EVERYTHING, Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.writing import create

# ConfigMaps that every namespace starts with, and the key of each. The second one is what the control plane adds from
# which the conformance transcripts were recorded (an OpenShift build): their counts include it.
CERTIFICATES = {"kube-root-ca.crt": "ca.crt", "openshift-service-ca.crt": "service-ca.crt"}
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nsimulated cluster: no certificate authority\n-----END CERTIFICATE-----\n"
_GIVEN = ("serviceaccounts", "configmaps")


class Namespaces(Controller):
    """Gives every namespace its ServiceAccount and ConfigMap; removes a deleted one after its content."""

    resources = EVERYTHING

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._leaving: set[str] = set()

    def keys(self, event: Event) -> Iterable[Work]:
        """A namespace's own name; also when something in it goes that it waits for or must have."""
        if event.resource == "namespaces":
            yield event.key[1]
        elif event.new is None and (event.key[0] in self._leaving or event.resource in _GIVEN):
            yield event.key[0]

    def reconcile(self, key: Work) -> None:
        """Fill or empty one namespace."""
        name = str(key)
        found = self.store.get("namespaces", "", name)
        if found is None:
            self._leaving.discard(name)
        elif "deletionTimestamp" in found.obj["metadata"]:
            self._leaving.add(name)
            self._empty(found)
        else:
            self._fill(name)

    def _fill(self, name: str) -> None:
        registry = self.backend.registry
        if self.store.get("serviceaccounts", name, "default") is None:
            create(self.backend, registry.of("serviceaccounts"), name, {"metadata": {"name": "default"}}, Options())
        for certificate, key in CERTIFICATES.items():
            if self.store.get("configmaps", name, certificate) is None:
                body = {"metadata": {"name": certificate}, "data": {key: _CERTIFICATE}}
                create(self.backend, registry.of("configmaps"), name, body, Options())

    def _empty(self, namespace: Stored) -> None:
        name = namespace.key[1]
        for resource in self.store.resources():
            kind = self.backend.registry.stored(resource)
            for entry in self.store.sorted(resource, name) if kind.namespaced else ():
                if "deletionTimestamp" not in entry.obj["metadata"]:
                    delete(self.backend, kind, *entry.key, DeleteOptions("Background"))
        if any(next(self.store.all(resource, name), None) for resource in self.store.resources()):
            return
        bare = {**namespace.obj, "spec": {}}
        if namespace.obj["metadata"].get("finalizers"):
            self.set_status("namespaces", namespace, namespace.obj["status"], spec={})
        else:
            self.store.remove("namespaces", "", name, last=bare)
