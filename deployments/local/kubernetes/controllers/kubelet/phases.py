"""What a pod's containers make of the pod: its phase and its conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.local.kubernetes.trees import dig, with_condition

Json = dict[str, Any]

ENDED = ("Succeeded", "Failed")


def is_sidecar(container: Json) -> bool:
    """Whether an init container stays on beside the main ones."""
    return bool(container.get("restartPolicy") == "Always")


def is_initialized(spec: Json, inits: Sequence[Json]) -> bool:
    """Whether all init containers have done their part: sidecars have started, the others have succeeded."""
    return all(map(_has_initialized, spec.get("initContainers", ()), inits))


def _has_initialized(container: Json, status: Json) -> bool:
    if is_sidecar(container):
        return bool(status.get("started"))
    return bool(dig(status, "state", "terminated", "exitCode") == 0)


def phase(spec: Json, inits: Sequence[Json], mains: Sequence[Json]) -> str:
    """Phase of a pod (kubelet: getPhase)."""
    policy = spec.get("restartPolicy", "Always")
    if not is_initialized(spec, inits):
        failed = any(dig(status, "state", "terminated", "exitCode", default=0)
                     for container, status in zip(spec["initContainers"], inits, strict=True)
                     if not is_sidecar(container))  # fmt: skip
        return "Failed" if failed and policy == "Never" else "Pending"
    if any("waiting" in status["state"] and not status["lastState"] for status in mains):
        return "Pending"
    ends = [status["state"]["terminated"]["exitCode"] for status in mains if "terminated" in status["state"]]
    if len(ends) < len(mains) or policy == "Always":
        return "Running"
    if not any(ends):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def conditions(pod: Json, state: str, inits: Sequence[Json], mains: Sequence[Json], now: str) -> list[Json]:
    """A pod's conditions, those that others set included."""
    spec, found = pod["spec"], list(dig(pod, "status", "conditions", default=()))
    initialized = is_initialized(spec, inits)
    started = any("waiting" not in entry["state"] or entry["lastState"] for entry in [*inits, *mains])
    containers = _containers_ready(state, [*_sidecars(spec, inits), *mains])
    late = [status["name"] for container, status in zip(spec.get("initContainers", ()), inits, strict=True)
            if not _has_initialized(container, status)]  # fmt: skip
    for entry in (
        {"type": "PodReadyToStartContainers", "status": _text(started and state not in ENDED)},
        {"type": "Initialized", "status": "True"} if initialized else
        _false("Initialized", "ContainersNotInitialized", f"containers with incomplete status: {_names(late)}"),
        {**_gated(spec, found, containers), "type": "Ready"},
        {**containers, "type": "ContainersReady"},
        {"type": "PodScheduled", "status": "True"},
    ):  # fmt: skip
        found = with_condition(found, entry, now)
    return found


def _sidecars(spec: Json, inits: Sequence[Json]) -> list[Json]:
    pairs = zip(spec.get("initContainers", ()), inits, strict=True)
    return [status for container, status in pairs if is_sidecar(container)]


def _containers_ready(state: str, statuses: Sequence[Json]) -> Json:
    if state == "Succeeded":
        return _false("ContainersReady", "PodCompleted", "")
    if state == "Failed":
        return _false("ContainersReady", "PodFailed", "")
    unready = [status["name"] for status in statuses if not status["ready"]]
    if unready:
        return _false("ContainersReady", "ContainersNotReady", f"containers with unready status: {_names(unready)}")
    return {"type": "ContainersReady", "status": "True"}


def _gated(spec: Json, found: Sequence[Json], containers: Json) -> Json:
    """Ready: all containers are, and every readiness gate is open."""
    if containers["status"] != "True":
        return containers
    values = {entry["type"]: entry["status"] for entry in found}
    for gate in spec.get("readinessGates", ()):
        kind = gate.get("conditionType", "")
        if kind not in values:
            why = f'corresponding condition of pod readiness gate "{kind}" does not exist.'
            return _false("Ready", "ReadinessGatesNotReady", why)
        if values[kind] != "True":
            why = f'the status of pod readiness gate "{kind}" is not "True", but {values[kind]}'
            return _false("Ready", "ReadinessGatesNotReady", why)
    return containers


def _false(kind: str, reason: str, message: str) -> Json:
    entry = {"type": kind, "status": "False", "reason": reason}
    return {**entry, "message": message} if message else entry


def _text(value: bool) -> str:
    return "True" if value else "False"


def _names(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"
