"""Which requests a fault strikes, and how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from blocks.fleet import Fleet
from deployments.local.faults.fault import Fault

APIS = {"clusters": "kubernetes", "aws": "eks", "gcp": "gke", "azure": "aks", "prometheus": "prometheus"}

# What an outage does to the requests of its clusters, and what comes first: nothing gets through a cut network, a dead
# server resets, a frozen one holds; rules on requests come last.
HOLD, RESET = "hold", "reset"
OUTAGES = {
    "site-partition": (0, HOLD),
    "cluster-kill": (1, RESET),
    "site-kill": (1, RESET),
    "cluster-freeze": (2, HOLD),
    "site-freeze": (2, HOLD),
}
_LAST = 3


class Asked(NamedTuple):
    """What a rule looks at. `cluster` is set for a Kubernetes API only; `target` is path and query behind the mount."""

    api: str
    cluster: str
    method: str
    target: str


@dataclass(frozen=True)
class Rule:
    """One fault as a rule on requests; None takes any."""

    fault: Fault
    effect: str
    rank: int
    api: str | None = None
    clusters: frozenset[str] | None = None
    names: frozenset[str] = frozenset()
    method: str | None = None
    path: re.Pattern[str] | None = None

    @property
    def outage(self) -> bool:
        """Whether it also reaches answers that are under way."""
        return self.rank < _LAST

    def takes(self, asked: Asked) -> bool:
        """Whether a request is one of those."""
        return (
            self.api in (None, asked.api)
            and self.method in (None, asked.method)
            and (self.clusters is None or asked.cluster in self.clusters or self._named(asked))
            and (self.path is None or self.path.search(asked.target) is not None)
        )

    def _named(self, asked: Asked) -> bool:
        """Whether a cloud's API is asked about the cluster: its name is a part of the path."""
        return not asked.cluster and not self.names.isdisjoint(re.split("[/:?]", asked.target))


def rules(active: Sequence[Fault], fleet: Fleet) -> tuple[Rule, ...]:
    """The rules of the active faults, in the order in which a request meets them."""
    made = []
    for fault in active:
        if fault.kind in OUTAGES:
            rank, effect = OUTAGES[fault.kind]
            made.append(Rule(fault, effect, rank, "kubernetes", fault.concerns(fleet)))
        elif fault.kind == "api":
            made.append(_of_requests(fault, fleet))
    return tuple(sorted(made, key=lambda rule: rule.rank))


def _of_requests(fault: Fault, fleet: Fleet) -> Rule:
    given = fault.parameters
    clusters = fault.concerns(fleet)
    known = [(cluster.name, cluster.cloud.cluster) for cluster in fleet.clusters if cluster.name in (clusters or ())]
    return Rule(
        fault,
        given["effect"],
        _LAST,
        api=None if given["api"] == "any" else given["api"],
        clusters=clusters,
        names=frozenset(name for names in known for name in names if name),
        method=given["method"] and given["method"].upper(),
        path=given["path"] and re.compile(given["path"]),
    )


def asked_of(scope: Any) -> Asked | None:
    """What an HTTP request asks for; None where no fault reaches: the simulation's own controls."""
    path: str = scope["path"]
    mount, _, rest = path[1:].partition("/")
    api = APIS.get(mount)
    if api is None:
        return None
    cluster = ""
    if api == "kubernetes":
        cluster, _, rest = rest.partition("/")
    query = scope["query_string"].decode("latin-1")
    return Asked(api, cluster, scope["method"], f"/{rest}?{query}" if query else f"/{rest}")
