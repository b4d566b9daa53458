"""Where the pods of one class may go: worked out once in a round of scheduling, then mended node by node."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.local.kubernetes.controllers.scheduling.cache import Cache
from deployments.local.kubernetes.controllers.scheduling.company import Company
from deployments.local.kubernetes.controllers.scheduling.filters import Refusal, refusal
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.scores import Suitability, suitability, totals
from deployments.local.kubernetes.controllers.scheduling.spreading import Spreading
from deployments.local.kubernetes.selectors import Requirement
from deployments.local.kubernetes.store import Key

# What RunPreFilterPlugins says of nodes that a pod's node affinity does not name.
_UNNAMED = Refusal("NodeAffinity", ("node(s) didn't satisfy plugin(s) [NodeAffinity]",))


class Candidates:
    """The verdict on every node for pods of one class.

    Parameters
    ----------
    selector: what the pods' owner and Services select, for the default spreading.
    besides: a pod whose own nomination takes no room from it.
    """

    def __init__(
        self, info: PodInfo, cache: Cache, selector: Sequence[Requirement], besides: Key | None = None
    ) -> None:
        self.info, self.besides, self._cache = info, besides, cache
        self.spreading, self.company = Spreading(info, cache, selector), Company(info, cache)
        self.refused: dict[str, Refusal] = {}
        self._fitting: dict[str, Suitability] = {}
        self._touched, self._placed = len(cache.touched), len(cache.placements)
        for node in cache.in_order():
            self._judge(node)

    @property
    def topological(self) -> bool:
        """Whether pods elsewhere decide about a node too."""
        return bool(self.spreading.hard) or self.company.matters

    def _judge(self, node: NodeInfo) -> None:
        info = self.info
        if info.node_names is not None and node.name not in info.node_names:
            self.refused[node.name] = _UNNAMED
            return
        found = refusal(info, node.with_nominated(info, self.besides))
        if found is None:
            self.refused.pop(node.name, None)
            self._fitting[node.name] = suitability(info, node)
        else:
            self._fitting.pop(node.name, None)
            self.refused[node.name] = found

    def refresh(self) -> list[str]:
        """Take in what changed since the last look; the nodes where something did."""
        cache = self._cache
        for placement in cache.placements[self._placed :]:
            self.spreading.placed(placement)
            self.company.placed(placement)
        touched = list(dict.fromkeys(cache.touched[self._touched :]))
        self._touched, self._placed = len(cache.touched), len(cache.placements)
        for name in touched:
            if name in self._fitting or name in self.refused:
                self._judge(cache.nodes[name])
        return touched

    def near(self, node: NodeInfo) -> Refusal | None:
        """Why pods elsewhere keep these off a node."""
        for domains in self.spreading.hard:
            if (found := domains.refusal(node)) is not None:
                return found
        return self.company.refusal(node) if self.company.matters else None

    def takes(self, name: str, key: Key) -> bool:
        """Whether a node takes one of the pods, the room held for that pod itself included."""
        node = self._cache.nodes.get(name)
        if node is None or not node.exists or self.refused.get(name) is _UNNAMED:
            return False
        return refusal(self.info, node.with_nominated(self.info, key)) is None and self.near(node) is None

    def best(self) -> str | None:
        """The most suitable node; the emptier one, then the first by name among equals."""
        nodes = [self._cache.nodes[name] for name in self._fitting]
        if self.topological:
            nodes = [node for node in nodes if self.near(node) is None]
        if len(nodes) < 2:
            return nodes[0].name if nodes else None
        worth = [self._fitting[node.name] for node in nodes]
        sums = totals(worth, self.spreading.scores(nodes), self.company.scores(nodes))
        most = max(sums)
        ties = [node for node, total in zip(nodes, sums, strict=True) if total == most]
        return min(ties, key=lambda node: (len(node.pods), node.name)).name

    def refusals(self) -> dict[str, Refusal]:
        """Why each node refuses, when none takes the pods."""
        near = {name: found for name in self._fitting if (found := self.near(self._cache.nodes[name])) is not None}
        return {**self.refused, **near}
