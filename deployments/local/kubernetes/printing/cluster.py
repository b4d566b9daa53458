"""Nodes and what else has no namespace, and the two kinds of metrics.k8s.io."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.printing.ages import UNKNOWN
from deployments.local.kubernetes.printing.columns import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    Column,
    count,
    field,
    shows,
)
from deployments.local.kubernetes.trees import condition, dig

Json = dict[str, Any]


def _node_status(node: Json) -> str:
    ready = condition(node, "Ready")
    word = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if dig(node, "spec", "unschedulable") else word


def _roles(node: Json) -> str:
    prefix, found = "node-role.kubernetes.io/", set()
    for key, value in node["metadata"].get("labels", {}).items():
        if key.startswith(prefix) and key != prefix:
            found.add(key.removeprefix(prefix))
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return ",".join(sorted(found)) or NONE


def _address(title: str) -> Column:
    kind = title.replace("-", "")

    def cell(node: Json) -> str:
        addresses = dig(node, "status", "addresses", default=())
        return next((str(entry["address"]) for entry in addresses if entry["type"] == kind), NONE)

    return shows(title, cell, wide=True)


def _node_info(title: str, name: str, *, wide: bool = True) -> Column:
    return shows(title, lambda node: dig(node, "status", "nodeInfo", name) or (UNKNOWN if wide else ""), wide=wide)


def _container_total(resource: str) -> Column:
    """A metric of a pod's first container, as metrics-server's own table shows it."""
    return shows(resource, lambda obj: dig(obj["containers"][0], "usage", resource))


COLUMNS: dict[str, list[Column]] = {
    "nodes": [
        NAME, shows("Status", _node_status), shows("Roles", _roles), AGE,
        _node_info("Version", "kubeletVersion", wide=False), _address("Internal-IP"), _address("External-IP"),
        _node_info("OS-Image", "osImage"), _node_info("Kernel-Version", "kernelVersion"),
        _node_info("Container-Runtime", "containerRuntimeVersion"),
    ],
    "namespaces": [NAME, field("Status", "status", "phase"), AGE],
    "priorityclasses.scheduling.k8s.io": [
        NAME, count("Value", "value"), field("Global-Default", "globalDefault", default=False), AGE,
        field("PreemptionPolicy", "preemptionPolicy", default=""),
    ],
    "customresourcedefinitions.apiextensions.k8s.io": [NAME, CREATED_AT],
    "nodes.metrics.k8s.io": [
        NAME, field("cpu", "usage", "cpu"), field("memory", "usage", "memory"), field("Window", "window"),
    ],
    "pods.metrics.k8s.io": [NAME, _container_total("cpu"), _container_total("memory"), field("Window", "window")],
}  # fmt: skip
