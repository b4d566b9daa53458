"""The simulated kubelets: nodes with a label report and run their pods; an annotation silences one.

Nothing is executed. A node without the label, and pods on it, are left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, epoch_s, with_condition

Json = dict[str, Any]

LABELS = ("continuum.io/simulated-kubelet", "conformance.example/kubelet")
SILENCED = ("continuum.io/kubelet-down", "conformance.example/kubelet-down")
FAILS = ("continuum.io/fail", "conformance.example/fail")
BOOT_SECONDS = "continuum.io/boot-seconds"
"""Annotation on a node: seconds from its creation until it is Ready."""
RUN_SECONDS = "continuum.io/run-seconds"
"""Annotation on a pod that may end by itself: seconds it runs before it succeeds."""

BOOT_S = 1.0
START_S = 2.0
"""Seconds from a pod's binding until its containers run."""
STOP_S = 1.0
MONITOR_GRACE_S = 40.0
"""Seconds of silence after which a node's state is unknown, as the node controller's default."""

_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID"),
    ("Ready", "True", "KubeletReady"),
)


def played(node: Stored | None) -> bool:
    """Whether a simulated kubelet plays a node."""
    labels = dig(node.obj, "metadata", "labels", default={}) if node is not None else {}
    return any(labels.get(label) == "true" for label in LABELS)


def silenced(node: Stored) -> bool:
    """Whether a node's kubelet is switched off."""
    annotations = node.obj["metadata"].get("annotations", {})
    return any(annotations.get(name) == "true" for name in SILENCED)


