"""The scheduler: a node for every pod, by requests, selectors, affinity, taints and cordons."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.admission import UNSCHEDULABLE
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.evictions import tolerates
from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.selectors import Requirement, matches
from deployments.local.kubernetes.store import Event, Key, Stored
from deployments.local.kubernetes.trees import condition, dig, with_condition

Json = dict[str, Any]

_ALL = "unscheduled pods"
_ENDED = ("Succeeded", "Failed")


@functools.lru_cache(maxsize=2048)
def _sums(wanted: tuple[tuple[str, str], ...]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for name, text in wanted:
        total[name] += quantity(text)  # type: ignore[assignment]
    return dict(total)


def requests(spec: Json) -> dict[str, float]:
    """What a pod asks for: its containers together, one pod place included.

    >>> requests({"containers": [{"resources": {"requests": {"cpu": "500m"}}}] * 2})
    {'cpu': 1.0, 'pods': 1.0}
    """
    wanted = tuple(
        item for container in spec.get("containers", ())
        for item in sorted(dig(container, "resources", "requests", default={}).items())
    )  # fmt: skip
    return {**_sums(wanted), "pods": 1.0}


class Scheduler(Controller):
    """Binds pending pods, highest priority first, to the emptiest node that takes them."""

    resources = frozenset({"pods", "nodes"})

    def prepare(self) -> None:
        """Nothing is bound yet."""
        self._used: dict[str, dict[str, float]] = {}
        self._waiting: dict[Key, None] = {}
        self._counted: set[int] = set()

    def keys(self, event: Event) -> Iterable[Work]:
        """One key for all: a new pod may go anywhere, and freed room may serve any pod."""
        if event.resource == "nodes":
            if (
                event.new is not None
                and self._waiting
                and (event.old is None or _offer(event.old) != _offer(event.new))
            ):
                yield _ALL
            return
        freed = self._count(event)
        pod = event.new
        if pod is not None and _unbound(pod):
            new = event.key not in self._waiting
            self._waiting[event.key] = None
            if new or (event.old is not None and event.old.obj["spec"] != pod.obj["spec"]):
                yield _ALL
        else:
            self._waiting.pop(event.key, None)
        if freed and self._waiting:
            yield _ALL

    def _count(self, event: Event) -> bool:
        """Keep the sums of each node; whether room was freed."""
        before, after = _room(event.old), _room(event.new)
        if event.version in self._counted:
            self._counted.remove(event.version)
            return False
        if before == after:
            return False
        for place, sign in ((before, -1.0), (after, 1.0)):
            if place is not None:
                used = self._used.setdefault(place[0], {})
                for name, amount in place[1].items():
                    used[name] = used.get(name, 0.0) + sign * amount
        return before is not None

    def reconcile(self, _key: Work) -> None:
        """Try every waiting pod once."""
        waiting = [pod for key in self._waiting if (pod := self.store.get("pods", *key)) is not None]
        waiting.sort(key=lambda pod: (-pod.obj["spec"].get("priority", 0), pod.obj["metadata"]["creationTimestamp"]))
        nodes = self.store.sorted("nodes") if waiting else []
        for pod in waiting:
            self._place(pod, nodes)

    def _place(self, pod: Stored, nodes: list[Stored]) -> None:
        wanted = requests(pod.obj["spec"])
        reasons: Counter[str] = Counter()
        fitting: list[tuple[float, str]] = []
        for node in nodes:
            why = unfit(pod.obj["spec"], wanted, node.obj, self._used.get(node.key[1], {}))
            if why:
                reasons.update(why)
            else:
                fitting.append((self._load(node, wanted), node.key[1]))
        if fitting:
            self._bind(pod, min(fitting)[1])
        else:
            self._refuse(pod, len(nodes), reasons)

    def _load(self, node: Stored, wanted: dict[str, float]) -> float:
        """Share of a node that is requested with this pod on it, averaged over cpu and memory."""
        used, room = self._used.get(node.key[1], {}), dig(node.obj, "status", "allocatable", default={})
        shares = [(used.get(name, 0.0) + wanted.get(name, 0.0)) / (quantity(room[name]) or 1.0)
                  for name in ("cpu", "memory") if name in room]  # fmt: skip
        crowd = used.get("pods", 0.0) / (quantity(room["pods"]) or 1.0) if "pods" in room else 0.0
        return sum(shares) / len(shares) + crowd / 1000 if shares else crowd

    def _bind(self, pod: Stored, node: str) -> None:
        now, state = self.backend.timestamp(), pod.obj["status"]
        conditions = [entry for entry in state.get("conditions", []) if entry["type"] != "PodScheduled"]
        conditions = with_condition(conditions, {"type": "PodScheduled", "status": "True"}, now)
        spec = {**pod.obj["spec"], "nodeName": node}
        self._waiting.pop(pod.key, None)
        # The sums are kept here as well as by the event, which comes after the next pod has been placed.
        bound = self.store.put("pods", {**pod.obj, "spec": spec, "status": {**state, "conditions": conditions}})
        self._count(Event("pods", bound.version, bound.key, pod, bound))
        self._counted.add(bound.version)

    def _refuse(self, pod: Stored, nodes: int, reasons: Counter[str]) -> None:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        message = f"0/{nodes} nodes are available: {why}." if why else "no nodes available to schedule pods"
        old = condition(pod.obj, "PodScheduled")
        if old is not None and old.get("message") == message:
            return
        entry = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        state = pod.obj["status"]
        conditions = with_condition(state.get("conditions", []), entry, self.backend.timestamp())
        self.set_status("pods", pod, {**state, "conditions": conditions})
        self.note(pod, "Pod", "v1", reason="FailedScheduling", message=message, warning=True)


def _unbound(pod: Stored) -> bool:
    spec = pod.obj["spec"]
    ours = spec.get("schedulerName", "default-scheduler") == "default-scheduler"
    gone = "deletionTimestamp" in pod.obj["metadata"] or pod.obj["status"].get("phase") in _ENDED
    return ours and not gone and not spec.get("nodeName") and not spec.get("schedulingGates")


def _room(pod: Stored | None) -> tuple[str, dict[str, float]] | None:
    """Node and requests of a pod that takes up room."""
    if pod is None or not pod.obj["spec"].get("nodeName") or pod.obj["status"].get("phase") in _ENDED:
        return None
    return pod.obj["spec"]["nodeName"], requests(pod.obj["spec"])


def _offer(node: Stored) -> Json:
    """What of a node matters for placing pods."""
    return {"labels": node.obj["metadata"].get("labels"), "spec": node.obj.get("spec"),
            "room": dig(node.obj, "status", "allocatable")}  # fmt: skip


def unfit(spec: Json, wanted: dict[str, float], node: Json, used: dict[str, float]) -> list[str]:
    """Why a node does not take a pod; empty when it does. The first kind of reason hides the others."""
    tolerations = spec.get("tolerations", [])
    taints = dig(node, "spec", "taints", default=[])
    cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if dig(node, "spec", "unschedulable") and not any(tolerates(entry, cordon) for entry in tolerations):
        return ["node(s) were unschedulable"]
    for taint in taints:
        if taint["effect"] != "PreferNoSchedule" and not any(tolerates(entry, taint) for entry in tolerations):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if not _affine(spec, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    room = dig(node, "status", "allocatable", default={})
    short = [name for name, amount in wanted.items()
             if used.get(name, 0.0) + amount > quantity(room.get(name, "0")) + 1e-9]  # fmt: skip
    return [("Too many pods" if name == "pods" else f"Insufficient {name}") for name in short]


def _affine(spec: Json, node: Json) -> bool:
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    terms = dig(spec, *path)
    if not terms:
        return True
    labels, name = node["metadata"].get("labels", {}), {"metadata.name": node["metadata"]["name"]}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and matches(_requirements(term.get("matchExpressions", ())), labels)
        and matches(_requirements(term.get("matchFields", ())), name)
        for term in terms
    )


def _requirements(expressions: Iterable[Json]) -> list[Requirement]:
    return [Requirement(entry["key"], entry["operator"], frozenset(entry.get("values", ()))) for entry in expressions]
