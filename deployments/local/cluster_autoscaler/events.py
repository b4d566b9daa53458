"""Events that the autoscaler writes, as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.store import Stored

COMPONENT = "cluster-autoscaler"


def note(backend: Backend, kind: str, about: Stored, reason: str, message: str, *, warning: bool = False) -> None:
    """Write an Event about an object; one that says the same as before is not repeated."""
    namespace, name = about.key
    place, event_name = namespace or "default", f"{name}.{about.uid[:8]}.{reason.lower()}"
    old, now = backend.store.get("events", place, event_name), backend.timestamp()
    if old is not None:
        if old.obj["message"] != message:
            again = {"message": message, "count": old.obj["count"] + 1, "lastTimestamp": now}
            backend.store.put("events", {**old.obj, **again})
        return
    involved: dict[str, Any] = {"kind": kind, "apiVersion": "v1", "name": name, "uid": about.uid}
    backend.store.put("events", {
        "metadata": {"name": event_name, "namespace": place, "uid": backend.uid(), "creationTimestamp": now},
        "involvedObject": involved | ({"namespace": namespace} if namespace else {}),
        "reason": reason, "message": message, "type": "Warning" if warning else "Normal", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT, "reportingInstance": "",
    })  # fmt: skip
