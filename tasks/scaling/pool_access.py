"""One pool, the API that sizes it, the API that shows its nodes, and the Lease that keeps others away meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from blocks.errors import Conflict, ContinuumError, InvalidInput, NotFound
from blocks.fleet import Autoscaler, Cluster, Fleet, NodePool, Workload, pool_id
from blocks.inventory import resolve_secrets
from blocks.kubernetes import (
    KARPENTER_LABEL,
    POOL_LABEL,
    KubernetesApi,
    Lease,
    count_by_label,
    is_ready,
    is_schedulable,
)
from blocks.node_pools import NodePools, PoolState, connect
from blocks.store.owner import is_gone
from tasks.pools.karpenter import is_karpenters, karpenter_state

LEASE_S = 120
LEASE_WAIT_S = 30

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolAccess:
    """Connections to the APIs of one pool, and the workloads that the inventory names in its cluster."""

    cluster: Cluster
    pool: NodePool
    pools: NodePools
    api: KubernetesApi
    workloads: list[Workload] = field(default_factory=list)

    def state(self) -> PoolState:
        """The pool as its API tells it now; one that only Karpenter knows, as its nodes do."""
        try:
            return self.pools.describe(self.pool.name)
        except NotFound:
            made = count_by_label(self.api.nodes(KARPENTER_LABEL), KARPENTER_LABEL)
            if not is_karpenters(self.pool, made):
                raise
            return karpenter_state(self.pool, made)

    def selector(self) -> dict[str, str]:
        """The label by which the pool's nodes are known, Karpenter's where it makes them."""
        karpenters = {KARPENTER_LABEL: self.pool.name}
        if self.pool.autoscaler is Autoscaler.KARPENTER or self.api.nodes(f"{KARPENTER_LABEL}={self.pool.name}"):
            return karpenters
        return {POOL_LABEL[self.cluster.provider]: self.pool.name}

    def node_objects(self) -> list[dict[str, Any]]:
        """The pool's nodes in Kubernetes."""
        ((label, name),) = self.selector().items()
        return self.api.nodes(f"{label}={name}")

    def nodes(self) -> int:
        """How many nodes the pool has in Kubernetes, Ready or not."""
        return len(self.node_objects())

    def ready(self) -> int:
        """Nodes of the pool that are Ready and open for pods."""
        return sum(is_ready(node) and is_schedulable(node) for node in self.node_objects())

    def trouble(self) -> str:
        """What the cloud says keeps nodes from coming, as the end of a sentence; "" where it says nothing."""
        try:
            said = self.state().trouble
        except ContinuumError:
            return ""
        return f" ({said})" if said else ""

    def boot_patience_s(self) -> float:
        """How long nodes that were asked for may take until they are Ready."""
        return 2 * self.pool.boot_s + 60

    def patience_s(self) -> float:
        """How long an operation may take; real clouds answer long after the nodes are there."""
        return 600 + 2 * self.pool.boot_s

    @contextmanager
    def lease(self, owner: str) -> Iterator[None]:
        """Hold the cluster's Lease, however long it takes: the second guard, since no cloud checks our journal.

        Raises
        ------
        Conflict: another live owner holds it.
        """
        name = f"continuum-{self.cluster.name}"
        held = self.api.lease(name)
        if held and held.holder and held.holder != owner and is_gone(held.holder):
            self.api.release_lease(held)  # its process has ended on this very host
        taken, ended = [self._acquire(name, owner)], threading.Event()
        renewing = threading.Thread(target=self._renew, args=(taken, ended), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            with suppress(ContinuumError):  # it expires by itself
                self.api.release_lease(taken[0])

    def _acquire(self, name: str, owner: str) -> Lease:
        """Take the Lease; another run of ours holds it for moments only, and is waited for."""
        deadline = time.monotonic() + LEASE_WAIT_S
        while True:
            try:
                return self.api.acquire_lease(name, owner, LEASE_S)
            except Conflict:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _renew(self, taken: list[Lease], ended: threading.Event) -> None:
        while not ended.wait(LEASE_S / 3):
            try:
                taken[0] = self.api.renew_lease(taken[0])
            except ContinuumError as error:  # the next beat may succeed; if none does, others may act from then on
                logger.warning("%s", error)


def open_pool(fleet: Fleet, subject: str) -> PoolAccess:
    """Connect to the APIs of `cluster/pool`.

    Raises
    ------
    InvalidInput: the inventory has no such pool.
    """
    for cluster, pool in fleet.pools():
        if pool_id(cluster.name, pool.name) == subject:
            access = resolve_secrets(cluster)
            mates = [workload for workload in fleet.workloads if workload.cluster == cluster.name]
            return PoolAccess(cluster, pool, connect(access), KubernetesApi.connect(access), mates)
    raise InvalidInput("the inventory has no such pool", where=f"pool {subject}", fix="see `continuum fleet show`")
