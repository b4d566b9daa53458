"""What a Deployment reports: counters (absent while zero), Available, Progressing, ReplicaFailure."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.controllers.replica_sets import FAILURE
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import condition, dig, epoch_s, timestamp, with_condition

Json = dict[str, Any]

_LATE = "ProgressDeadlineExceeded"
_DONE = "NewReplicaSetAvailable"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"
_NO_DEADLINE_S = 2**31 - 1


def _sum(sets: list[Stored], field: str) -> int:
    return sum(int(dig(entry.obj, "status", field, default=0)) for entry in sets)


def summary(
    deployment: Stored, new: Stored | None, sets: list[Stored], *, floor: int, reason: str, now_s: float
) -> Json:
    """The status of a Deployment.

    Parameters
    ----------
    new: the ReplicaSet of the present template; `sets`: all of its ReplicaSets.
    floor: pods that must be available.
    reason: what just happened to the new ReplicaSet; "" for nothing.
    """
    old = deployment.obj.get("status", {})
    present = [new] if new is not None else []
    counts = {
        "replicas": _sum(sets, "replicas"), "updatedReplicas": _sum(present, "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"), "availableReplicas": _sum(sets, "availableReplicas"),
    }  # fmt: skip
    total = sum(int(entry.obj["spec"].get("replicas", 1)) for entry in sets)
    counts["unavailableReplicas"] = max(total - counts["availableReplicas"], 0)
    status: Json = {"observedGeneration": deployment.obj["metadata"].get("generation", 1)}
    status |= {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = _sum(sets, "terminatingReplicas")
    if "collisionCount" in old:
        status["collisionCount"] = old["collisionCount"]
    now = timestamp(now_s)
    enough = counts["availableReplicas"] >= floor
    available = {
        "type": "Available", "status": "True" if enough else "False",
        "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "message": f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    }  # fmt: skip
    conditions = with_condition(list(old.get("conditions", [])), available, now, updates=True)
    progress = _progress(deployment, new, old, counts, reason, now_s)
    if progress is not None:
        conditions = with_condition(conditions, progress, now, updates=True)
        if progress["status"] == "True" and progress["reason"] != _DONE and _moved(old, counts):
            conditions = [
                {**entry, "lastUpdateTime": now} if entry["type"] == "Progressing" else entry for entry in conditions
            ]
    return {**status, "conditions": _with_failure(conditions, [*present, *sets], now)}


def _with_failure(conditions: list[Json], sets: list[Stored], now: str) -> list[Json]:
    """Conditions with the first ReplicaFailure of the ReplicaSets, the new one's before others."""
    found = [failure for entry in sets if (failure := condition(entry.obj, FAILURE)) is not None]
    if not found:
        return [entry for entry in conditions if entry["type"] != FAILURE]
    entry = {key: found[0].get(key, "") for key in ("type", "status", "reason", "message")}
    return with_condition(conditions, entry, now, updates=True)


def _moved(old: Json, counts: Json) -> bool:
    return any(
        counts[name] != old.get(name, 0)
        for name in ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
    )


def _progress(
    deployment: Stored, new: Stored | None, old: Json, counts: Json, reason: str, now_s: float
) -> Json | None:
    spec = deployment.obj["spec"]
    if spec.get("progressDeadlineSeconds", _NO_DEADLINE_S) == _NO_DEADLINE_S:
        return None
    name = new.key[1] if new is not None else deployment.key[1]
    before = next((entry for entry in old.get("conditions", ()) if entry["type"] == "Progressing"), None)
    late = before is not None and before["reason"] == _LATE
    if spec.get("paused"):
        return before if late else _condition("Unknown", _PAUSED, "Deployment is paused")
    if before is not None and before["reason"] == _PAUSED:
        return _condition("Unknown", _RESUMED, "Deployment is resumed")
    target = spec.get("replicas", 1)
    complete = counts["updatedReplicas"] == target == counts["replicas"] == counts["availableReplicas"]
    if reason:
        return _condition("True", reason, f'ReplicaSet "{name}" is the new one.')
    settled = before is not None and before["reason"] == _DONE
    same_generation = old.get("observedGeneration") == deployment.obj["metadata"].get("generation", 1)
    if complete or (settled and counts["updatedReplicas"] == counts["replicas"]):
        return _condition("True", _DONE, f'ReplicaSet "{name}" has successfully progressed.')
    if before is None or _moved(old, counts) or (late and not same_generation):
        return _condition("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    since = epoch_s(before.get("lastUpdateTime", timestamp(now_s)))
    if not late and now_s >= since + spec["progressDeadlineSeconds"]:
        return _condition("False", _LATE, f'ReplicaSet "{name}" has timed out progressing.')
    return _condition(before["status"], before["reason"], before.get("message", ""))


def _condition(value: str, reason: str, message: str) -> Json:
    return {"type": "Progressing", "status": value, "reason": reason, "message": message}


def progress_due_s(deployment: Stored, now_s: float) -> float | None:
    """When a rollout that stands still will have missed its deadline; None when nothing is due."""
    for entry in dig(deployment.obj, "status", "conditions", default=()):
        if entry["type"] == "Progressing" and entry["reason"] not in (_DONE, _LATE, _PAUSED):
            due = epoch_s(entry["lastUpdateTime"]) + deployment.obj["spec"]["progressDeadlineSeconds"]
            return due if due > now_s else now_s + 1.0
    return None
