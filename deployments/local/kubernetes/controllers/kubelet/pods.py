"""Pods on played nodes: admitted, run container by container, ended within their grace."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.kubelet import containers, images, phases
from deployments.local.kubernetes.controllers.kubelet.marks import STOP_SECONDS, played, seconds, silenced, silent
from deployments.local.kubernetes.controllers.kubelet.node_reports import node_address
from deployments.local.kubernetes.controllers.kubelet.pressure import evicted, is_critical
from deployments.local.kubernetes.controllers.kubelet.turns import Memory, Turn
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, epoch_s, is_true, with_value

Json = dict[str, Any]

SETUP_S = 1.0
"""Seconds from a pod's admission until its first image is pulled: its sandbox, network and volumes."""
STOP_S = 1.0
"""Seconds that containers need to end once they are told to."""
STOPPED = 143
"""Exit code of a container that ended because it was told to."""
FIRST_ADDRESS, ADDRESSES = int(ipaddress.IPv4Address("10.128.0.0")), 2**22


class PodKubelet(Controller):
    """Runs pods: each look at one writes what became of its containers and knows when to look again."""

    resources = frozenset({"pods", "nodes"})
    component = "kubelet"

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._memories: dict[str, Memory] = {}
        self._last_address = 0

    def keys(self, event: Event) -> Iterable[Work]:
        """Bound pods; all pods of a node that is heard of again."""
        if event.resource == "pods":
            if event.new is None:
                self._memories.pop(event.state.uid, None)
            elif event.new.obj["spec"].get("nodeName"):
                yield event.key
        elif event.new is not None and played(event.new) and _heard_again(event):
            yield from (pod.key for pod in self.store.pods_on(event.key[1]))

    def affected(self) -> Iterable[Work]:
        """All bound pods."""
        return [pod.key for pod in self.store.sorted("pods") if pod.obj["spec"].get("nodeName")]

    def reconcile(self, key: Work) -> None:
        """Admit, run or end one pod."""
        pod = self.store.get("pods", *key)
        if pod is None:
            return
        node = self.store.get("nodes", "", pod.obj["spec"].get("nodeName", ""))
        if node is None or not played(node) or silent(self.backend, node):
            return
        if "deletionTimestamp" in pod.obj["metadata"]:
            self._stop(pod)
        elif pod.obj["status"].get("phase") in phases.ENDED:
            return
        elif not _is_admitted(pod):
            self._admit(pod, node)
        else:
            self._run(pod, node)

    def _stop(self, pod: Stored) -> None:
        """Let a pod go after its grace, or as soon as its containers have ended."""
        metadata = pod.obj["metadata"]
        grace_s = metadata.get("deletionGracePeriodSeconds", 0)
        told_s = epoch_s(metadata["deletionTimestamp"]) - grace_s
        needs_s = seconds(pod, STOP_SECONDS, STOP_S)
        running = [entry["name"] for entry in pod.obj["status"].get("containerStatuses", ())
                   if "running" in entry["state"]]  # fmt: skip
        end_s = told_s + min(needs_s, grace_s)
        if self.backend.now_s() < end_s:
            for name in running:
                self.note(pod, "Pod", "v1", reason="Killing", message=f"Stopping container {name}", warning=False,
                          path=f"spec.containers{{{name}}}")  # fmt: skip
            self.again_at(end_s, pod.key)
            return
        if metadata.get("finalizers"):  # somebody waits to see how it ended
            pod = self._ended(pod, STOPPED if needs_s <= grace_s else containers.KILLED)
        delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions(grace_s=0))

    def _ended(self, pod: Stored, code: int) -> Stored:
        """A pod whose containers have all ended."""
        status = pod.obj["status"]
        if status.get("phase") in phases.ENDED:
            return pod
        now = self.backend.timestamp()
        mains = [entry if "terminated" in entry["state"] else containers.ended(entry, code, now)
                 for entry in status.get("containerStatuses", ())]  # fmt: skip
        failed = not mains or any(entry["state"]["terminated"]["exitCode"] for entry in mains)
        return self.set_status("pods", pod, self._with_conditions(
            pod, {**status, "phase": "Failed" if failed else "Succeeded", "containerStatuses": mains}))  # fmt: skip

    def _admit(self, pod: Stored, node: Stored) -> None:
        """Take a pod on, or refuse it while the disk is full (kubelet: eviction manager's Admit)."""
        spec, now = pod.obj["spec"], self.backend.timestamp()
        if is_true(node.obj, "DiskPressure") and not is_critical(pod):
            message = "Pod was rejected: The node had condition: [DiskPressure]. "
            self.set_status("pods", pod, evicted(pod, message, now))
            self.note(pod, "Pod", "v1", reason="Evicted", message=message, warning=True)
            return
        waits = containers.INITIALIZING if spec.get("initContainers") else containers.CREATING
        status = {
            **pod.obj["status"], "startTime": dig(pod.obj, "status", "startTime", default=now),
            "hostIP": node_address(node.key[1]), "hostIPs": [{"ip": node_address(node.key[1])}],
            "containerStatuses": [containers.new_status(entry, waits) for entry in spec["containers"]],
        }  # fmt: skip
        if inits := spec.get("initContainers"):
            status["initContainerStatuses"] = [containers.new_status(entry, waits) for entry in inits]
        self.set_status("pods", pod, self._with_conditions(pod, status))

    def _with_conditions(self, pod: Stored, status: Json) -> Json:
        inits, mains = status.get("initContainerStatuses", []), status["containerStatuses"]
        found = phases.conditions(pod.obj, status["phase"], inits, mains, self.backend.timestamp())
        return {**status, "conditions": found}

    def _run(self, pod: Stored, node: Stored) -> None:
        memory = self._memories.setdefault(pod.uid, Memory())
        turn = Turn(pod, node, self.backend.now_s(), memory, self.backend.outages.keeps_unready(*pod.key))
        status = _advanced(turn)
        if status["phase"] != "Pending":
            status["podIP"] = address = pod.obj["status"].get("podIP") or self._address(pod, node)
            status["podIPs"] = [{"ip": address}]
        if turn.pulled:
            self._keep_images(node, turn.pulled)
        status["observedGeneration"] = pod.obj["metadata"].get("generation", 1)
        self.set_status("pods", pod, self._with_conditions(pod, status))
        for event in turn.happened:
            path = f"spec.containers{{{event.container}}}" if event.container else ""
            self.note(pod, "Pod", "v1", reason=event.reason, message=event.message, warning=event.warning, path=path)
        if turn.due_s:
            self.again_at(min(turn.due_s), pod.key)

    def _keep_images(self, node: Stored, pulled: list[str]) -> None:
        found = dig(node.obj, "status", "images", default=[])
        for image in pulled:
            if not images.is_on(node, image):
                found = images.with_image(found, image)
        self.store.put("nodes", with_value(node.obj, ("status", "images"), found))

    def _address(self, pod: Stored, node: Stored) -> str:
        """The next free address; a pod on the host's network has the host's."""
        if pod.obj["spec"].get("hostNetwork"):
            return node_address(node.key[1])
        if not self._last_address:  # a restored cluster goes on behind its pods' addresses
            found = [dig(entry.obj, "status", "podIP", default="") for entry in self.store.all("pods")]
            numbers = [int(ipaddress.IPv4Address(text)) - FIRST_ADDRESS for text in found if text]
            self._last_address = max([number for number in numbers if number < ADDRESSES], default=0)
        self._last_address = self._last_address % (ADDRESSES - 1) + 1
        return str(ipaddress.IPv4Address(FIRST_ADDRESS + self._last_address))


