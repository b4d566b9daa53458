"""Topology spread: pods of a kind counted in each domain, as a filter and as a score (PodTopologySpread)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from deployments.local.kubernetes.controllers.scheduling.cache import Cache, Placement
from deployments.local.kubernetes.controllers.scheduling.filters import Refusal, selects_node, tolerates_all
from deployments.local.kubernetes.controllers.scheduling.node_info import NodeInfo
from deployments.local.kubernetes.controllers.scheduling.pod_info import PodInfo
from deployments.local.kubernetes.controllers.scheduling.terms import Spread
from deployments.local.kubernetes.selectors import Requirement, matches, of_selector
from deployments.local.kubernetes.store import Store
from deployments.local.kubernetes.trees import dig

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_OWNERS = {"ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps"}
_SKEWED = Refusal("PodTopologySpread", ("node(s) didn't match pod topology spread constraints",), resolvable=True)
_UNLABELLED = Refusal(
    "PodTopologySpread", ("node(s) didn't match pod topology spread constraints (missing required label)",)
)


def _by_default(selector: Sequence[Requirement]) -> tuple[Spread, ...]:
    """The constraints of pods that have none, for what their owner and Services select (systemDefaultConstraints)."""
    if not selector:
        return ()
    return tuple(Spread(key, skew, 1, tuple(selector), hard=False, honours_affinity=True, honours_taints=False)
                 for key, skew in ((ZONE, 3), (HOSTNAME, 5)))  # fmt: skip


def default_selector(info: PodInfo, store: Store) -> list[Requirement]:
    """What the Services and the owner of a pod select, all at once (helper.DefaultSelector)."""
    found: list[Requirement] = []
    for service in store.sorted("services", info.namespace):
        chosen = dig(service.obj, "spec", "selector", default={})
        if chosen and chosen.items() <= info.labels.items():
            found += [Requirement(key, "In", frozenset([value])) for key, value in sorted(chosen.items())]
    resource = _OWNERS.get(info.owner[0])
    owner = store.get(resource, info.namespace, info.owner[1]) if resource is not None else None
    return found if owner is None else [*found, *(of_selector(owner.obj["spec"].get("selector")) or ())]


class Domains:
    """How many pods of a constraint are in each domain: label value of the nodes that count.

    Pods that are being deleted do not count.
    """

    def __init__(self, constraint: Spread, info: PodInfo, cache: Cache, counts: Callable[[NodeInfo], bool]) -> None:
        self.constraint, self._info = constraint, info
        self._values = {
            node.name: node.labels[constraint.key] for node in cache.in_order()
            if constraint.key in node.labels and counts(node) and self._includes(node)
        }  # fmt: skip
        self.pods = dict.fromkeys(self._values.values(), 0)
        self.least = 0
        self.own = self._takes(info)
        for (other, leaving), places in cache.census.get(info.namespace, {}).items():
            if not leaving and self._takes(other):
                for name, count in places.items():
                    self._add(name, count)
        self._settle()

    def _includes(self, node: NodeInfo) -> bool:
        rule = self.constraint
        return (not rule.honours_affinity or selects_node(self._info, node)) and (
            not rule.honours_taints or tolerates_all(self._info, node.taints)
        )

    def _takes(self, other: PodInfo) -> bool:
        return other.namespace == self._info.namespace and matches(self.constraint.requirements, other.labels)

    def _add(self, node: str, count: int) -> bool:
        value = self._values.get(node)
        if value is None:
            return False
        self.pods[value] += count
        return True

    def _settle(self) -> None:
        few = len(self.pods) < self.constraint.min_domains
        self.least = 0 if few else min(self.pods.values(), default=0)

    def placed(self, placement: Placement) -> None:
        """Count pods that came or went."""
        counts = not placement.leaving and self._takes(placement.info)
        if counts and self._add(placement.node, placement.change) and self.constraint.hard:
            self._settle()

    def refusal(self, node: NodeInfo) -> Refusal | None:
        """Why one more pod on a node would skew the domains too far."""
        value = node.labels.get(self.constraint.key)
        if value is None:
            return _UNLABELLED
        skew = self.pods.get(value, 0) + self.own - self.least
        return _SKEWED if skew > self.constraint.max_skew else None


class Spreading:
    """All constraints of one class of pods: its own, or else the cluster's defaults."""

    def __init__(self, info: PodInfo, cache: Cache, selector: Sequence[Requirement]) -> None:
        hard = [entry for entry in info.spreads if entry.hard]
        soft = [entry for entry in info.spreads if not entry.hard]
        self._strict = bool(info.spreads)
        rules = soft if self._strict else _by_default(selector)
        self._soft_keys = [entry.key for entry in rules]
        self.hard = [Domains(entry, info, cache, _having([entry.key for entry in hard])) for entry in hard]
        needed = _having(self._soft_keys if self._strict else ())
        self._soft = [Domains(entry, info, cache, needed) for entry in rules]

    def placed(self, placement: Placement) -> None:
        """Count pods that came or went."""
        for domains in (*self.hard, *self._soft):
            domains.placed(placement)

    def scores(self, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """0 to 100 for each node, higher where fewer of the kind are; None when all are alike."""
        if not self._soft:
            return None
        taken = [not self._strict or all(key in node.labels for key in self._soft_keys) for node in nodes]
        crowds = [0.0] * len(nodes)
        for domains in self._soft:
            _add_crowds(crowds, domains, nodes, taken)
        counted = [round(crowd) for crowd, takes in zip(crowds, taken, strict=True) if takes]
        most, least = max(counted, default=0), min(counted, default=0)
        if most == least and all(taken):
            return None
        return [0 if not takes else 100 if not most else 100 * (most + least - round(crowd)) // most
                for crowd, takes in zip(crowds, taken, strict=True)]  # fmt: skip


def _having(keys: Iterable[str]) -> Callable[[NodeInfo], bool]:
    needed = tuple(keys)
    return lambda node: all(key in node.labels for key in needed)


def _add_crowds(crowds: list[float], domains: Domains, nodes: Sequence[NodeInfo], taken: Sequence[bool]) -> None:
    """Add count x ln(domains + 2) + maxSkew - 1 for each node: a count weighs more where domains are many."""
    key, pods = domains.constraint.key, domains.pods
    values = [node.labels.get(key) if takes else None for node, takes in zip(nodes, taken, strict=True)]
    size = sum(taken) if key == HOSTNAME else len({value for value in values if value is not None})
    weight, base = math.log(size + 2), domains.constraint.max_skew - 1
    for index, value in enumerate(values):
        if value is not None:
            crowds[index] += pods.get(value, 0) * weight + base
