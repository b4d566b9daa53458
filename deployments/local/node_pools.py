"""The one truth of the simulated clouds' node pools: bounds, sizes, machines and the operations that change them.

Three REST APIs (`eks.py`, `gke.py`, `aks.py`) read and write it. Machines become Node objects of the simulated
clusters `boot_s` after an operation was accepted, and leave them after a drain. Everything happens on the simulated
clock and follows from the state alone, so a snapshot taken in the middle of an operation goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from blocks.errors import CloudRefused, Conflict, NotFound
from blocks.fleet import Autoscaler, Cluster, Fleet, NodePool, Provider, pool_id
from deployments.local import nodes
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.limits import check_bounds, check_marks
from deployments.local.machines import Machines
from deployments.local.operations import AUTOSCALER, Operations
from deployments.local.pool_state import Machine, Operation, Pool
from deployments.local.reconciler import Reconciler


class NodePools:
    """All node pools of the simulated fleet.

    Parameters
    ----------
    clusters: the simulated cluster of each name.
    on_change: called after every accepted operation and every step of one; the process saves its state there.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: SimulatedClock,
        clusters: Mapping[str, SimulatedCluster],
        *,
        seed: int,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self.fleet, self.clock, self.clusters, self.on_change = fleet, clock, clusters, on_change
        self._described = {pool_id(cluster.name, pool.name): (cluster, pool) for cluster, pool in fleet.pools()}
        self._pools = {
            key: Pool(c.name, p.name, p.min_nodes, p.max_nodes, p.min_nodes, p.autoscaler is not Autoscaler.NONE)
            for key, (c, p) in self._described.items()
        }
        self._log = Operations(clock, seed)
        self._machines = Machines(self._described, self._pools, clusters, clock, seed)
        self._reconciler = Reconciler(self._described, clusters, clock, self._log, self._machines, self._tell)
        self._listeners: list[Callable[[str], object]] = []

    # Reading

    @property
    def operations(self) -> dict[str, Operation]:
        """Every operation by its id, oldest first."""
        return self._log.all

    def cluster(self, provider: Provider, name: str) -> Cluster:
        """The description of a cluster of that provider. NotFound: there is none."""
        for cluster in self.of(provider):
            if name in (cluster.name, cluster.cloud.cluster):
                return cluster
        raise NotFound(f"no {provider} cluster named {name}", where="simulated cloud", fix="list the clusters")

    def of(self, provider: Provider) -> list[Cluster]:
        """Descriptions of one provider's clusters, in file order."""
        return [cluster for cluster in self.fleet.clusters if cluster.provider is provider]

    def pool(self, cluster: str, name: str) -> Pool:
        """State of one pool. NotFound: there is none."""
        try:
            return self._pools[pool_id(cluster, name)]
        except KeyError:
            raise NotFound(f"no node pool {name}", where=f"cluster {cluster}", fix="list the node pools") from None

    def pools_of(self, cluster: str) -> list[Pool]:
        """States of a cluster's pools, in file order."""
        return [pool for pool in self._pools.values() if pool.cluster == cluster]

    def described(self, pool: Pool) -> NodePool:
        """What fleet.yaml says of a pool."""
        return self._described[pool.id][1]

    def operation(self, operation_id: str) -> Operation:
        """One operation. NotFound: never accepted, or long ago."""
        return self._log.get(operation_id)

    def asked_for(self, cluster: str) -> list[Operation]:
        """Operations that the cluster's API shows: what clients asked for, not what an autoscaler did."""
        return [o for o in self._log.all.values() if o.cluster == cluster and o.kind != AUTOSCALER]

    def running(self, cluster: str, pool: str | None = None) -> Operation | None:
        """The operation that runs on a pool, or on any pool of the cluster; None when nothing runs."""
        return self._log.running(cluster, pool)

    def last(self, pool: Pool) -> Operation | None:
        """The latest operation that a client asked for on a pool."""
        return self._log.last(pool)

    def ready(self, cluster: str, pool: str) -> int:
        """Number of the pool's nodes that are Ready and take pods."""
        store = self.clusters[cluster].backend.store
        mine = [entry.obj for name in self.pool(cluster, pool).machines if (entry := store.get("nodes", "", name))]
        return sum(nodes.is_ready(node) and not nodes.is_closed(node) for node in mine)

    def dead_nodes(self, cluster: str) -> frozenset[str]:
        """Names of nodes whose machine is broken: their kubelets are silent for good."""
        found = (pool.machines.items() for pool in self.pools_of(cluster))
        return frozenset(name for machines in found for name, machine in machines if machine.dead_s is not None)

    def log(self) -> list[dict[str, Any]]:
        """Every operation, oldest first."""
        return [operation.log_entry() for operation in self._log.all.values()]

    # Faults

    def fail_next(self, cluster: str, pool: str, error: str | None) -> None:
        """Make the next operation on a pool end in failure with this text, its settings put back; None: let it be."""
        self._log.faults.pop(self.pool(cluster, pool).id, None)
        if error is not None:
            self._log.faults[self.pool(cluster, pool).id] = error

    def failure(self, cluster: str, pool: str) -> str | None:
        """The text that the next operation on a pool is to fail with; None when it is not."""
        return self._log.faults.get(self.pool(cluster, pool).id)

    def set_quota(self, cluster: str, nodes: int | None) -> None:
        """Most machines that the account may have where a cluster is; None for as many as asked for."""
        self._machines.quotas.pop(cluster, None)
        if nodes is not None:
            self._machines.quotas[cluster] = nodes
        self._tell(cluster)

    def set_shortage(self, cluster: str, pool: str, on: bool) -> None:
        """Let there be no machines of a pool's type for now, or again."""
        change = self._machines.shortages.add if on else self._machines.shortages.discard
        change(self.pool(cluster, pool).id)
        self._tell(cluster)

    def kill_machine(self, cluster: str, node: str) -> None:
        """Break a machine for good; its cloud replaces it after a while. NotFound: no machine of that name."""
        pool = self._home(cluster, node)
        if pool.machines[node].dead_s is None:
            pool.machines[node].dead_s = self.clock.now()
        self._reconciler.arm(pool)
        self._tell(cluster)

    def revive_machine(self, cluster: str, node: str) -> None:
        """Mend a broken machine that is still there. NotFound: no machine of that name."""
        pool = self._home(cluster, node)
        pool.machines[node].dead_s = None
        self._reconciler.arm(pool)
        self._tell(cluster)

    # Changing

    def listen(self, listener: Callable[[str], object]) -> None:
        """Call `listener` with the name of a cluster whenever one of its pools changes."""
        self._listeners.append(listener)

    def populate(self, sizes: Mapping[str, int]) -> None:
        """Give each pool (by `pool_id`) its first machines, at once; sizes are clipped to the bounds."""
        for key, wanted in sizes.items():
            pool = self._pools[key]
            pool.desired = min(max(wanted, pool.min_nodes), pool.max_nodes)
            for _ in range(pool.desired - len(pool.machines)):
                self._machines.add(pool, self.clock.now())
            self._machines.join(pool)
            self.clusters[pool.cluster].step()
            self._reconciler.arm(pool)
        self.on_change()

    def update(self, cluster: str, name: str, changes: Mapping[str, Any], *, token: str = "") -> Operation:
        """Accept a change of a pool and start it.

        `changes` holds any of `Pool.settings()`. `token` is the client's idempotency token: the same token with the
        same change gives the same operation again.

        Raises
        ------
        CloudRefused: the sizes break the provider's bounds, or the token came with another change before.
        Conflict: an operation is running where only one may.
        """
        pool = self.pool(cluster, name)
        provider = self._described[pool.id][0].provider
        after = pool.settings() | dict(changes)
        if provider is Provider.GKE and after["autoscaled"] and "desired" not in changes:
            # GKE's own autoscaler brings a pool inside its new bounds (enforce-node-group-min-size).
            after["desired"] = min(max(after["desired"], after["min_nodes"]), after["max_nodes"])
        if token and (known := self._log.known(pool, token)):
            if known.changes != changes:
                raise CloudRefused("the request token was used for another change", where=f"pool {pool.id}")
            return known
        self._check_idle(pool)
        check_bounds(provider, pool, after)
        check_marks(pool, after)
        operation = self._log.open(pool, after, changes, token=token)
        pool.set(after)
        if operation.fault is None:
            self._machines.mark(pool, operation.before)
            self._machines.resize(pool)
        self._changed(pool)
        return operation

    def autoscale(self, cluster: str, name: str, desired: int) -> Operation:
        """Grow a pool as its autoscaler does: straight at the group of machines, beside any operation of the API."""
        pool = self.pool(cluster, name)
        operation = self._log.open(
            pool, pool.settings() | {"desired": desired}, {"desired": desired}, kind=AUTOSCALER
        )  # fmt: skip
        pool.desired = desired
        self._machines.resize(pool)
        self._changed(pool)
        return operation

    def take_away(self, cluster: str, node: str) -> Operation:
        """Remove one drained node and make its pool smaller by it, as an autoscaler does."""
        pool = self._home(cluster, node)
        desired = pool.desired - 1
        operation = self._log.open(
            pool, pool.settings() | {"desired": desired}, {"desired": desired}, kind=AUTOSCALER
        )  # fmt: skip
        pool.desired = desired
        self._machines.take_away(pool, node)
        operation.state, operation.finished_s, operation.settled_s = "done", self.clock.now(), self.clock.now()
        self._changed(pool)
        return operation

    # Snapshots

    def snapshot(self) -> dict[str, Any]:
        """The whole state, JSON-able."""
        return {
            "pools": [asdict(pool) for pool in self._pools.values()],
            "quotas": self._machines.quotas,
            "shortages": sorted(self._machines.shortages),
            **self._log.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot; pools that the fleet file no longer describes are left out."""
        for saved in snapshot["pools"]:
            machines = {name: Machine(**machine) for name, machine in saved["machines"].items()}
            if (pool := Pool(**{**saved, "machines": machines})).id in self._pools:
                self._pools[pool.id] = pool
        self._log.restore(snapshot)
        self._machines.quotas, self._machines.shortages = dict(snapshot["quotas"]), set(snapshot["shortages"])
        for pool in self._pools.values():
            self._reconciler.arm(pool)

    # What happens by itself

    def _home(self, cluster: str, node: str) -> Pool:
        for pool in self.pools_of(cluster):
            if node in pool.machines:
                return pool
        raise NotFound(f"no machine {node}", where=f"cluster {cluster}", fix="name one of its nodes")

    def _check_idle(self, pool: Pool) -> None:
        scope = None if self._machines.rules(pool).exclusive == "cluster" else pool.name
        if busy := self.running(pool.cluster, scope):
            raise Conflict(
                f"operation {busy.id} is running", where=f"pool {pool.cluster}/{busy.pool}", fix="wait for it"
            )

    def _changed(self, pool: Pool) -> None:
        self.clusters[pool.cluster].step()  # what was just written has its effects at this very time
        self._reconciler.arm(pool)
        self._tell(pool.cluster)

    def _tell(self, cluster: str) -> None:
        self.on_change()
        for listener in self._listeners:
            listener(cluster)
