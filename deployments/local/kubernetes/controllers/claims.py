"""PersistentVolumeClaims: bound a moment after they are made, grown when asked, kept while a pod uses them."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, epoch_s

BIND_S = 1.0
"""Simulated seconds until a claim has its volume."""
PROTECTION = "kubernetes.io/pvc-protection"


class Claims(Controller):
    """Stands in for the provisioner, the binder and the claims' protection; there are no volumes behind it."""

    resources = frozenset({"persistentvolumeclaims", "pods"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The claim; the claims of a pod that has ended."""
        if event.resource != "pods":
            yield event.key
        elif event.new is None or not _is_using(event.new):
            for name in _claims_of(event.state):
                yield event.key[0], name

    def reconcile(self, key: Work) -> None:
        """Bind, grow or release one claim."""
        claim = self.store.get("persistentvolumeclaims", *key)
        if claim is None:
            return
        metadata = claim.obj["metadata"]
        if "deletionTimestamp" in metadata:
            self._release(claim)
            return
        wait_s = epoch_s(metadata["creationTimestamp"]) + BIND_S - self.backend.now_s()
        if dig(claim.obj, "status", "phase") == "Pending" and wait_s > 0:
            self.again_in(wait_s, key)
            return
        spec = claim.obj["spec"]
        size, name = dig(spec, "resources", "requests", default={}), spec.get("volumeName", f"pvc-{claim.uid}")
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": {"storage": size["storage"]}}
        self.set_status("persistentvolumeclaims", claim, status, spec={**spec, "volumeName": name})

    def _release(self, claim: Stored) -> None:
        finalizers = [entry for entry in claim.obj["metadata"].get("finalizers", ()) if entry != PROTECTION]
        if finalizers == claim.obj["metadata"].get("finalizers", []) or any(
            claim.key[1] in _claims_of(pod) for pod in self.store.all("pods", claim.key[0]) if _is_using(pod)
        ):
            return
        metadata = {key: value for key, value in claim.obj["metadata"].items() if key != "finalizers"}
        if finalizers:
            self.store.put("persistentvolumeclaims", {**claim.obj, "metadata": {**metadata, "finalizers": finalizers}})
        else:
            self.store.remove("persistentvolumeclaims", *claim.key, last={**claim.obj, "metadata": metadata})


def _claims_of(pod: Stored) -> list[str]:
    volumes = pod.obj["spec"].get("volumes", ())
    return [name for volume in volumes if (name := dig(volume, "persistentVolumeClaim", "claimName"))]


def _is_using(pod: Stored) -> bool:
    return pod.obj["status"].get("phase") not in ("Succeeded", "Failed")
