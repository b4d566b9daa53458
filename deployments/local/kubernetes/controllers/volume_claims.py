"""Volume claims of a StatefulSet's pods: one for each template and pod, kept when the pod goes."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.backend import Backend, Options
from deployments.local.kubernetes.controllers.pod_owner import owned_by
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone, dig, with_value
from deployments.local.kubernetes.writing import create

Json = dict[str, Any]

CLAIMS = "persistentvolumeclaims"
_POLICY = ("spec", "persistentVolumeClaimRetentionPolicy")


class VolumeClaims:
    """Creates claims, and hands them to whom they are to go with."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.store = backend, backend.store

    def names(self, owner: Stored) -> list[str]:
        """Names of a StatefulSet's claim templates, which are names of volumes too."""
        return [template["metadata"]["name"] for template in _templates(owner)]

    def make(self, owner: Stored, pod: str) -> list[Json]:
        """Create the claims of one pod that are not there; the volumes that use them."""
        labels, kind = dig(owner.obj, "spec", "selector", "matchLabels", default={}), self._kind()
        for template in _templates(owner):
            name = f"{template['metadata']['name']}-{pod}"
            if kind is not None and self.store.get(CLAIMS, owner.key[0], name) is None:
                metadata: Json = {"name": name, "labels": {**template["metadata"].get("labels", {}), **labels}}
                if annotations := template["metadata"].get("annotations"):
                    metadata["annotations"] = dict(annotations)
                if dig(owner.obj, *_POLICY, "whenDeleted") == "Delete":
                    metadata["ownerReferences"] = [owned_by(owner, "StatefulSet", "apps/v1")]
                body = {"metadata": metadata, "spec": clone(template.get("spec", {}))}
                create(self.backend, kind, owner.key[0], body, Options())
        return [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod}"}} for name in self.names(owner)]

    def _kind(self) -> Kind | None:
        return self.backend.registry.find("", "v1", CLAIMS)

    def condemn(self, owner: Stored, pod: Stored) -> None:
        """Let the claims of a pod that is scaled away go with it, where the StatefulSet asks for that."""
        if dig(owner.obj, *_POLICY, "whenScaled") != "Delete":
            return
        for name in self.names(owner):
            claim = self.store.get(CLAIMS, pod.key[0], f"{name}-{pod.key[1]}")
            if claim is not None:
                owners = [{"apiVersion": "v1", "kind": "Pod", "name": pod.key[1], "uid": pod.uid}]
                self.store.put(CLAIMS, with_value(claim.obj, ("metadata", "ownerReferences"), owners))


def _templates(owner: Stored) -> list[Json]:
    """Claim templates with a name; without one no claim of theirs would be valid."""
    return [each for each in owner.obj["spec"].get("volumeClaimTemplates", ()) if dig(each, "metadata", "name")]