class NodeKubelet(Controller):
    """A node's own reports, and the grace that its silence gets."""

    resources = frozenset({"nodes"})

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._silent_since: dict[str, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """Nodes that a kubelet plays."""
        if played(event.new):
            yield event.key[1]

    def reconcile(self, key: Work) -> None:
        """Report one node's state, or miss its reports."""
        node = self.store.get("nodes", "", str(key))
        if node is None or not played(node):
            return
        now = self.backend.now_s()
        if silenced(node):
            since = self._silent_since.setdefault(node.uid, now)
            if now - since < MONITOR_GRACE_S:
                self.again_at(since + MONITOR_GRACE_S, key)
            else:
                self._lose(node)
            return
        self._silent_since.pop(node.uid, None)
        boot_s = float(node.obj["metadata"].get("annotations", {}).get(BOOT_SECONDS, BOOT_S))
        ready_at = epoch_s(node.obj["metadata"]["creationTimestamp"]) + boot_s
        if now < ready_at:
            self.again_at(ready_at, key)
        else:
            self._report(node)

    def _report(self, node: Stored) -> None:
        now, status = self.backend.timestamp(), node.obj.get("status", {})
        conditions = status.get("conditions", [])
        wanted = {kind: (value, reason) for kind, value, reason in _HEALTHY}
        if all(any((entry["type"], entry["status"]) == (kind, value[0]) for entry in conditions)
               for kind, value in wanted.items()):  # fmt: skip
            return
        for kind, (value, reason) in wanted.items():
            entry = {"type": kind, "status": value, "reason": reason, "message": "", "lastHeartbeatTime": now}
            conditions = with_condition(conditions, entry, now)
        name = node.key[1]
        known = {
            "addresses": [{"type": "InternalIP", "address": _address("10.0", name)},
                          {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": "v1.36.2-simulated", "osImage": "simulated", "operatingSystem": "linux",
                         "architecture": "amd64", "containerRuntimeVersion": "simulated://0", "kernelVersion": "0",
                         "machineID": node.uid, "systemUUID": node.uid, "bootID": node.uid, "kubeProxyVersion": ""},
        }  # fmt: skip
        self.set_status("nodes", node, {**known, **status, "conditions": conditions})

    def _lose(self, node: Stored) -> None:
        """Nobody knows the state of a silent node: every condition Unknown, its pods not Ready."""
        now, status = self.backend.timestamp(), node.obj.get("status", {})
        conditions = status.get("conditions", [])
        for kind, _, _ in _HEALTHY:
            entry = {"type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                     "message": "the kubelet stopped reporting"}  # fmt: skip
            conditions = with_condition(conditions, entry, now)
        self.set_status("nodes", node, {**status, "conditions": conditions})
        for pod in self.store.pods_on(node.key[1]):
            state = pod.obj["status"]
            if any(entry["type"] == "Ready" for entry in state.get("conditions", ())):
                entry = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
                self.set_status("pods", pod, {**state, "conditions": with_condition(state["conditions"], entry, now)})


def _address(prefix: str, text: str) -> str:
    number = zlib.crc32(text.encode())
    return f"{prefix}.{number >> 8 & 255}.{number & 255 or 1}"


class PodKubelet(Controller):
    """Pods on played nodes start after a moment and end within their grace."""

    resources = frozenset({"pods", "nodes"})

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._since: dict[tuple[str, str], float] = {}
        self._addresses = len(list(self.store.all("pods")))  # a restored cluster goes on behind its pods' addresses

    def keys(self, event: Event) -> Iterable[Work]:
        """Bound pods; all pods of a node that is heard of again."""
        if event.resource == "pods":
            if event.new is None:
                self._forget(event.state.uid)
            elif event.new.obj["spec"].get("nodeName"):
                yield event.key
        elif event.new is not None and played(event.new) and _heard_again(event):
            yield from (pod.key for pod in self.store.pods_on(event.key[1]))

    def _forget(self, uid: str) -> None:
        for phase in ("start", "stop", "run"):
            self._since.pop((uid, phase), None)

    def reconcile(self, key: Work) -> None:
        """Start, finish or end one pod."""
        pod = self.store.get("pods", *key)
        if pod is None:
            return
        node = self.store.get("nodes", "", pod.obj["spec"].get("nodeName", ""))
        if node is None or not played(node) or silenced(node):
            return
        if "deletionTimestamp" in pod.obj["metadata"]:
            grace = pod.obj["metadata"].get("deletionGracePeriodSeconds", 0)
            if self._elapsed(pod, "stop", min(STOP_S, grace)):
                delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions(grace_s=0))
            return
        phase = pod.obj["status"].get("phase")
        if phase == "Pending":
            if self._elapsed(pod, "start", START_S):
                self._run(pod, node)
        elif phase == "Running":
            self._running(pod, node)

    def _elapsed(self, pod: Stored, phase: str, seconds: float) -> bool:
        now = self.backend.now_s()
        since = self._since.setdefault((pod.uid, phase), now)
        if now >= since + seconds:
            return True
        self.again_at(since + seconds, pod.key)
        return False

    def _running(self, pod: Stored, node: Stored) -> None:
        annotations = pod.obj["metadata"].get("annotations", {})
        ends = RUN_SECONDS in annotations and pod.obj["spec"].get("restartPolicy") != "Always"
        if ends and self._elapsed(pod, "run", float(annotations[RUN_SECONDS])):
            self._end(pod)
        else:
            self._run(pod, node)

    def _run(self, pod: Stored, node: Stored) -> None:
        now, state, spec = self.backend.timestamp(), pod.obj["status"], pod.obj["spec"]
        fails = any(pod.obj["metadata"].get("annotations", {}).get(name) == "readiness" for name in FAILS)
        ready = "False" if fails else "True"
        conditions = state.get("conditions", [])
        for kind, value in (
            ("Initialized", "True"),
            ("Ready", ready),
            ("ContainersReady", ready),
            ("PodScheduled", "True"),
        ):
            conditions = with_condition(conditions, {"type": kind, "status": value}, now)
        address = state.get("podIP") or self._pod_address()
        old = {entry["name"]: entry for entry in state.get("containerStatuses", ())}
        containers = [
            {"restartCount": 0, "imageID": "", "lastState": {}, "state": {"running": {"startedAt": now}},
             "started": True, **old.get(container["name"], {}), "name": container["name"],
             "image": container["image"], "ready": not fails}
            for container in spec["containers"]
        ]  # fmt: skip
        self.set_status("pods", pod, {
            **state, "phase": "Running", "conditions": conditions, "podIP": address, "podIPs": [{"ip": address}],
            "hostIP": _address("10.0", node.key[1]), "startTime": state.get("startTime", now),
            "containerStatuses": containers, "observedGeneration": pod.obj["metadata"].get("generation", 1),
        })  # fmt: skip

    def _pod_address(self) -> str:
        self._addresses += 1
        number = self._addresses
        return f"10.{128 + (number >> 16 & 63)}.{number >> 8 & 255}.{number & 255}"

    def _end(self, pod: Stored) -> None:
        now, state = self.backend.timestamp(), pod.obj["status"]
        conditions = state.get("conditions", [])
        for kind in ("Ready", "ContainersReady"):
            conditions = with_condition(conditions, {"type": kind, "status": "False", "reason": "PodCompleted"}, now)
        finished = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}}
        containers = [{**entry, "ready": False, "started": False, "state": finished}
                      for entry in state.get("containerStatuses", ())]  # fmt: skip
        self.set_status("pods", pod, {**state, "phase": "Succeeded", "conditions": conditions,
                                      "containerStatuses": containers})  # fmt: skip


def _heard_again(event: Event) -> bool:
    return event.old is None or event.new is None or silenced(event.old) != silenced(event.new) or not played(event.old)
