"""What the scheduler knows of the cluster: nodes with their pods summed up, kept by differences."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo, PodInfos
from deployments.local.kubernetes.store import Key, Store, Stored
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_ENDED = ("Succeeded", "Failed")
SCHEDULER = "default-scheduler"


class PodState(NamedTuple):
    """A pod that has not ended, as the scheduler knows it.

    Attributes
    ----------
    ready: whether it is ours to place: no other scheduler's, and without gates.
    """

    uid: str
    info: PodInfo
    node: str
    nominated: str
    leaving: bool
    ready: bool

    @property
    def waits(self) -> bool:
        """Whether it needs a node from us."""
        return self.ready and not self.node and not self.leaving


class Placement(NamedTuple):
    """Pods that came to a node (`change` 1, or more) or left it (-1); `leaving` ones are being deleted."""

    node: str
    info: PodInfo
    change: int
    leaving: bool


class Cache:
    """Nodes, pods and counts. Tell it of every write; writes that change nothing here cost next to nothing.

    Attributes
    ----------
    nodes: by name; one that has pods but no Node object is there too, with nothing to offer.
    census: per namespace, pods of each class (and whether they are being deleted) on each node.
    social: how many placed pods of each class have rules about other pods.
    placements: what came and went since the changes were last forgotten.
    touched: nodes where anything did.
    freed: how often a pod gave up its room or its claim to some.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._infos = store, PodInfos()
        self.nodes: dict[str, NodeInfo] = {}
        self.pods: dict[Key, PodState] = {}
        self.census: dict[str, dict[tuple[PodInfo, bool], Counter[str]]] = {}
        self.social: Counter[PodInfo] = Counter()
        self.placements: list[Placement] = []
        self.touched: list[str] = []
        self.freed = 0
        self._seen: dict[Key, Stored] = {}
        self._ready: list[NodeInfo] | None = None

    def forget_changes(self) -> None:
        """Forget what came and went so far."""
        self.placements.clear()
        self.touched.clear()

    def in_order(self) -> list[NodeInfo]:
        """Nodes that exist, by name."""
        if self._ready is None:
            self._ready = [self.nodes[name] for name in sorted(self.nodes) if self.nodes[name].exists]
        return self._ready

    def namespace_labels(self, name: str) -> dict[str, str]:
        """Labels of a namespace."""
        found = self._store.get("namespaces", "", name)
        return dict(found.obj["metadata"].get("labels", {})) if found is not None else {}

    def see_node(self, name: str, node: Stored | None) -> bool:
        """Take in a node's present state; whether that changed what it offers."""
        known = self.nodes.get(name)
        if node is None:
            if known is None or not known.exists:
                return False
            known.clear_offer()
            self._drop_empty(known)
            self._ready = None
        else:
            info = known or self.nodes.setdefault(name, NodeInfo(name))
            if not info.exists:
                self._ready = None
            if not info.set_offer(node):
                return False
        self.touched.append(name)
        return True

    def see_pod(self, key: Key, pod: Stored | None) -> tuple[PodState | None, PodState | None]:
        """Take in a pod's present state; what was known before and what is known now, the same object if equal."""
        before, after = self.pods.get(key), self._state(key, pod)
        if before == after:
            return before, before
        if before is not None:
            self._take_away(key, before)
            del self.pods[key]
        if after is None:
            self._seen.pop(key, None)
        else:
            self.pods[key] = after
            self._put_there(key, after)
        return before, after

    def _state(self, key: Key, pod: Stored | None) -> PodState | None:
        if pod is None or pod.obj["status"].get("phase") in _ENDED:
            return None
        spec, metadata = pod.obj["spec"], pod.obj["metadata"]
        seen, known = self._seen.get(key), self.pods.get(key)
        self._seen[key] = pod
        same = seen is not None and known is not None and _alike(seen.obj, pod.obj)
        info = known.info if same and known is not None else self._infos.of(pod.obj)
        ours = spec.get("schedulerName", SCHEDULER) == SCHEDULER
        return PodState(metadata["uid"], info, spec.get("nodeName", ""), pod.obj["status"].get("nominatedNodeName", ""),
                        "deletionTimestamp" in metadata, ours and not spec.get("schedulingGates"))  # fmt: skip

    def _put_there(self, key: Key, state: PodState) -> None:
        if state.node:
            self._node(state.node).add(key, state.info)
            self._count(state, 1)
        elif state.nominated:
            self._node(state.nominated).nominated[key] = state.info
            self.touched.append(state.nominated)

    def _take_away(self, key: Key, state: PodState) -> None:
        self.freed += 1
        if state.node:
            node = self.nodes[state.node]
            node.remove(key)
            self._count(state, -1)
            self._drop_empty(node)
        elif state.nominated:
            node = self.nodes[state.nominated]
            node.nominated.pop(key, None)
            self.touched.append(state.nominated)
            self._drop_empty(node)

    def _count(self, state: PodState, count: int) -> None:
        info = state.info
        space = self.census.setdefault(info.namespace, {})
        places = space.setdefault((info, state.leaving), Counter())
        places[state.node] += count
        if not places[state.node]:
            del places[state.node]
            if not places:
                del space[info, state.leaving]
        if info.social:
            self.social[info] += count
            if not self.social[info]:
                del self.social[info]
        self.placements.append(Placement(state.node, info, count, state.leaving))
        self.touched.append(state.node)

    def _node(self, name: str) -> NodeInfo:
        return self.nodes.setdefault(name, NodeInfo(name))

    def _drop_empty(self, node: NodeInfo) -> None:
        if not node.exists and not node.pods and not node.nominated:
            del self.nodes[node.name]


def _alike(old: Json, new: Json) -> bool:
    """Whether two states of one pod are of one class for sure: a write of its status shares all the rest."""
    labels = (dig(obj, "metadata", "labels") for obj in (old, new))
    owners = (dig(obj, "metadata", "ownerReferences") for obj in (old, new))
    return old["spec"] is new["spec"] and next(labels) is next(labels) and next(owners) is next(owners)
