"""NoExecute taints: pods leave a node after as long as they tolerate its taints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.backend import DeleteOptions
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.deleting import delete
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, with_condition

Json = dict[str, Any]


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether a toleration covers a taint; no key with Exists covers all, no effect covers every effect.

    >>> tolerates({"operator": "Exists"}, {"key": "gpu", "effect": "NoSchedule"})
    True
    """
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def _tolerated_s(tolerations: list[Json], taints: list[Json]) -> float | None:
    """Seconds that a pod may stay under NoExecute taints: None for ever, 0 when one is not tolerated."""
    limits: list[float] = []
    for taint in taints:
        fitting = [entry for entry in tolerations if tolerates(entry, taint)]
        if not fitting:
            return 0.0
        limits += [float(entry["tolerationSeconds"]) for entry in fitting if "tolerationSeconds" in entry]
    return max(min(limits), 0.0) if limits else None


class TaintEvictions(Controller):
    """Deletes pods whose patience with their node's taints is over."""

    resources = frozenset({"nodes", "pods"})

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._since: dict[tuple[str, str, str], float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """Nodes whose NoExecute taints changed, and nodes with such taints that a pod was bound to."""
        if event.resource == "nodes":
            before = _no_execute(event.old) if event.old is not None else []
            if event.new is None or before != _no_execute(event.new):
                yield event.key[1]
        elif event.new is not None and (event.old is None or not event.old.obj["spec"].get("nodeName")):
            found = self.store.get("nodes", "", event.new.obj["spec"].get("nodeName", ""))
            if found is not None and _no_execute(found):
                yield found.key[1]

    def reconcile(self, key: Work) -> None:
        """Judge all pods of one node."""
        name = str(key)
        node, now = self.store.get("nodes", "", name), self.backend.now_s()
        taints = _no_execute(node) if node is not None else []
        self._since = {
            entry: since for entry, since in self._since.items()
            if entry[0] != name or any(entry[1:] == (taint["key"], taint.get("value", "")) for taint in taints)
        }  # fmt: skip
        if not taints:
            return
        since = max(self._since.setdefault((name, taint["key"], taint.get("value", "")), now) for taint in taints)
        for pod in self.store.pods_on(name):
            limit = _tolerated_s(pod.obj["spec"].get("tolerations", []), taints)
            if limit is None or "deletionTimestamp" in pod.obj["metadata"]:
                continue
            if now >= since + limit:
                self._evict(pod)
            else:
                self.again_at(since + limit, key)

    def _evict(self, pod: Stored) -> None:
        entry = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                 "message": "Taint manager: deleting due to NoExecute taint"}  # fmt: skip
        state = pod.obj["status"]
        conditions = with_condition(state.get("conditions", []), entry, self.backend.timestamp())
        self.set_status("pods", pod, {**state, "conditions": conditions})
        delete(self.backend, self.backend.registry.of("pods"), *pod.key, DeleteOptions())


def _no_execute(node: Stored) -> list[Json]:
    return [taint for taint in dig(node.obj, "spec", "taints", default=()) if taint["effect"] == "NoExecute"]
