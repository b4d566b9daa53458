"""Room made for a pod by deleting pods of lower priority on one node (DefaultPreemption)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from deployments.local.kubernetes.controllers.scheduling.cache import Cache, Placement
from deployments.local.kubernetes.controllers.scheduling.candidates import Candidates
from deployments.local.kubernetes.controllers.scheduling.filters import refusal
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.words import NO_VICTIMS
from deployments.local.kubernetes.eviction import BUDGETS
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.store import Key, Store, Stored
from deployments.local.kubernetes.trees import dig, epoch_s

Json = dict[str, Any]

PREEMPTED = "PreemptionByScheduler"
_ENOUGH_SHARE, _ENOUGH = 10, 100
"""Percent and number of nodes to try at least (minCandidateNodesPercentage, minCandidateNodesAbsolute)."""
_LOWEST = 2**31
"""Added to every priority in a sum, so that a further victim always makes it greater."""


class Victims(NamedTuple):
    """Pods whose deletion lets a pod onto a node, most important first.

    Attributes
    ----------
    violations: how many of them a budget protects.
    cost: what counts when nodes are compared, the less the better.
    """

    node: str
    pods: tuple[Key, ...]
    violations: int
    cost: tuple[float, ...]


class Preemption:
    """Looks for victims for the pods of one class; what it found on a node holds until something changes there."""

    def __init__(self, candidates: Candidates, cache: Cache, store: Store, now_s: float) -> None:
        self._candidates, self._info = candidates, candidates.info
        self._cache, self._store, self._now_s = cache, store, now_s
        self._budgets = list(store.sorted(BUDGETS))
        self._found: dict[str, Victims | tuple[str, ...]] = {}

    def forget(self, nodes: Iterable[str]) -> None:
        """Judge these nodes anew; all of them when pods elsewhere matter."""
        if self._candidates.topological:
            self._found.clear()
        for name in nodes:
            self._found.pop(name, None)

    def best(self, pod: str, resolvable: list[str]) -> tuple[Victims | None, list[str]]:
        """The node where it costs least, or why no node will do.

        Parameters
        ----------
        pod: identity of the pod; it says at which node the search begins.
        resolvable: nodes that may take it once others have left.
        """
        wanted = max(len(resolvable) * _ENOUGH_SHARE // 100, _ENOUGH)
        start = zlib.crc32(pod.encode()) % len(resolvable) if len(resolvable) > wanted else 0
        found: list[Victims] = []
        reasons: list[str] = []
        for name in [*resolvable[start:], *resolvable[:start]]:
            verdict = self._found.get(name)
            if verdict is None:
                verdict = self._found[name] = self._victims(self._cache.nodes[name])
            if isinstance(verdict, Victims):
                found.append(verdict)
                if len(found) >= wanted and any(not entry.violations for entry in found):
                    break
            else:
                reasons += verdict
        return min(found, key=lambda entry: entry.cost, default=None), reasons

    def _victims(self, place: NodeInfo) -> Victims | tuple[str, ...]:
        """The fewest pods that must go from a node, or why no such pods help."""
        lower = [key for key, other in place.pods.items() if other.priority < self._info.priority]
        if not lower:
            return (NO_VICTIMS,)
        trial = Trial(self._candidates, self._cache, place)
        try:
            for key in lower:
                trial.take(key)
            if (why := trial.refusal()) is not None:
                return why
            pods = {key: pod for key in lower if (pod := self._store.get("pods", *key)) is not None}
            ranked = sorted(pods, key=lambda key: (-place.pods[key].priority, self._started_s(pods[key]), key))
            violating = self._protected([pods[key] for key in ranked])
            order = sorted(ranked, key=lambda key: key not in violating)
            gone = {key: None for key in order if not trial.reprieve(key)}
            return self._costed(
                place, [pods[key] for key in ranked if key in gone], sum(key in violating for key in gone)
            )
        finally:
            trial.undo()

    def _costed(self, place: NodeInfo, victims: list[Stored], violations: int) -> Victims:
        """Order of pickOneNodeForPreemption: violations, highest priority, sum of priorities, number, latest start."""
        priorities = [place.pods[pod.key].priority for pod in victims]
        starts = [self._started_s(pod) for pod, priority in zip(victims, priorities, strict=True)
                  if priority == priorities[0]]  # fmt: skip
        cost = (violations, priorities[0], sum(value + _LOWEST for value in priorities), len(victims), -min(starts))
        return Victims(place.name, tuple(pod.key for pod in victims), violations, cost)

    def _started_s(self, pod: Stored) -> float:
        started = pod.obj["status"].get("startTime")
        return epoch_s(started) if started else self._now_s

    def _protected(self, pods: list[Stored]) -> dict[Key, None]:
        """Pods whose deletion, in this order, would break a budget."""
        left = [dig(budget.obj, "status", "disruptionsAllowed", default=0) for budget in self._budgets]
        found: dict[Key, None] = {}
        for pod in pods:
            for index, budget in enumerate(self._budgets):
                if budget.key[0] == pod.key[0] and _covers(budget.obj, pod):
                    left[index] -= 1
                    if left[index] < 0:
                        found[pod.key] = None
        return found


class Trial:
    """A node from which pods are taken and put back, to see whether the class of pods fits then."""

    def __init__(self, candidates: Candidates, cache: Cache, place: NodeInfo) -> None:
        self._candidates, self._cache = candidates, cache
        self._node = place.with_nominated(candidates.info, candidates.besides)
        if self._node is place:
            self._node = place.copy()
        self._taken: dict[Key, PodInfo] = {}

    def take(self, key: Key) -> None:
        """Take a pod away."""
        self._taken[key] = self._node.pods[key]
        self._node.remove(key)
        self._tell(key, -1)

    def reprieve(self, key: Key) -> bool:
        """Put a pod back if the others still fit then; whether it may stay."""
        info = self._taken.pop(key)
        self._node.add(key, info)
        self._tell(key, 1)
        if self.refusal() is None:
            return True
        self.take(key)
        return False

    def refusal(self) -> tuple[str, ...] | None:
        """Why the class does not fit now."""
        found = refusal(self._candidates.info, self._node) or self._candidates.near(self._node)
        return None if found is None else found.reasons

    def undo(self) -> None:
        """Put the counts by domain back as they were."""
        for key in self._taken:
            self._tell(key, 1)

    def _tell(self, key: Key, count: int) -> None:
        state = self._cache.pods[key]
        placement = Placement(self._node.name, state.info, count, state.leaving)
        self._candidates.spreading.placed(placement)
        self._candidates.company.placed(placement)


def _covers(budget: Json, pod: Stored) -> bool:
    selector, labels = dig(budget, "spec", "selector"), pod.obj["metadata"].get("labels", {})
    # Unlike for evictions, an empty selector means no pod here (filterPodsWithPDBViolation).
    if not selector or not labels or not selects(selector, labels):
        return False
    return pod.key[1] not in dig(budget, "status", "disruptedPods", default={})
