"""The scheduler: a node for every pod, or room made for it, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.scheduling.cache import Cache, PodState
from deployments.local.kubernetes.controllers.scheduling.decision import Decision, Round
from deployments.local.kubernetes.controllers.scheduling.filters import refusal, unfit
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.preemption import PREEMPTED, Victims
from deployments.local.kubernetes.controllers.scheduling.queue import Queue
from deployments.local.kubernetes.controllers.scheduling.resources import requests
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.eviction import assigned
from deployments.local.kubernetes.store import Event, Key, Stored
from deployments.local.kubernetes.trees import condition, with_condition

__all__ = ["Scheduler", "requests", "unfit"]

Json = dict[str, Any]

_ROUND = "round"
_TOPOLOGICAL = ("InterPodAffinity", "PodTopologySpread")
_NUMBER = re.compile(r"\d+")


class Scheduler(Controller):
    """Tries waiting pods, highest priority first, whenever something changed for one of them."""

    resources = frozenset({"pods", "nodes"})
    component = "default-scheduler"

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._cache, self._queue = Cache(self.store), Queue()

    def keys(self, event: Event) -> Iterable[Work]:
        """One key for all pods: they compete. The present state counts; it may be newer than the event."""
        if event.resource == "nodes":
            name = event.key[1]
            if self._cache.see_node(name, self.store.get("nodes", "", name)):
                self._node_changed(name)
        else:
            self._see(event.key)
        if self._queue.active:
            yield _ROUND
        else:
            self._cache.forget_changes()

    def reconcile(self, _key: Work) -> None:
        """Try every active pod once."""
        decide = Round(self._cache, self.store, self.backend.now_s()).decide
        for key in self._in_order():
            state = self._cache.pods.get(key)
            if state is None or key not in self._queue.active:
                continue
            decision = decide(key, state)
            if decision.node:
                self._bind(key, decision.node)
            else:
                self._refuse(key, state, decision)

    def _in_order(self) -> list[Key]:
        found = [(key, pod) for key in self._queue.active if (pod := self.store.get("pods", *key)) is not None]
        found.sort(key=lambda item: (-item[1].obj["spec"].get("priority", 0),
                                     item[1].obj["metadata"]["creationTimestamp"]))  # fmt: skip
        return [key for key, _ in found]

    def _see(self, key: Key) -> None:
        """Take in a pod's present state, and wake those for whom it changes something."""
        before, after = self._cache.see_pod(key, self.store.get("pods", *key))
        if before is after:
            return
        if after is None or not after.waits:
            self._queue.drop(key)
        elif before is None or not before.waits or before.info is not after.info:
            self._queue.add(key, after.info)
        if before is not None and (place := before.node or before.nominated) and _gave_up(before, after):
            self._room_freed(place)
        if (before is not None and before.node) or (after is not None and after.node):
            self._wake_topological()

    def _room_freed(self, name: str) -> None:
        """Wake the classes that fit a node now, and the pods for which its room is held."""
        node = self._cache.nodes.get(name)
        if node is None or not node.exists:
            return
        for info, plugins in self._queue.parked():
            if not plugins or refusal(info, node.with_nominated(info)) is None:
                self._queue.wake(info)
        for key in node.nominated:
            self._queue.wake_pod(key)

    def _node_changed(self, name: str) -> None:
        """Wake the classes that the node may take now, be it by preemption."""
        node = self._cache.nodes.get(name)
        for info, plugins in self._queue.parked():
            if node is None or not node.exists:
                helps = False
            else:
                found = refusal(info, node.with_nominated(info))
                lower = any(other.priority < info.priority for other in node.pods.values())
                helps = found is None or (found.resolvable and info.preempts and lower)
            if helps or not plugins:
                self._queue.wake(info)
        self._wake_topological()

    def _wake_topological(self) -> None:
        for info, plugins in self._queue.parked():
            if any(plugin in plugins for plugin in _TOPOLOGICAL):
                self._queue.wake(info)

    def _bind(self, key: Key, node: str) -> None:
        pod = self.store.get("pods", *key)
        if pod is None:
            return
        # What was written is seen at once: the next pod's turn comes before the event.
        bound = self.store.put("pods", assigned(pod.obj, node, self.backend.timestamp()))
        self._see(key)
        self.note(bound, "Pod", "v1", reason="Scheduled", warning=False,
                  message=f"Successfully assigned {key[0]}/{key[1]} to {node}")  # fmt: skip

    def _refuse(self, key: Key, state: PodState, decision: Decision) -> None:
        self._queue.park(key, decision.plugins)  # first: a victim without grace is gone at once, and wakes it
        if decision.victims is not None:
            self._preempt(state.info, state.uid, decision.victims)
        pod = self.store.get("pods", *key)
        if pod is None:
            return
        old = condition(pod.obj, "PodScheduled") or {}
        if old.get("message") == decision.message and state.nominated == decision.nominated:
            return
        entry = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": decision.message}
        conditions = with_condition(pod.obj["status"].get("conditions", []), entry, self.backend.timestamp())
        self._set_nominated(pod, decision.nominated, conditions)
        # A message in which only numbers changed is in the condition; thousands of waiting pods make no new Events.
        if _NUMBER.sub("", old.get("message", "")) != _NUMBER.sub("", decision.message):
            self.note(pod, "Pod", "v1", reason="FailedScheduling", message=decision.message, warning=True)

    def _set_nominated(self, pod: Stored, node: str, conditions: list[Json]) -> None:
        state = {name: value for name, value in pod.obj["status"].items() if name != "nominatedNodeName"}
        status = {**state, "conditions": conditions, **({"nominatedNodeName": node} if node else {})}
        self.set_status("pods", pod, status)
        self._see(pod.key)

    def _preempt(self, info: PodInfo, uid: str, victims: Victims) -> None:
        """Delete the victims; pods of lower priority lose their claim to the node."""
        for key in victims.pods:
            pod = self.store.get("pods", *key)
            if pod is not None and "deletionTimestamp" not in pod.obj["metadata"]:
                self._evict(pod, f"Preempted by pod {uid} on node {victims.node}")
        for key, other in list(self._cache.nodes[victims.node].nominated.items()):
            pod = self.store.get("pods", *key)
            if other.priority < info.priority and pod is not None:
                self._set_nominated(pod, "", pod.obj["status"].get("conditions", []))
                self._queue.wake_pod(key)

    def _evict(self, pod: Stored, message: str) -> None:
        entry = {"type": "DisruptionTarget", "status": "True", "reason": PREEMPTED,
                 "message": "default-scheduler: preempting to accommodate a higher priority pod"}  # fmt: skip
        conditions = with_condition(pod.obj["status"].get("conditions", []), entry, self.backend.timestamp())
        self.set_status("pods", pod, {**pod.obj["status"], "conditions": conditions})
        self.note(pod, "Pod", "v1", reason="Preempted", message=message, warning=False)
        delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions())
        self._see(pod.key)


def _gave_up(before: PodState, after: PodState | None) -> bool:
    """Whether a pod left its room, or its claim to some without taking it."""
    if after is None or after.info is not before.info:
        return True
    return after.node != before.node if before.node else not after.node and after.nominated != before.nominated