def _is_admitted(pod: Stored) -> bool:
    """Whether a kubelet has written a pod's status, and nobody has spoilt it since."""
    spec, status = pod.obj["spec"], pod.obj["status"]
    pairs = (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"))
    return "startTime" in status and all(
        [entry["name"] for entry in spec.get(wanted, ())] == [entry.get("name") for entry in status.get(found, ())]
        and all(map(containers.is_whole, status.get(found, ())))
        for wanted, found in pairs
    )


def _heard_again(event: Event) -> bool:
    return event.old is None or event.new is None or silenced(event.old) != silenced(event.new) or not played(event.old)


def _advanced(turn: Turn) -> Json:
    """A pod's status with its containers as far as they have got by now, init containers one after the other."""
    spec, status = turn.pod.obj["spec"], turn.pod.obj["status"]
    policy, begins_s = spec.get("restartPolicy", "Always"), epoch_s(status["startTime"]) + SETUP_S
    inits = list(status.get("initContainerStatuses", ()))
    for index, container in enumerate(spec.get("initContainers", ())):
        stays = phases.is_sidecar(container)
        role = containers.Role(not stays, begins_s, "Always" if stays else policy)
        inits[index] = containers.advance(turn, container, role, inits[index])
        if not phases.is_initialized({"initContainers": [container]}, [inits[index]]):
            break
        if (last := inits[index]["state"].get("terminated")) is not None:
            begins_s = epoch_s(last["finishedAt"])
    mains = list(status["containerStatuses"])
    if phases.is_initialized(spec, inits):
        role = containers.Role(False, begins_s, policy)
        pairs = zip(spec["containers"], mains, strict=True)
        mains = [containers.advance(turn, container, role, entry) for container, entry in pairs]
    phase = phases.phase(spec, inits, mains)
    if phase in phases.ENDED:  # sidecars end with the containers they served
        inits = [containers.ended(entry, 0, turn.now) if "running" in entry["state"] else entry for entry in inits]
    changed = {"initContainerStatuses": inits} if inits else {}
    return {**status, "phase": phase, "containerStatuses": mains, **changed}
