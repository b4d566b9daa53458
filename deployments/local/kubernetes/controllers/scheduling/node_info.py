"""What of a node matters to the scheduler: what it offers, and what its pods take of it."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo, Port
from deployments.local.kubernetes.controllers.scheduling.resources import offered
from deployments.local.kubernetes.store import Key, Stored
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]


class NodeInfo:
    """A node's offer (labels, taints, room) and its pods with their sums.

    Attributes
    ----------
    room, used: whole amounts by resource, CPU in thousandths.
    weight_cpu, weight_memory: what its pods count for in scores.
    nominated: pods that wait for room here which was made for them.
    """

    __slots__ = ("exists", "labels", "name", "nominated", "pods", "ports", "room", "taints", "unschedulable", "used",
                 "weight_cpu", "weight_memory")  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.pods: dict[Key, PodInfo] = {}
        self.nominated: dict[Key, PodInfo] = {}
        self.used: Counter[str] = Counter()
        self.ports: Counter[Port] = Counter()
        self.weight_cpu = self.weight_memory = 0
        self.clear_offer()

    def clear_offer(self) -> None:
        """No Node object stands behind it."""
        self.exists, self.unschedulable = False, False
        self.labels: dict[str, str] = {}
        self.taints: list[Json] = []
        self.room: dict[str, int] = {}

    def set_offer(self, node: Stored) -> bool:
        """Take in a Node's state; whether anything that matters changed."""
        old = (self.exists, self.unschedulable, self.labels, self.taints, self.room)
        spec = node.obj.get("spec", {})
        self.exists, self.unschedulable = True, bool(spec.get("unschedulable"))
        self.labels, self.taints = node.obj["metadata"].get("labels", {}), spec.get("taints", [])
        self.room = offered(dig(node.obj, "status", "allocatable", default={}))
        return old != (self.exists, self.unschedulable, self.labels, self.taints, self.room)

    def add(self, key: Key, info: PodInfo) -> None:
        """A pod takes its room."""
        self.pods[key] = info
        self._sum(info, 1)

    def remove(self, key: Key) -> None:
        """A pod gives its room back."""
        self._sum(self.pods.pop(key), -1)

    def _sum(self, info: PodInfo, sign: int) -> None:
        used = self.used
        for name, amount in info.wanted.items():
            used[name] += sign * amount
        for port in info.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
        self.weight_cpu += sign * info.weight[0]
        self.weight_memory += sign * info.weight[1]

    def copy(self) -> Self:
        """A node to try things on: the offer is shared, pods and sums are its own."""
        new = self.__class__(self.name)
        new.exists, new.unschedulable = self.exists, self.unschedulable
        new.labels, new.taints, new.room = self.labels, self.taints, self.room
        new.pods, new.nominated = dict(self.pods), self.nominated
        new.used, new.ports = self.used.copy(), self.ports.copy()
        new.weight_cpu, new.weight_memory = self.weight_cpu, self.weight_memory
        return new

    def with_nominated(self, info: PodInfo, besides: Key | None = None) -> NodeInfo:
        """The node as pods of a class must see it: nominated pods of at least their priority count as placed.

        `besides` is the pod itself.
        """
        first = [(key, other) for key, other in self.nominated.items()
                 if key != besides and other.priority >= info.priority]  # fmt: skip
        if not first:
            return self
        node = self.copy()
        for key, other in first:
            node.add(key, other)
        return node
