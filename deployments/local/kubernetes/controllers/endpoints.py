"""EndpointSlices: the addresses behind a Service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions, Options
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.pod_owner import owned_by
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, is_true
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME, MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"


class Endpoints(Controller):
    """One slice for every Service with a selector."""

    resources = frozenset({"services", "pods"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The Service itself; the Services that select a pod, before or after the write."""
        if event.resource == "services":
            yield event.key
            return
        states = [state for state in (event.old, event.new) if state is not None]
        for entry in self.store.all("services", event.key[0]):
            selector = dig(entry.obj, "spec", "selector", default={})
            if any(_selected(selector, state) for state in states):
                yield entry.key

    def reconcile(self, key: Work) -> None:
        """Write one Service's slice."""
        service = self.store.get("services", *key)
        selector = dig(service.obj, "spec", "selector", default={}) if service is not None else {}
        if service is None:
            return
        slices = self.store.owned_objects(service.uid, SLICES)
        if not selector:
            for entry in slices:
                delete(self.backend, self.backend.registry.of(SLICES), *entry.key, DeleteOptions())
            return
        pods = [pod for pod in self.store.sorted("pods", service.key[0])
                if _selected(selector, pod) and self._has_address(pod)]  # fmt: skip
        content = {"endpoints": [_endpoint(pod) for pod in pods], "ports": _ports(service, pods)}
        if slices:
            entry = slices[0]
            if any(entry.obj.get(field, []) != value for field, value in content.items()):
                generation = entry.obj["metadata"].get("generation", 1) + 1
                metadata = {**entry.obj["metadata"], "generation": generation}
                self.store.put(SLICES, {**entry.obj, **content, "metadata": metadata})
            return
        metadata = {
            "generateName": f"{service.key[1]}-",
            "labels": {SERVICE_NAME: service.key[1], MANAGED_BY: "endpointslice-controller.k8s.io"},
            "ownerReferences": [owned_by(service, "Service", "v1")],
        }  # fmt: skip
        body = {"metadata": metadata, "addressType": "IPv4", **content}
        create(self.backend, self.backend.registry.of(SLICES), service.key[0], body, Options())

    def _has_address(self, pod: Stored) -> bool:
        """Pods without an address, ended ones and those on unknown nodes are no endpoints."""
        status, node = pod.obj["status"], pod.obj["spec"].get("nodeName", "")
        running = status.get("phase") not in ("Succeeded", "Failed")
        return running and bool(status.get("podIP")) and self.store.get("nodes", "", node) is not None


def _selected(selector: dict[str, str], pod: Stored) -> bool:
    return bool(selector) and selector.items() <= pod.obj["metadata"].get("labels", {}).items()


def _endpoint(pod: Stored) -> Json:
    ready, terminating = is_true(pod.obj, "Ready"), "deletionTimestamp" in pod.obj["metadata"]
    return {
        "addresses": [pod.obj["status"]["podIP"]],
        "conditions": {"ready": ready and not terminating, "serving": ready, "terminating": terminating},
        "nodeName": pod.obj["spec"]["nodeName"],
        "targetRef": {"kind": "Pod", "name": pod.key[1], "namespace": pod.key[0], "uid": pod.uid},
    }


def _ports(service: Stored, pods: list[Stored]) -> list[Json]:
    found = []
    for port in dig(service.obj, "spec", "ports", default=()):
        target = port.get("targetPort", port["port"])
        if isinstance(target, str):
            named = [entry["containerPort"] for pod in pods for container in pod.obj["spec"]["containers"]
                     for entry in container.get("ports", ()) if entry.get("name") == target]  # fmt: skip
            if not named:
                continue
            target = named[0]
        found.append({"name": port.get("name", ""), "port": target, "protocol": port.get("protocol", "TCP")})
    return found
