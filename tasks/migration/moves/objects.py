"""What a move writes into a cluster: each verb a no-op where it is so already, none writes over what others wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from blocks.errors import Conflict, NotFound, Refused
from blocks.fleet_values import to_bytes, to_cores
from blocks.kubernetes import MANAGED_BY, OURS, KubernetesApi
from blocks.kubernetes.connection import path_of
from tasks.migration.moves.closure import MOVED_BY, MOVED_FROM, Object, replicas_of
from tasks.migration.moves.plan import MovePlan

FENCE = "continuum.io/move"  # annotation of the source: which move holds it, with the token of its Lease
WORKLOADS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"


def found(api: KubernetesApi, resource: str, name: str, namespace: str) -> Object | None:
    """An object, or None."""
    try:
        return api.get(resource, name, namespace)
    except NotFound:
        return None


def _resource_of(workload: Mapping[str, Any]) -> str:
    """`deployments` or `statefulsets`, by an object's kind."""
    return WORKLOADS[workload["kind"]]


def is_ours(each: Mapping[str, Any], intent_id: str) -> bool:
    """Whether this very move made the object."""
    return (each["metadata"].get("labels") or {}).get(MOVED_BY) == intent_id


def fence_of(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Which move holds a workload: `token`, `intent`, `target`; empty where none does."""
    return _told(deployment, FENCE)


def is_drained_into(target: str, there: Mapping[str, Any], copy: Mapping[str, Any]) -> bool:
    """Whether a move has taken the pods of a workload away, and its copy in `target` serves instead."""
    fence = fence_of(there)
    return not replicas_of(there) and fence.get("target") == target and is_ours(copy, str(fence.get("intent")))


def origin_of(copy: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whence, and by which move, a copy has come that stands alone or is about to: `cluster`, `intent`; else empty."""
    return _told(copy, MOVED_FROM) if copy is not None else {}


def _told(deployment: Mapping[str, Any], annotation: str) -> dict[str, Any]:
    text = (deployment["metadata"].get("annotations") or {}).get(annotation)
    try:
        told = json.loads(text) if text else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def set_fence(api: KubernetesApi, deployment: Object, fence: Mapping[str, Any] | None) -> None:
    """Write, or remove, the mark of the move that holds a workload.

    Raises
    ------
    Conflict: somebody wrote the workload since it was read.
    """
    _mark(api, deployment, FENCE, fence)


def set_origin(api: KubernetesApi, copy: Object, origin: Mapping[str, Any]) -> None:
    """Mark a copy before its source loses its pods: a store that was put back to an older day can see what was done.

    Raises
    ------
    Conflict: somebody wrote the copy since it was read.
    """
    if origin_of(copy) != origin:
        _mark(api, copy, MOVED_FROM, origin)


def _mark(api: KubernetesApi, deployment: Object, annotation: str, told: Mapping[str, Any] | None) -> None:
    metadata = deployment["metadata"]
    body = {"metadata": {"annotations": {annotation: json.dumps(dict(told), sort_keys=True) if told else None}}}
    api.patch(_resource_of(deployment), metadata["name"], body, metadata["namespace"],
              resource_version=metadata["resourceVersion"])  # fmt: skip


def placeholder(plan: MovePlan, intent_id: str) -> Object:
    """Pause pods of the workload's size and kind of node, as many as it has: they hold its room."""
    spec = plan.manifest["spec"]["template"]["spec"]
    labels = {"continuum.io/holds-room-for": plan.name, MOVED_BY: intent_id}
    container = {"name": "pause", "image": PAUSE_IMAGE, "resources": {"requests": _requests(spec)}}
    kept = {key: spec[key] for key in ("nodeSelector", "affinity", "tolerations") if spec.get(key)}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": hold_name(plan), "namespace": plan.namespace, "labels": {**labels, MANAGED_BY: OURS}},
        "spec": {"replicas": plan.replicas, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels},
                              "spec": {**kept, "containers": [container], "terminationGracePeriodSeconds": 0}}},
    }  # fmt: skip


