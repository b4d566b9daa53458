"""What may not change once an object exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.status import FORBIDDEN, INVALID, Cause
from deployments.local.kubernetes.trees import clone, dig
from deployments.local.kubernetes.validation import gates
from deployments.local.kubernetes.validation.storage import claim_change, storage_class_change

Json = dict[str, Any]

# Fields that keep their first value, by resource.
IMMUTABLE: dict[str, tuple[str, ...]] = {
    "deployments.apps": ("spec.selector",),
    "replicasets.apps": ("spec.selector",),
    "statefulsets.apps": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy"),
    "daemonsets.apps": ("spec.selector",),
    "jobs.batch": ("spec.selector", "spec.completionMode", "spec.template"),
    "secrets": ("type",),
    "ingressclasses.networking.k8s.io": ("spec.controller",),
    "controllerrevisions.apps": ("data",),
    "customresourcedefinitions.apiextensions.k8s.io": (
        "spec.group",
        "spec.scope",
        "spec.names.kind",
        "spec.names.plural",
    ),
    "endpointslices.discovery.k8s.io": ("addressType",),
    "rolebindings.rbac.authorization.k8s.io": ("roleRef",),
    "clusterrolebindings.rbac.authorization.k8s.io": ("roleRef",),
}


def check(kind: Kind, new: Json, old: Json) -> list[Cause]:
    """Faults of a change, taking for granted that the new object by itself is sound."""
    causes = []
    for path in IMMUTABLE.get(kind.storage, ()):
        value = dig(new, *path.split("."))
        if value != dig(old, *path.split(".")):
            causes.append(Cause(INVALID, path, f"{_shown(value)}: field is immutable"))
    special = _SPECIAL.get(kind.storage)
    return [*causes, *special(new, old)] if special is not None else causes


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _frozen_data(new: Json, old: Json) -> list[Cause]:
    """An immutable ConfigMap or Secret stays as it is."""
    if not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    causes = [] if new.get("immutable") else [Cause(FORBIDDEN, "immutable", why)]
    causes += [Cause(FORBIDDEN, field, why) for field in ("data", "binaryData") if new.get(field) != old.get(field)]
    return causes


def _pod(new: Json, old: Json) -> list[Cause]:
    """Of a pod's spec only images, the deadline and more tolerations may change, and what its gates permit."""
    mended = clone(gates.without_permitted(new["spec"], old["spec"]))
    for group in ("containers", "initContainers"):
        for container, before in zip(mended.get(group, ()), old["spec"].get(group, ()), strict=False):
            container["image"] = before.get("image")
            container["imagePullPolicy"] = before.get("imagePullPolicy")
    before, after = old["spec"].get("tolerations", []), mended.get("tolerations", [])
    if all(toleration in after for toleration in before):
        mended["tolerations"] = before
    for field in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"):
        if field in old["spec"] and (field != "terminationGracePeriodSeconds" or old["spec"][field] < 0):
            mended[field] = old["spec"][field]
        elif field not in old["spec"] and not mended.get(field):
            mended.pop(field, None)
    if faults := gates.added(new["spec"], old["spec"]):
        return faults
    if mended == old["spec"]:
        return []
    why = "a pod's spec is fixed but for container images, activeDeadlineSeconds and additional tolerations"
    return [Cause(FORBIDDEN, "spec", why)]


def _job(new: Json, old: Json) -> list[Cause]:
    completions = dig(new, "spec", "completions")
    if dig(new, "spec", "completionMode") == "NonIndexed" and completions != dig(old, "spec", "completions"):
        return [Cause(INVALID, "spec.completions", f"{completions}: field is immutable")]
    return []


def _service(new: Json, old: Json) -> list[Cause]:
    """A Service keeps its address, unless it turns into an ExternalName."""
    before, after = dig(old, "spec", "clusterIP", default=""), dig(new, "spec", "clusterIP", default="")
    if not before or before == after or dig(new, "spec", "type") == "ExternalName":
        return []
    return [Cause(INVALID, "spec.clusterIPs[0]", f'["{after}"]: may not change once set')]


def _priority_class(new: Json, old: Json) -> list[Cause]:
    why = "may not be changed in an update."
    return [Cause(FORBIDDEN, field, why) for field in ("value", "preemptionPolicy") if new.get(field) != old.get(field)]


_SPECIAL: dict[str, Callable[[Json, Json], list[Cause]]] = {
    "configmaps": _frozen_data,
    "secrets": _frozen_data,
    "pods": _pod,
    "jobs.batch": _job,
    "services": _service,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "persistentvolumeclaims": claim_change,
    "storageclasses.storage.k8s.io": storage_class_change,
}
