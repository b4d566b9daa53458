"""One capability, `NodePools`, for every provider; each SDK is imported when its provider is first connected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, Protocol

from blocks.fleet import Cluster, Provider
from blocks.kubernetes import PoolNodes


@dataclass(frozen=True)
class PoolState:
    """A node pool as its API tells it now.

    Attributes
    ----------
    min_nodes, max_nodes: the API's bounds, or the inventory's where the API keeps none for this pool.
    desired: nodes asked for.
    ready: Ready nodes open for pods; None where the node-pool API does not know (see `with_ready`).
    version: changes with every change of size, bounds or marks; give it back as `if_match`.
    busy_operation: id of the operation that is running, or None.
    autoscaled: an autoscaler sets `desired`; move its bounds instead.
    hands_off: marked `continuum.io/hands-off` (tag, label, annotation or inventory): never written.
    owner: another tool that writes the pool (`argo-cd`, `flux`), or None.
    movable_bounds: `set_bounds` works: the API keeps bounds that an autoscaler goes by.
    trouble: what the API says keeps its nodes from coming, or None.
    multiple_of: `desired` moves in steps of this many nodes (GKE: one node in each zone).
    """

    name: str
    min_nodes: int
    max_nodes: int
    desired: int
    ready: int | None
    version: str
    busy_operation: str | None = None
    autoscaled: bool = False
    hands_off: bool = False
    owner: str | None = None
    multiple_of: int = 1
    movable_bounds: bool = False
    trouble: str | None = None


@dataclass(frozen=True)
class Operation:
    """A change that the provider accepted. `id` is empty where nothing had to change."""

    id: str
    pool: str
    state: Literal["running", "done", "failed"]
    error: str | None = None


class NodePools(Protocol):
    """The node pools of one cluster.

    Every verb raises errors of `blocks.errors` only. A write re-reads the pool and refuses before it calls: `Refused`
    (bounds, hands-off, another owner), `Conflict` (`if_match` is old, an operation is running). The call itself may
    end in `Conflict`, `Throttled`, `CloudRefused` (quota, capacity, parameter), `Unauthorized`, `Unreachable`, or
    `TimedOut`: then the work may go on, so read the pool before doing anything else.
    """

    def list(self) -> list[PoolState]:
        """All pools, by name."""
        ...

    def describe(self, pool: str) -> PoolState:
        """One pool; `NotFound` where there is none."""
        ...

    def set_bounds(self, pool: str, min_nodes: int, max_nodes: int, if_match: str | None = None) -> Operation:
        """Move the bounds; `desired` follows only where they force it."""
        ...

    def set_desired(self, pool: str, desired: int, if_match: str | None = None, token: str | None = None) -> Operation:
        """Ask for a number of nodes. The same `token` twice is one change where the API offers that (EKS)."""
        ...

    def operation(self, op: Operation) -> Operation:
        """The operation as it stands now."""
        ...

    def wait(self, op: Operation, timeout_s: float) -> Operation:
        """The operation once done; `OperationFailed` if it failed, `TimedOut` after `timeout_s` (it goes on)."""
        ...


# provider -> module and class; a module imports its SDK, so nothing is imported before it is needed.
PROVIDERS: dict[Provider, tuple[str, str]] = {
    Provider.EKS: ("blocks.node_pools.eks", "EksNodePools"),
    Provider.GKE: ("blocks.node_pools.gke", "GkeNodePools"),
    Provider.AKS: ("blocks.node_pools.aks", "AksNodePools"),
    Provider.K3S: ("blocks.node_pools.k3s", "K3sNodePools"),
}


def connect(cluster: Cluster) -> NodePools:
    """The node pools of a cluster, through its provider's API.

    Raises
    ------
    NotConfigured: a region, project, subscription or credential is missing.
    """
    module, name = PROVIDERS[cluster.provider]
    pools: NodePools = getattr(import_module(module), name).connect(cluster)
    return pools


def with_ready(states: list[PoolState], nodes: Mapping[str, PoolNodes]) -> list[PoolState]:
    """Pools with `ready` from Kubernetes, where the cloud did not tell: nodes that are Ready and open for pods.

    nodes: `count_by_pool(KubernetesApi.nodes(), cluster.provider)`. A pool without any node has 0; when that call
    failed, do not call this: `ready` stays None, which is "unknown", not zero.

    >>> with_ready([PoolState("web", 1, 9, 3, None, "v1")], {"web": PoolNodes(3, 2, 2)})[0].ready
    2
    """
    none = PoolNodes(0, 0, 0)
    return [
        replace(state, ready=nodes.get(state.name, none).schedulable) if state.ready is None else state
        for state in states
    ]
