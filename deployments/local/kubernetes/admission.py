"""What the server adds to a new object, and what it forbids, before validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.backend import Backend, merged_finalizers
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
TOLERATION_S = 300
"""Seconds that every pod stays on a node that went away, unless it says otherwise."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
GATED = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
         "message": "Scheduling is blocked due to non-empty scheduling gates"}  # fmt: skip
MOST_PODS = 20_000
"""So many pods of one cluster fit in memory; a real one has no such limit of its own."""
SERVICE_NETWORK, FIRST_NODE_PORT, LAST_NODE_PORT = "10.96", 30000, 32767


def admit(backend: Backend, kind: Kind, obj: Json) -> None:
    """Prepare a new object, in place.

    Raises
    ------
    StatusError: 403 where admission refuses, 404 where the namespace is not there.
    """
    metadata = obj["metadata"]
    if kind.namespaced:
        _check_namespace(backend, kind, metadata)
    if "status" in kind.subresources and not kind.keeps_status:
        obj.pop("status", None)
    if (prepare := _PREPARE.get(kind.storage)) is not None:
        prepare(backend, kind, obj)


def _check_namespace(backend: Backend, kind: Kind, metadata: Json) -> None:
    name = metadata["namespace"]
    found = backend.store.get("namespaces", "", name)
    if found is None:
        raise status.not_found(backend.registry.of("namespaces"), name)
    if "deletionTimestamp" in found.obj["metadata"]:
        why = f"unable to create new content in namespace {name} because it is being terminated"
        cause = status.Cause("NamespaceTerminating", "metadata.namespace", "the namespace is being terminated")
        raise status.forbidden(kind, metadata.get("name", ""), why, [cause])


def _namespace(_backend: Backend, _kind: Kind, obj: Json) -> None:
    metadata = obj["metadata"]
    if name := metadata.get("name"):
        metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": name}
    obj["spec"] = {"finalizers": ["kubernetes"]}


def _node(_backend: Backend, _kind: Kind, obj: Json) -> None:
    """A new node takes no pods before a controller has seen it Ready."""
    spec = obj.setdefault("spec", {})
    taints = spec.setdefault("taints", [])
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        taints.append({"key": NOT_READY, "effect": "NoSchedule"})


def _pod(backend: Backend, kind: Kind, obj: Json) -> None:
    spec, name = obj.setdefault("spec", {}), obj["metadata"].get("name", "")
    if backend.store.count("pods") >= MOST_PODS:
        raise status.forbidden(kind, name, f"a simulated cluster holds at most {MOST_PODS} pods")
    _service_account(backend, kind, spec, obj["metadata"]["namespace"], name)
    _priority(backend, kind, spec, name)
    tolerations = spec.setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        if not any(_covers(toleration, key) for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute",
                                "tolerationSeconds": TOLERATION_S})  # fmt: skip
    obj["status"] = {"phase": "Pending", "qosClass": _quality(spec)}
    if spec.get("schedulingGates"):
        obj["status"]["conditions"] = [dict(GATED)]


def _covers(toleration: Json, key: str) -> bool:
    return bool(toleration.get("key", key) == key and toleration.get("effect", "NoExecute") == "NoExecute")


def _service_account(backend: Backend, kind: Kind, spec: Json, namespace: str, name: str) -> None:
    account = spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", account)
    if backend.store.get("serviceaccounts", namespace, account) is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise status.forbidden(kind, name, why)


def _priority(backend: Backend, kind: Kind, spec: Json, name: str) -> None:
    wanted = spec.get("priorityClassName") or _default_class(backend)
    value, preemption = 0, "PreemptLowerPriority"
    if wanted:
        found = backend.store.get("priorityclasses.scheduling.k8s.io", "", wanted)
        if found is None:
            raise status.forbidden(kind, name, f"no PriorityClass with name {wanted} was found")
        spec["priorityClassName"] = wanted
        value, preemption = found.obj.get("value", 0), found.obj.get("preemptionPolicy", preemption)
    said = spec.get("priority")
    if said is not None and said != value:
        why = f"the integer value of priority ({said}) must not be provided in pod spec; admission computed {value}"
        raise status.forbidden(kind, name, why)
    spec["priority"], spec["preemptionPolicy"] = value, preemption


