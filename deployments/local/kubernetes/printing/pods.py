"""Pods: the one word that tells how a pod fares (kubernetes: pkg/printers/internalversion, printPod)."""

from __future__ import annotations

from typing import Any, NamedTuple

from deployments.local.kubernetes.printing.ages import since
from deployments.local.kubernetes.printing.columns import AGE, NAME, NONE, Column, field, shows
from deployments.local.kubernetes.trees import condition, dig, is_true

Json = dict[str, Any]


class _Life(NamedTuple):
    word: str
    ready: int
    restarts: int


def _statuses(pod: Json, which: str) -> list[Json]:
    found: list[Json] = dig(pod, "status", which, default=[])
    return found


def _sidecars(pod: Json) -> set[str]:
    """Init containers that go on running beside the others."""
    entries = dig(pod, "spec", "initContainers", default=())
    return {entry["name"] for entry in entries if entry.get("restartPolicy") == "Always"}


def _ended(state: Json, prefix: str = "") -> str:
    if state.get("reason"):
        return f"{prefix}{state['reason']}"
    return (
        f"{prefix}Signal:{state['signal']}" if state.get("signal") else f"{prefix}ExitCode:{state.get('exitCode', 0)}"
    )


def _initializing(pod: Json) -> str:
    """What an init container that has not finished says; "" when all are done."""
    sidecars = _sidecars(pod)
    for index, entry in enumerate(_statuses(pod, "initContainerStatuses")):
        state = entry.get("state", {})
        waiting = dig(state, "waiting", "reason", default="")
        if dig(state, "terminated", "exitCode") == 0 or (entry["name"] in sidecars and entry.get("started")):
            continue
        if "terminated" in state:
            return _ended(state["terminated"], "Init:")
        if waiting not in ("", "PodInitializing"):
            return f"Init:{waiting}"
        return f"Init:{index}/{len(dig(pod, 'spec', 'initContainers', default=()))}"
    return ""


def _life(pod: Json) -> _Life:
    state = pod.get("status", {})
    word = state.get("reason") or state.get("phase", "Unknown")
    if dig(condition(pod, "PodScheduled"), "reason") == "SchedulingGated":
        word = "SchedulingGated"
    inits, sidecars = _statuses(pod, "initContainerStatuses"), _sidecars(pod)
    running = [entry for entry in inits if entry["name"] in sidecars and entry.get("started")]
    ready = sum(1 for entry in running if entry.get("ready"))
    initializing = _initializing(pod)
    if initializing and not is_true(pod, "Initialized"):
        return _Life(initializing, ready, sum(entry.get("restartCount", 0) for entry in inits))
    restarts = sum(entry.get("restartCount", 0) for entry in inits if entry["name"] in sidecars)
    word, alive = initializing or word, False
    for entry in reversed(_statuses(pod, "containerStatuses")):
        now = entry.get("state", {})
        restarts += entry.get("restartCount", 0)
        if dig(now, "waiting", "reason"):
            word = now["waiting"]["reason"]
        elif "terminated" in now:
            word = _ended(now["terminated"])
        elif entry.get("ready") and "running" in now:
            alive, ready = True, ready + 1
    if word == "Completed" and alive:
        word = "Running" if is_true(pod, "Ready") else "NotReady"
    return _Life(word, ready, restarts)


def _status(pod: Json) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        if dig(pod, "status", "reason") == "NodeLost":
            return "Unknown"
        if dig(pod, "status", "phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return _life(pod).word


def _ready(pod: Json) -> str:
    return f"{_life(pod).ready}/{len(dig(pod, 'spec', 'containers', default=())) + len(_sidecars(pod))}"


def _restarts(pod: Json, now_s: float) -> str:
    restarts = _life(pod).restarts
    entries = [*_statuses(pod, "initContainerStatuses"), *_statuses(pod, "containerStatuses")]
    last = max((dig(entry, "lastState", "terminated", "finishedAt", default="") for entry in entries), default="")
    return f"{restarts} ({since(last, now_s)} ago)" if restarts and last else str(restarts)


def _gates(pod: Json) -> str:
    gates = dig(pod, "spec", "readinessGates", default=())
    met = sum(1 for gate in gates if is_true(pod, gate["conditionType"]))
    return f"{met}/{len(gates)}" if gates else NONE


COLUMNS: dict[str, list[Column]] = {
    "pods": [
        NAME, shows("Ready", _ready), shows("Status", _status), Column("Restarts", _restarts), AGE,
        field("IP", "status", "podIP", wide=True), field("Node", "spec", "nodeName", wide=True),
        field("Nominated Node", "status", "nominatedNodeName", wide=True),
        shows("Readiness Gates", _gates, wide=True),
    ],
}  # fmt: skip
