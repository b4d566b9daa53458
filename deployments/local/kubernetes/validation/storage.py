"""Rules for claims, volumes and storage classes."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.status import FORBIDDEN, INVALID, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig, with_value
from deployments.local.kubernetes.validation.selectors import label_selector, supported

Json = dict[str, Any]

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_REQUEST = ("resources", "requests", "storage")


def _access_modes(spec: Json) -> list[Cause]:
    if not spec.get("accessModes"):
        return [Cause(REQUIRED, "spec.accessModes", "at least 1 access mode is required")]
    return [cause for mode in spec["accessModes"] for cause in supported("spec.accessModes", mode, _MODES)]


def claim(obj: Json) -> list[Cause]:
    """Faults of a PersistentVolumeClaim."""
    spec = obj["spec"]
    causes = [*_access_modes(spec), *label_selector(spec.get("selector"), "spec.selector")]
    request = dig(spec, *_REQUEST)
    if request is None:
        causes.append(Cause(REQUIRED, "spec.resources[storage]"))
    elif quantity(request) <= 0:
        causes.append(Cause(INVALID, "spec.resources[storage]", f'"{request}": must be greater than zero'))
    return [*causes, *supported("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))]


def claim_change(new: Json, old: Json) -> list[Cause]:
    """A claim's spec is fixed, but a bound one may grow; binding it is no change of what was asked for."""
    before, after = old["spec"], new["spec"]
    wanted, given = dig(after, *_REQUEST), dig(old, "status", "capacity", "storage")
    same = with_value(after, _REQUEST, dig(before, *_REQUEST))
    if "volumeName" not in before:
        same = with_value(same, ("volumeName",), None)
    bound = dig(old, "status", "phase") == "Bound"
    if same != before or (wanted != dig(before, *_REQUEST) and not bound):
        why = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [Cause(FORBIDDEN, "spec", why)]
    if given is not None and wanted is not None and quantity(wanted) < quantity(given):
        return [Cause(FORBIDDEN, "spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []


def volume(obj: Json) -> list[Cause]:
    """Faults of a PersistentVolume."""
    spec = obj["spec"]
    causes = _access_modes(spec)
    if not spec.get("capacity"):
        causes.append(Cause(REQUIRED, "spec.capacity"))
    policies = ("Delete", "Recycle", "Retain")
    return [
        *causes,
        *supported("spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), policies),
    ]


def storage_class(obj: Json) -> list[Cause]:
    """Faults of a StorageClass."""
    causes = [] if obj.get("provisioner") else [Cause(REQUIRED, "provisioner")]
    causes += supported("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    return [
        *causes,
        *supported("volumeBindingMode", obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer")),
    ]


def storage_class_change(new: Json, old: Json) -> list[Cause]:
    """What a StorageClass says about volumes is fixed."""
    return [Cause(FORBIDDEN, field, f"updates to {field} are forbidden.")
            for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
            if new.get(field) != old.get(field)]  # fmt: skip
