"""Taints that follow a node's state: cordoned, not ready, unreachable; and pods that a vanished node leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.admission import NOT_READY, UNREACHABLE, UNSCHEDULABLE
from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.kubelet import MONITOR_GRACE_S
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import condition, dig

Json = dict[str, Any]

_OURS = (NOT_READY, UNREACHABLE, UNSCHEDULABLE)
_BOTH = ("NoSchedule", "NoExecute")


def wanted_taints(node: Json) -> list[tuple[str, str]]:
    """Key and effect of each taint that a node's state asks for.

    A node that never reported anything keeps the one taint it was admitted with: nobody plays it.
    """
    wanted = []
    ready = condition(node, "Ready")
    if ready is None:
        wanted.append((NOT_READY, "NoSchedule"))
    elif ready["status"] != "True":
        key = UNREACHABLE if ready["status"] == "Unknown" else NOT_READY
        wanted += [(key, effect) for effect in _BOTH]
    if dig(node, "spec", "unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    return wanted


class NodeTaints(Controller):
    """Keeps the taints of a node's state, and gives up the pods of a node that was deleted."""

    resources = frozenset({"nodes"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The node; ("gone", name) after a while when it was deleted."""
        yield event.key[1]
        if event.new is None:
            self.again_in(MONITOR_GRACE_S, ("gone", event.key[1]))

    def reconcile(self, key: Work) -> None:
        """Set one node's taints."""
        if isinstance(key, tuple):
            self._collect(key[1])
            return
        node = self.store.get("nodes", "", str(key))
        if node is None:
            return
        present = dig(node.obj, "spec", "taints", default=[])
        wanted = wanted_taints(node.obj)
        kept = [taint for taint in present if taint["key"] not in _OURS or (taint["key"], taint["effect"]) in wanted]
        there = {(taint["key"], taint["effect"]) for taint in kept}
        now = self.backend.timestamp()
        kept += [
            {"key": name, "effect": effect, "timeAdded": now} for name, effect in wanted if (name, effect) not in there
        ]
        if kept != present:
            self._write(node, kept)

    def _write(self, node: Stored, taints: list[Json]) -> None:
        spec = {key: value for key, value in node.obj.get("spec", {}).items() if key != "taints"}
        self.store.put("nodes", {**node.obj, "spec": {**spec, "taints": taints} if taints else spec})

    def _collect(self, name: str) -> None:
        if self.store.get("nodes", "", name) is not None:
            return
        for pod in self.store.pods_on(name):
            delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions(grace_s=0))
