"""Affinity between pods: who must, must not, or would rather be near whom (InterPodAffinity)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deployments.local.kubernetes.controllers.scheduling.cache import Cache, Placement
from deployments.local.kubernetes.controllers.scheduling.filters import Refusal
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.terms import PodTerm

Counts = dict[str, Counter[str]]
"""A count for each value of each node label."""

_ALONE = Refusal("InterPodAffinity", ("node(s) didn't match pod affinity rules",))
_CROWDED = Refusal("InterPodAffinity", ("node(s) didn't match pod anti-affinity rules",), resolvable=True)
_UNWELCOME = Refusal("InterPodAffinity", ("node(s) didn't satisfy existing pods anti-affinity rules",), resolvable=True)


class Company:
    """What pods placed so far mean for pods of one class, by domain."""

    def __init__(self, info: PodInfo, cache: Cache) -> None:
        self._info, self._cache = info, cache
        self._near: Counts = {}
        self._apart: Counts = {}
        self._unwelcome: Counts = {}
        self._drawn: Counts = {}
        if info.social or cache.social:
            for space in cache.census.values():
                for (other, leaving), places in space.items():
                    for name, count in places.items():
                        self.placed(Placement(name, other, count, leaving))

    @property
    def matters(self) -> bool:
        """Whether a node may be refused for the company there."""
        return bool(self._info.affinity or self._info.anti_affinity or self._unwelcome)

    def placed(self, placement: Placement) -> None:
        """Count pods that came or went."""
        info, other = self._info, placement.info
        node = self._cache.nodes.get(placement.node)
        if node is None or not (info.social or other.social):
            return
        if info.affinity and all(self._about(term, other) for term in info.affinity):
            for term in info.affinity:
                self._add(self._near, term, node, placement.change)
        for term in info.anti_affinity:
            if self._about(term, other):
                self._add(self._apart, term, node, placement.change)
        for term in other.anti_affinity:
            if self._about(term, info):
                self._add(self._unwelcome, term, node, placement.change)
        for weight, term in info.preferences:
            if self._about(term, other):
                self._add(self._drawn, term, node, placement.change * weight)
        for weight, term in other.attracts:
            if self._about(term, info):
                self._add(self._drawn, term, node, placement.change * weight)

    def _about(self, term: PodTerm, pod: PodInfo) -> bool:
        return term.takes(pod.namespace, pod.labels, self._cache.namespace_labels)

    @staticmethod
    def _add(counts: Counts, term: PodTerm, node: NodeInfo, count: int) -> None:
        value = node.labels.get(term.key)
        if value is None:
            return
        values = counts.setdefault(term.key, Counter())
        values[value] += count
        if not values[value]:
            del values[value]
            if not values:
                del counts[term.key]

    def refusal(self, node: NodeInfo) -> Refusal | None:
        """Why the company on or near a node does not suit."""
        if self._info.affinity and not self._has_company(node):
            return _ALONE
        if _there(self._apart, node):
            return _CROWDED
        return _UNWELCOME if _there(self._unwelcome, node) else None

    def _has_company(self, node: NodeInfo) -> bool:
        """Whether all terms find somebody near; the first pod of a group that wants its own kind may begin anywhere."""
        labels, terms, near = node.labels, self._info.affinity, self._near
        if any(term.key not in labels for term in terms):
            return False
        if all(term.key in near and near[term.key][labels[term.key]] for term in terms):
            return True
        return not near and all(self._about(term, self._info) for term in terms)

    def scores(self, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """0 to 100 for each node by the weights of its company; None when all are alike."""
        if not self._drawn:
            return None
        sums = [_there(self._drawn, node) for node in nodes]
        most, least = max(sums), min(sums)
        return None if most == least else [100 * (value - least) // (most - least) for value in sums]


def _there(counts: Counts, node: NodeInfo) -> int:
    """The counts for a node's labels together."""
    return sum(values[node.labels[key]] for key, values in counts.items() if key in node.labels)
