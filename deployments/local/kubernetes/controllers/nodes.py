"""Taints that follow a node's state: cordoned, under pressure, lost; and pods that a vanished node leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.admission import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers import zones
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.node_health import MONITOR_GRACE_S
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import condition, dig, epoch_s, is_true

Json = dict[str, Any]
Taint = tuple[str, str]
"""Key and effect."""

DISK_PRESSURE = "node.kubernetes.io/disk-pressure"
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": DISK_PRESSURE,
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
"""Taint, with effect NoSchedule, of a condition that is True."""
PASS_S = 0.1
"""Seconds between two looks at who is to be evicted."""
_LOST = {"False": NOT_READY, "Unknown": UNREACHABLE}
_OURS = (*_LOST.values(), UNSCHEDULABLE, *PRESSURES.values())
_EVICT = "evict"


def _wanted_taints(node: Json) -> list[Taint]:
    """Taints that keep pods away from a node in its state.

    A node that never reported anything keeps the one taint it was admitted with: nobody plays it.
    """
    ready = condition(node, "Ready")
    lost = NOT_READY if ready is None else _LOST.get(ready["status"])
    keys = [lost] if lost is not None else []
    keys += [key for kind, key in PRESSURES.items() if is_true(node, kind)]
    if dig(node, "spec", "unschedulable"):
        keys.append(UNSCHEDULABLE)
    return [(key, "NoSchedule") for key in keys]


def _evicting_taint(node: Json) -> Taint | None:
    """The taint that makes the pods of a lost node leave; None for a node that is well, or never said anything."""
    ready = condition(node, "Ready")
    lost = _LOST.get(ready["status"]) if ready is not None else None
    return (lost, "NoExecute") if lost is not None else None


class NodeTaints(Controller):
    """Keeps the taints of a node's state, and gives up the pods of a node that was deleted.

    Taints that evict come one node after the other, at the pace of the node's zone.
    """

    resources = frozenset({"nodes"})

    def prepare(self) -> None:
        """Nobody has been evicted yet."""
        self._next_s: dict[str, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """The node; after a moment all of them when one was lost or found; ("gone", name) when it was deleted."""
        yield event.key[1]
        states = [condition(entry.obj, "Ready") if entry is not None else None for entry in (event.old, event.new)]
        if states[0] != states[1]:
            self.again_in(PASS_S, (_EVICT, ""))
        if event.new is None:
            self.again_in(MONITOR_GRACE_S, ("gone", event.key[1]))

    def reconcile(self, key: Work) -> None:
        """Set one node's taints, or the next ones that evict."""
        if isinstance(key, tuple):
            if key[0] == _EVICT:
                self._evict()
            else:
                self._collect(key[1])
            return
        node = self.store.get("nodes", "", str(key))
        if node is not None:
            self._set(node, [*_wanted_taints(node.obj), *self._kept(node)])

    def _kept(self, node: Stored) -> list[Taint]:
        """A node that is being evicted goes on to be, also when the reason has changed."""
        wanted = _evicting_taint(node.obj)
        return [wanted] if wanted is not None and _is_evicted(node) else []

    def _set(self, node: Stored, wanted: list[Taint]) -> None:
        """Bring our taints to those wanted, leaving others alone."""
        present = dig(node.obj, "spec", "taints", default=[])
        kept = [taint for taint in present if taint["key"] not in _OURS or (taint["key"], taint["effect"]) in wanted]
        there, now = {(taint["key"], taint["effect"]) for taint in kept}, self.backend.timestamp()
        taints = [*kept, *({"key": key, "effect": effect, "timeAdded": now}
                           for key, effect in wanted if (key, effect) not in there)]  # fmt: skip
        if taints != present:
            spec = {key: value for key, value in node.obj.get("spec", {}).items() if key != "taints"}
            self.store.put("nodes", {**node.obj, "spec": {**spec, "taints": taints} if taints else spec})

    def _evict(self) -> None:
        """Taint the next lost node of each zone; take all such taints back when every node of every zone is lost."""
        nodes = self.store.sorted("nodes")
        rates = zones.rates(zones.by_zone([node.obj for node in nodes]))
        lost = [node for node in nodes if _evicting_taint(node.obj) is not None]
        if rates is None:
            for node in lost:
                self._set(node, _wanted_taints(node.obj))
            return
        for zone, rate in sorted(rates.items()):
            waiting = [node for node in lost if zones.zone_of(node.obj) == zone and not _is_evicted(node)]
            if waiting and rate:
                self._evict_next(zone, rate, sorted(waiting, key=_lost_since))

    def _evict_next(self, zone: str, rate: float, waiting: list[Stored]) -> None:
        now_s = self.backend.now_s()
        if now_s >= self._next_s.get(zone, now_s):
            node = waiting.pop(0)
            wanted = _evicting_taint(node.obj)
            self._set(node, [*_wanted_taints(node.obj), *([wanted] if wanted is not None else [])])
            self._next_s[zone] = now_s + 1 / rate
        if waiting:
            self.again_at(self._next_s[zone], (_EVICT, ""))

    def _collect(self, name: str) -> None:
        if self.store.get("nodes", "", name) is not None:
            return
        for pod in self.store.pods_on(name):
            delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions(grace_s=0))


def _is_evicted(node: Stored) -> bool:
    present = dig(node.obj, "spec", "taints", default=())
    return any(taint["key"] in _LOST.values() and taint["effect"] == "NoExecute" for taint in present)


def _lost_since(node: Stored) -> tuple[float, str]:
    ready = condition(node.obj, "Ready") or {}
    return epoch_s(ready.get("lastTransitionTime", node.obj["metadata"]["creationTimestamp"])), node.key[1]
