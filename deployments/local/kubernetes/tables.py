"""Tables: what `kubectl get` prints. Columns by kind; every other kind shows name and age."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.reading import Page
from deployments.local.kubernetes.selectors import as_text
from deployments.local.kubernetes.trees import condition, dig, epoch_s

Json = dict[str, Any]
Cell = Callable[[Json], Any]

_NONE = "<none>"


def _node_status(node: Json) -> str:
    ready = condition(node, "Ready") or {"status": "Unknown"}
    word = {"True": "Ready", "False": "NotReady"}.get(ready["status"], "NotReady" if ready.get("reason") else "Unknown")
    return f"{word},SchedulingDisabled" if dig(node, "spec", "unschedulable") else word


def _roles(node: Json) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels", {})
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or _NONE


def _internal_address(node: Json) -> str:
    addresses = dig(node, "status", "addresses", default=())
    return next((str(entry["address"]) for entry in addresses if entry["type"] == "InternalIP"), _NONE)


def _pod_status(pod: Json) -> str:
    return (
        "Terminating" if "deletionTimestamp" in pod["metadata"] else str(dig(pod, "status", "phase", default="Unknown"))
    )


def _pod_ready(pod: Json) -> str:
    states = dig(pod, "status", "containerStatuses", default=[])
    return f"{sum(1 for entry in states if entry.get('ready'))}/{len(dig(pod, 'spec', 'containers', default=[]))}"


def _containers(obj: Json) -> list[Json]:
    found: list[Json] = dig(obj, "spec", "template", "spec", "containers", default=[])
    return found


def _at(*path: str, default: Any = _NONE) -> Cell:
    return lambda obj: dig(obj, *path, default=default)


def _ready_of(obj: Json) -> str:
    return f"{dig(obj, 'status', 'readyReplicas', default=0)}/{dig(obj, 'spec', 'replicas', default=0)}"


_CONTAINERS: list[tuple[str, Cell]] = [
    ("Containers", lambda obj: ",".join(entry["name"] for entry in _containers(obj))),
    ("Images", lambda obj: ",".join(entry["image"] for entry in _containers(obj))),
    ("Selector", lambda obj: as_text(dig(obj, "spec", "selector"))),
]
_AGE = "Age"

# Columns after Name, by resource. Age is put in where it stands; columns after it are shown with -o wide only.
COLUMNS: dict[str, list[tuple[str, Cell]]] = {
    "nodes": [
        ("Status", _node_status), ("Roles", _roles), (_AGE, str),
        ("Version", _at("status", "nodeInfo", "kubeletVersion", default="")), ("Internal-IP", _internal_address),
        ("External-IP", lambda _node: _NONE), ("OS-Image", _at("status", "nodeInfo", "osImage")),
        ("Kernel-Version", _at("status", "nodeInfo", "kernelVersion")),
        ("Container-Runtime", _at("status", "nodeInfo", "containerRuntimeVersion")),
    ],
    "pods": [
        ("Ready", _pod_ready), ("Status", _pod_status), ("Restarts", lambda _pod: 0), (_AGE, str),
        ("IP", _at("status", "podIP")), ("Node", _at("spec", "nodeName")),
        ("Nominated Node", _at("status", "nominatedNodeName")), ("Readiness Gates", lambda _pod: _NONE),
    ],
    "namespaces": [("Status", _at("status", "phase")), (_AGE, str)],
    "deployments.apps": [
        ("Ready", _ready_of), ("Up-to-date", _at("status", "updatedReplicas", default=0)),
        ("Available", _at("status", "availableReplicas", default=0)), (_AGE, str), *_CONTAINERS,
    ],
    "replicasets.apps": [
        ("Desired", _at("spec", "replicas", default=0)), ("Current", _at("status", "replicas", default=0)),
        ("Ready", _at("status", "readyReplicas", default=0)), (_AGE, str), *_CONTAINERS,
    ],
    "poddisruptionbudgets.policy": [
        ("Min Available", _at("spec", "minAvailable", default="N/A")),
        ("Max Unavailable", _at("spec", "maxUnavailable", default="N/A")),
        ("Allowed Disruptions", _at("status", "disruptionsAllowed", default=0)), (_AGE, str),
    ],
    "leases.coordination.k8s.io": [("Holder", _at("spec", "holderIdentity")), (_AGE, str)],
    "services": [
        ("Type", _at("spec", "type")), ("Cluster-IP", _at("spec", "clusterIP")), ("External-IP", lambda _s: _NONE),
        ("Port(s)", lambda obj: ",".join(f"{entry['port']}/{entry.get('protocol', 'TCP')}"
                                         for entry in dig(obj, "spec", "ports", default=()))), (_AGE, str),
    ],
    "events": [
        ("Last Seen", lambda obj: obj.get("lastTimestamp", "")), ("Type", lambda obj: obj.get("type", "")),
        ("Reason", lambda obj: obj.get("reason", "")), ("Message", lambda obj: obj.get("message", "")),
    ],
}  # fmt: skip
_PLAIN: list[tuple[str, Cell]] = [(_AGE, str)]
_NARROW_ONLY = {"nodes": "Version"}
"""The last column that is shown without -o wide, where it is not Age."""


def age(obj: Json, now_s: float) -> str:
    """How long ago an object was created, in one or two units.

    >>> age({"metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"}}, 3 * 3600 + 60)
    '3h'
    """
    seconds = max(int(now_s - epoch_s(obj["metadata"]["creationTimestamp"])), 0)
    for unit, size, limit in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def render(kind: Kind, page: Page, now_s: float) -> Json:
    """A page of objects as a Table."""
    columns = COLUMNS.get(kind.storage, _PLAIN)
    last = _NARROW_ONLY.get(kind.storage, _AGE)
    definitions, wide = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}], 0
    for title, _ in columns:
        definitions.append({"name": title, "type": "string", "format": "", "description": "", "priority": wide})
        wide = 1 if title == last else wide
    rows = []
    for entry in page.entries:
        cells = [age(entry.obj, now_s) if title == _AGE else cell(entry.obj) for title, cell in columns]
        shown = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.obj["metadata"]}
        rows.append({"cells": [entry.key[1], *cells], "object": shown})
    metadata: Json = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
    head: Json = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**head, "columnDefinitions": definitions, "rows": rows}
