"""Second versions of a kind: how they are stored, and how they show what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import clone, dig

Json = dict[str, Any]

# Names of Event fields in events.k8s.io/v1 and in v1.
_EVENT_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_NAMES_BACK = {old: new for new, old in _EVENT_NAMES.items()}
_CPU_TARGET = "targetCPUUtilizationPercentage"


def _event_stored(obj: Json) -> Json:
    return {_EVENT_NAMES.get(key, key): value for key, value in obj.items()}


def _event_shown(obj: Json) -> Json:
    return {_EVENT_NAMES_BACK.get(key, key): value for key, value in obj.items()}


def _autoscaler_stored(obj: Json) -> Json:
    spec = dict(obj.get("spec", {}))
    if (percent := spec.pop(_CPU_TARGET, None)) is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    return {**obj, "spec": spec}


def _autoscaler_shown(obj: Json) -> Json:
    spec = {key: value for key, value in obj.get("spec", {}).items() if key not in ("metrics", "behavior")}
    for metric in dig(obj, "spec", "metrics", default=()):
        percent = dig(metric, "resource", "target", "averageUtilization")
        if dig(metric, "resource", "name") == "cpu" and percent is not None:
            spec[_CPU_TARGET] = percent
    kept = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
    status = {key: value for key, value in obj.get("status", {}).items() if key in kept}
    return {**obj, "spec": spec, "status": status}


# Group/version of a second version: into the stored form, and out of it.
_CONVERSIONS: dict[str, tuple[Callable[[Json], Json], Callable[[Json], Json]]] = {
    "events.k8s.io/v1": (_event_stored, _event_shown),
    "autoscaling/v1": (_autoscaler_stored, _autoscaler_shown),
}


def stored(kind: Kind, obj: Json) -> Json:
    """An object of this version in its stored form."""
    return _CONVERSIONS[kind.api_version][0](obj) if kind.stored_as else obj


def shown(kind: Kind, obj: Json) -> Json:
    """A stored object in this version."""
    return _CONVERSIONS[kind.api_version][1](obj) if kind.stored_as else obj


def keep_allocated(kind: Kind, new: Json, old: Json) -> None:
    """What the server once gave to an object stays, though a client may leave it out of a new state."""
    if kind.resource == "services":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if field not in new.get("spec", {}) and field in old.get("spec", {}):
                new["spec"][field] = clone(old["spec"][field])
    elif kind.resource == "jobs.batch" and "selector" in old.get("spec", {}):
        new["spec"].setdefault("selector", clone(old["spec"]["selector"]))
        labels = clone(dig(old, "spec", "template", "metadata", "labels", default={}))
        template = new["spec"].setdefault("template", {}).setdefault("metadata", {})
        template["labels"] = {**labels, **template.get("labels", {})}