def hold_name(plan: MovePlan) -> str:
    """Name of the placeholder of a workload."""
    return f"continuum-hold-{plan.name}"[:63].rstrip("-.")


def _requests(spec: Mapping[str, Any]) -> dict[str, str]:
    """What the containers request in all."""
    asked = [(each.get("resources") or {}).get("requests") or {} for each in spec.get("containers") or ()]
    cpu = sum(float(to_cores(each["cpu"])) for each in asked if "cpu" in each)
    memory = sum(int(to_bytes(each["memory"])) for each in asked if "memory" in each)
    return ({"cpu": f"{round(cpu * 1000)}m"} if cpu else {}) | ({"memory": str(memory)} if memory else {})


def put(api: KubernetesApi, resource: str, wanted: Object, namespace: str, intent_id: str = "") -> None:
    """Create an object (of a move, where one is named); one that is there is kept if it is ours, or says the same.

    Raises
    ------
    Refused: the target has another object of that name.
    """
    labels = {key: value for key, value in (wanted["metadata"].get("labels") or {}).items() if key != MOVED_BY}
    labels |= {MOVED_BY: intent_id} if intent_id else {}
    body = {**wanted, "metadata": {**wanted["metadata"], "namespace": namespace, "labels": labels}}
    try:
        api.create_with_namespace(resource, body, namespace)
    except Conflict:
        there = api.get(resource, wanted["metadata"]["name"], namespace)
        if not is_ours(there, intent_id) and not says(there, wanted):
            name = f"{wanted['kind']} {namespace}/{wanted['metadata']['name']}"
            raise Refused(f"there is another {name}", where=f"cluster {api.name}", fix="rename one of them") from None


def says(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an object holds all that another one says; what a server fills in may be more.

    >>> says({"metadata": {}, "spec": {"a": 1, "b": 2}}, {"metadata": {"name": "x"}, "spec": {"a": 1}})
    True
    """
    said = {key: value for key, value in wanted.items() if key not in ("metadata", "apiVersion", "kind")}
    return _holds(there, said)


def _holds(there: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(_holds(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(there, list) and len(there) == len(wanted)
        return same and all(_holds(one, other) for one, other in zip(there, wanted, strict=True))
    return bool(there == wanted)


def made_by(api: KubernetesApi, resource: str, name: str, namespace: str, intent_id: str) -> bool:
    """Whether there is an object of that name that this very move made."""
    there = found(api, resource, name, namespace)
    return there is not None and is_ours(there, intent_id)


def remove_ours(api: KubernetesApi, resource: str, name: str, namespace: str, intent_id: str) -> None:
    """Remove an object if this move made it."""
    if made_by(api, resource, name, namespace, intent_id):
        api.delete_at(path_of(resource, namespace=namespace), name)


def scale(api: KubernetesApi, deployment: Object, replicas: int) -> None:
    """Set the number of pods; `Conflict` where somebody wrote the workload since it was read."""
    metadata = deployment["metadata"]
    api.patch(_resource_of(deployment), metadata["name"], {"spec": {"replicas": replicas}}, metadata["namespace"],
              resource_version=metadata["resourceVersion"])  # fmt: skip


def ready(deployment: Mapping[str, Any] | None) -> int:
    """Ready pods of the newest template; 0 until the controller has seen the newest spec."""
    if deployment is None:
        return 0
    status = deployment.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(deployment["metadata"].get("generation") or 0):
        return 0
    return min(int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0))


def delete(api: KubernetesApi, deployment: Object) -> None:
    """Remove a workload as it was read; one that is gone counts as removed."""
    metadata = deployment["metadata"]
    with suppress(NotFound):
        api.delete_at(path_of(_resource_of(deployment), namespace=metadata["namespace"]), metadata["name"],
                      resource_version=metadata["resourceVersion"])  # fmt: skip
