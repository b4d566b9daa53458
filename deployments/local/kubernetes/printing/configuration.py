"""Configuration, identities, rights, locks and claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.printing.columns import AGE, CREATED_AT, NAME, Column, field, shows
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _entries(*names: str) -> Callable[[Json], int]:
    return lambda obj: sum(len(obj.get(name, ())) for name in names)


def _subjects(kind: str) -> Callable[[Json], str]:
    def cell(binding: Json) -> str:
        found = [entry for entry in binding.get("subjects", ()) if entry["kind"] == kind]
        names = [f"{entry.get('namespace', '')}/{entry['name']}" if kind == "ServiceAccount" else entry["name"]
                 for entry in found]  # fmt: skip
        return ", ".join(names)

    return cell


def _claimed(*path: str) -> Callable[[Json], Any]:
    """What a claim has only once it is bound to a volume."""
    return lambda claim: dig(claim, *path, default="") if dig(claim, "spec", "volumeName") else ""


def _access(claim: Json) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in _claimed("status", "accessModes")(claim))


_BINDING = [
    NAME, shows("Role", lambda obj: "{kind}/{name}".format(**obj["roleRef"])), AGE,
    shows("Users", _subjects("User"), wide=True), shows("Groups", _subjects("Group"), wide=True),
    shows("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
]  # fmt: skip

COLUMNS: dict[str, list[Column]] = {
    "configmaps": [NAME, shows("Data", _entries("data", "binaryData")), AGE],
    "secrets": [NAME, field("Type", "type"), shows("Data", _entries("data")), AGE],
    "serviceaccounts": [NAME, shows("Secrets", _entries("secrets")), AGE],
    "leases.coordination.k8s.io": [NAME, field("Holder", "spec", "holderIdentity", default=""), AGE],
    "roles.rbac.authorization.k8s.io": [NAME, CREATED_AT],
    "clusterroles.rbac.authorization.k8s.io": [NAME, CREATED_AT],
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "persistentvolumeclaims": [
        NAME,
        shows("Status", lambda obj: "Terminating" if "deletionTimestamp" in obj["metadata"]
              else dig(obj, "status", "phase", default="")),
        field("Volume", "spec", "volumeName", default=""), shows("Capacity", _claimed("status", "capacity", "storage")),
        shows("Access Modes", _access), field("StorageClass", "spec", "storageClassName", default=""),
        field("VolumeAttributesClass", "spec", "volumeAttributesClassName", default="<unset>"), AGE,
        field("VolumeMode", "spec", "volumeMode", default="<unset>", wide=True),
    ],
}  # fmt: skip
