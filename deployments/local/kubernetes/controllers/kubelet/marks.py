"""Labels and annotations by which a node or a pod tells its simulated kubelet how to behave."""

from __future__ import annotations

import math
from typing import Any

from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

LABELS = ("continuum.io/simulated-kubelet", "conformance.example/kubelet")
SILENCED = ("continuum.io/kubelet-down", "conformance.example/kubelet-down")
FAILS = ("continuum.io/fail", "conformance.example/fail")
"""Annotations on a pod: what of it fails (image, init, startup, readiness, liveness, crash)."""
BOOT_SECONDS = "continuum.io/boot-seconds"
"""Annotation on a node: seconds from its creation until it is Ready."""
PULL_SECONDS = "continuum.io/pull-seconds"
"""Annotation on a pod: seconds that pulling each of its images takes."""
RUN_SECONDS = "continuum.io/run-seconds"
"""Annotation on a pod that may end by itself: seconds its containers run before they exit."""
EXIT_CODE = "continuum.io/exit-code"
"""Annotation on a pod: with what its containers exit when they end or crash."""
CRASH_AFTER_SECONDS = "continuum.io/crash-after-seconds"
"""Annotation on a pod: seconds its containers run before they crash, each time."""
STOP_SECONDS = "continuum.io/stop-seconds"
"""Annotation on a pod: seconds its containers need to end once they are told to."""


def played(node: Stored | None) -> bool:
    """Whether a simulated kubelet plays a node."""
    labels = dig(node.obj, "metadata", "labels", default={}) if node is not None else {}
    return any(labels.get(label) == "true" for label in LABELS)


def silenced(node: Stored) -> bool:
    """Whether an annotation switches a node's kubelet off."""
    annotations = node.obj["metadata"].get("annotations", {})
    return any(annotations.get(name) == "true" for name in SILENCED)


def silent(backend: Backend, node: Stored) -> bool:
    """Whether a node's kubelet neither reports nor acts: silenced, or out of order."""
    return silenced(node) or node.key[1] in backend.outages.silent_nodes


def fails(pod: Stored, what: str) -> bool:
    """Whether a pod is told to fail at something."""
    annotations = pod.obj["metadata"].get("annotations", {})
    return any(annotations.get(name) == what for name in FAILS)


def seconds(entry: Stored, name: str, default: float) -> float:
    """Seconds that an annotation names; the default where it is missing or makes no sense."""
    try:
        found = float(entry.obj["metadata"].get("annotations", {})[name])
    except (KeyError, ValueError):
        return default
    return found if math.isfinite(found) and found >= 0 else default


def annotated(entry: Stored, name: str) -> bool:
    """Whether an object carries an annotation."""
    return name in entry.obj["metadata"].get("annotations", {})
