"""Read every node pool as it is now: its size from the cloud, its nodes from Kubernetes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from blocks.errors import ContinuumError, InvalidInput
from blocks.fleet import Cluster, Fleet, NodePool, pool_id
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KARPENTER_LABEL, KubernetesApi, count_by_label
from blocks.node_pools import PoolState, connect, with_ready
from tasks.pools.karpenter import is_karpenters, karpenter_state

CLUSTERS_AT_ONCE = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolReading:
    """One pool as its cluster shows it.

    `state` is None where the cluster or its cloud did not answer; `karpenter` says that Karpenter makes its nodes.
    """

    subject: str
    cluster: Cluster
    pool: NodePool
    state: PoolState | None
    karpenter: bool = False

    @property
    def ready(self) -> int:
        """Nodes that are Ready and open for pods; 0 where nobody answered."""
        return self.state.ready or 0 if self.state else 0


def read_pools(fleet: Fleet) -> tuple[list[PoolReading], list[str]]:
    """Every pool of the fleet in file order, and one line for each cluster that did not answer."""
    with ThreadPoolExecutor(CLUSTERS_AT_ONCE) as threads:
        answers = list(threads.map(_read_cluster, fleet.clusters))
    return [reading for readings, _ in answers for reading in readings], [line for _, line in answers if line]


def _read_cluster(cluster: Cluster) -> tuple[list[PoolReading], str]:
    try:
        access = resolve_secrets(cluster)
        states = connect(access).list()
        api = KubernetesApi.connect(access)
        states = with_ready(states, api.nodes_by_pool(cluster.provider))
        made, line = count_by_label(api.nodes(KARPENTER_LABEL), KARPENTER_LABEL), ""
    except ContinuumError as error:
        states, made, line = [], {}, str(error)
        logger.warning("%s", line)
    found = {state.name: state for state in states}
    theirs = {pool.name for pool in cluster.node_pools if is_karpenters(pool, made)}
    if not line:
        found = {pool.name: karpenter_state(pool, made) for pool in cluster.node_pools if pool.name in theirs} | found
    if missing := [pool.name for pool in cluster.node_pools if not line and pool.name not in found]:
        line = (
            f"cluster {cluster.name}: the cloud has no node pool {', '.join(missing)}. To mend it: correct fleet.yaml"
        )
    return [
        PoolReading(pool_id(cluster.name, pool.name), cluster, pool, found.get(pool.name), pool.name in theirs)
        for pool in cluster.node_pools
    ], line


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
