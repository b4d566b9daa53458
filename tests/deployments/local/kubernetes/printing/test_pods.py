"""The words of `kubectl get pods`."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.kubernetes.printing.pods import COLUMNS
from deployments.local.kubernetes.trees import timestamp

Json = dict[str, Any]

NOW_S = 1_800_000_000.0
RUNNING = {"running": {"startedAt": timestamp(NOW_S)}}


def cells(pod: Json) -> dict[str, Any]:
    return {column.title: column.cell(pod, NOW_S) for column in COLUMNS["pods"]}


def pod(*states: Json, phase: str = "Running", inits: int = 0, metadata: Json | None = None, **status: Any) -> Json:
    """A pod with a container in each state; a state that runs is ready."""
    containers = [{"name": f"c{i}"} for i in range(max(len(states), 1))]
    entries = [{"name": f"c{i}", "ready": "running" in state, "restartCount": 0, "state": state}
               for i, state in enumerate(states)]  # fmt: skip
    return {
        "metadata": {"name": "p", "creationTimestamp": timestamp(NOW_S - 205), **(metadata or {})},
        "spec": {"containers": containers, "initContainers": [{"name": f"i{n}"} for n in range(inits)]},
        "status": {"phase": phase, "containerStatuses": entries, **status},
    }


def waiting(reason: str) -> Json:
    return {"waiting": {"reason": reason}}


def ended(code: int, reason: str = "") -> Json:
    return {"terminated": {"exitCode": code, **({"reason": reason} if reason else {})}}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}
LEAVING = {"deletionTimestamp": timestamp(NOW_S)}


@pytest.mark.parametrize(
    ("case", "word", "ready"),
    [
        (pod(RUNNING), "Running", "1/1"),
        (pod(phase="Pending"), "Pending", "0/1"),
        (pod(waiting("CrashLoopBackOff")), "CrashLoopBackOff", "0/1"),
        (pod(RUNNING, waiting("ImagePullBackOff")), "ImagePullBackOff", "1/2"),
        (pod(waiting("ContainerCreating"), phase="Pending"), "ContainerCreating", "0/1"),
        (pod(ended(0, "Completed"), phase="Succeeded"), "Completed", "0/1"),
        (pod(ended(1, "Error"), phase="Failed"), "Error", "0/1"),
        (pod(ended(137, "OOMKilled"), phase="Failed"), "OOMKilled", "0/1"),
        (pod(ended(3), phase="Failed"), "ExitCode:3", "0/1"),
        (pod(RUNNING, ended(0, "Completed"), **READY), "Running", "1/2"),
        (pod(RUNNING, ended(0, "Completed")), "NotReady", "1/2"),
        (pod(phase="Failed", reason="Evicted"), "Evicted", "0/1"),
        (pod(RUNNING, metadata=LEAVING), "Terminating", "1/1"),
        (pod(ended(0, "Completed"), phase="Succeeded", metadata=LEAVING), "Completed", "0/1"),
        (pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
         "SchedulingGated", "0/1"),
        (pod(phase="Pending", inits=2, initContainerStatuses=[{"name": "i0", "state": RUNNING}]), "Init:0/2", "0/1"),
        (pod(phase="Pending", inits=2, initContainerStatuses=[{"name": "i0", "state": ended(0, "Completed")},
                                                              {"name": "i1", "state": waiting("PodInitializing")}]),
         "Init:1/2", "0/1"),
        (pod(phase="Pending", inits=1, initContainerStatuses=[{"name": "i0", "state": ended(1, "Error")}]),
         "Init:Error", "0/1"),
        (pod(phase="Pending", inits=1,
             initContainerStatuses=[{"name": "i0", "state": waiting("CrashLoopBackOff")}]), "Init:CrashLoopBackOff",
         "0/1"),
    ],
)  # fmt: skip
def test_one_word_tells_how_a_pod_fares(case: Json, word: str, ready: str) -> None:
    found = cells(case)
    assert (found["Status"], found["Ready"], found["Age"]) == (word, ready, "3m25s")


def test_restarts_tell_when_the_last_one_was() -> None:
    case = pod(waiting("CrashLoopBackOff"))
    last = {"terminated": {"exitCode": 1, "finishedAt": timestamp(NOW_S - 300)}}
    case["status"]["containerStatuses"][0] |= {"restartCount": 3, "lastState": last}
    assert cells(case)["Restarts"] == "3 (5m ago)"
    assert cells(pod(RUNNING))["Restarts"] == "0"
