"""Read every node pool as it is now: its size from the cloud, its nodes from Kubernetes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Cluster, Fleet, NodePool, pool_id
from blocks.inventory import resolve_secrets
from blocks.kubernetes import (
    KARPENTER_LABEL,
    NO_PODS,
    KubernetesApi,
    PoolPods,
    count_by_label,
    count_by_pool,
    pods_by_pool,
)
from blocks.node_pools import PoolState, connect, with_ready
from tasks.clusters import side_by_side
from tasks.pools.karpenter import is_karpenters, karpenter_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolReading:
    """One pool as its cluster shows it.

    `state` is None where the cluster or its cloud did not answer; `karpenter` says that Karpenter makes its nodes;
    `pods` is None where the pods could not be read.
    """

    subject: str
    cluster: Cluster
    pool: NodePool
    state: PoolState | None
    karpenter: bool = False
    pods: PoolPods | None = None

    @property
    def ready(self) -> int:
        """Nodes that are Ready and open for pods; 0 where nobody answered."""
        return self.state.ready or 0 if self.state else 0


def read_pools(fleet: Fleet) -> tuple[list[PoolReading], list[str]]:
    """Every pool of the fleet in file order, and one line for each cluster in trouble."""
    answers = side_by_side(_read_cluster, fleet.clusters)
    return [reading for readings, _ in answers for reading in readings], [
        line for _, lines in answers for line in lines
    ]


def _read_cluster(cluster: Cluster) -> tuple[list[PoolReading], list[str]]:
    lines: list[str] = []
    pods: dict[str, PoolPods] | None = None
    answered = False
    try:
        access = resolve_secrets(cluster)
        states = connect(access).list()
        api = KubernetesApi.connect(access)
        nodes = api.nodes()
        states = with_ready(states, count_by_pool(nodes, cluster.provider))
        made = count_by_label(nodes, KARPENTER_LABEL)
    except ContinuumError as error:
        states, made = [], {}
        lines.append(str(error))
    else:
        answered = True
        try:
            pods = pods_by_pool(nodes, api.pods(), api.list("poddisruptionbudgets"), cluster.provider)
        except ContinuumError as error:
            lines.append(f"{error}; what pods request is not known, so capacity is not lowered there")
    found = {state.name: state for state in states}
    theirs = {pool.name for pool in cluster.node_pools if is_karpenters(pool, made)}
    if answered:
        found = {pool.name: karpenter_state(pool, made) for pool in cluster.node_pools if pool.name in theirs} | found
    if missing := [pool.name for pool in cluster.node_pools if answered and pool.name not in found]:
        absent = ", ".join(missing)
        lines.append(f"cluster {cluster.name}: the cloud has no node pool {absent}. To mend it: correct fleet.yaml")
    for line in lines:
        logger.warning("%s", line)
    return [
        PoolReading(pool_id(cluster.name, pool.name), cluster, pool, found.get(pool.name), pool.name in theirs,
                    None if pods is None else pods.get(pool.name, NO_PODS))
        for pool in cluster.node_pools
    ], lines  # fmt: skip


def named_pools(fleet: Fleet, names: Sequence[str] | None) -> frozenset[str]:
    """The pools `cluster/pool` that are named; every pool where none is.

    Raises
    ------
    InvalidInput: a name that the inventory does not have.
    """
    known = frozenset(pool_id(cluster.name, pool.name) for cluster, pool in fleet.pools())
    if unknown := frozenset(names or ()) - known:
        fix = "see `continuum fleet show`"
        raise InvalidInput("the inventory has no such pool", where=f"pool {min(unknown)}", fix=fix)
    return frozenset(names) if names else known