def _default_class(backend: Backend) -> str:
    """The PriorityClass of pods that name none: the lowest of those that are the global default."""
    found = [entry for entry in backend.store.sorted("priorityclasses.scheduling.k8s.io")
             if entry.obj.get("globalDefault")]  # fmt: skip
    return min(found, key=lambda entry: int(entry.obj.get("value", 0))).key[1] if found else ""


def _quality(spec: Json) -> str:
    """Quality of service: Guaranteed when limits equal requests everywhere, BestEffort when there are none."""
    resources = [container.get("resources", {}) for container in spec.get("containers", ())]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    for entry in resources:
        limits = entry.get("limits", {})
        requests = {**limits, **entry.get("requests", {})}
        if not {"cpu", "memory"} <= set(limits):
            return "Burstable"
        if any(quantity(requests[name]) != quantity(limits[name]) for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _service(backend: Backend, _kind: Kind, obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    kind = spec.get("type", "ClusterIP")
    if kind != "ExternalName":
        address = spec.setdefault("clusterIP", "") or _free_address(backend)
        spec["clusterIP"], spec["clusterIPs"] = address, [address]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if kind in ("NodePort", "LoadBalancer"):
        taken = {port.get("nodePort") for entry in backend.store.all("services")
                 for port in dig(entry.obj, "spec", "ports", default=())}  # fmt: skip
        for port in spec.get("ports", ()):
            if not port.get("nodePort"):
                free = range(FIRST_NODE_PORT, LAST_NODE_PORT + 1)
                port["nodePort"] = next(number for number in free if number not in taken)
                taken.add(port["nodePort"])


def _free_address(backend: Backend) -> str:
    taken = {dig(entry.obj, "spec", "clusterIP") for entry in backend.store.all("services")}
    numbers = (f"{SERVICE_NETWORK}.{high}.{low}" for high in range(256) for low in range(1, 255))
    return next(address for address in numbers if address not in taken)


def _job(_backend: Backend, _kind: Kind, obj: Json) -> None:
    """A Job's selector and its template's labels come from its uid, unless manualSelector says otherwise."""
    spec, metadata = obj.setdefault("spec", {}), obj["metadata"]
    if spec.get("manualSelector") or "selector" in spec:
        return
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    prefix = "batch.kubernetes.io/"
    generated = {
        f"{prefix}controller-uid": metadata["uid"], f"{prefix}job-name": metadata.get("name", ""),
        "controller-uid": metadata["uid"], "job-name": metadata.get("name", ""),
    }  # fmt: skip
    template["labels"] = {**template.get("labels", {}), **generated}
    spec["selector"] = {"matchLabels": {f"{prefix}controller-uid": metadata["uid"]}}


def _claim(backend: Backend, _kind: Kind, obj: Json) -> None:
    """A claim is protected while a pod uses it, and takes the default class where it names none."""
    metadata, spec = obj["metadata"], obj.setdefault("spec", {})
    metadata["finalizers"] = merged_finalizers(metadata.get("finalizers", []), "kubernetes.io/pvc-protection")
    if "storageClassName" not in spec:
        default = [entry.key[1] for entry in backend.store.sorted("storageclasses.storage.k8s.io")
                   if dig(entry.obj, "metadata", "annotations", DEFAULT_CLASS) == "true"]  # fmt: skip
        if default:
            spec["storageClassName"] = default[-1]


_PREPARE: dict[str, Callable[[Backend, Kind, Json], None]] = {
    "namespaces": _namespace,
    "nodes": _node,
    "pods": _pod,
    "services": _service,
    "jobs.batch": _job,
    "persistentvolumeclaims": _claim,
}
