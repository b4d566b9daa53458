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
from deployments.local.nodes import RULES, ProviderRules
from deployments.local.pool_state import Machine, Operation, Pool, check_bounds, uuid_of

CHECK_S = 5.0  # how often a pool that is changing looks at its nodes
PATIENCE_S = 600.0  # an operation whose nodes are still not Ready so long after boot and drain has failed
LOG_LENGTH = 2000  # operations kept in the log


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
        self.fleet, self.clock, self.clusters, self.seed, self.on_change = fleet, clock, clusters, seed, on_change
        self.operations: dict[str, Operation] = {}
        self._described = {pool_id(cluster.name, pool.name): (cluster, pool) for cluster, pool in fleet.pools()}
        self._pools = {
            key: Pool(c.name, p.name, p.min_nodes, p.max_nodes, p.min_nodes, p.autoscaler is not Autoscaler.NONE)
            for key, (c, p) in self._described.items()
        }
        self._faults: dict[str, str] = {}
        self._armed: dict[str, float] = {}
        self._dead: dict[str, dict[str, None]] = {}
        self._quotas: dict[str, int | None] = {}
        self._short: dict[str, None] = {}
        self._accepted = 0

    # Reading

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

    def described(self, pool: Pool) -> NodePool:
        """What fleet.yaml says of a pool."""
        return self._described[pool.id][1]

    def operation(self, operation_id: str) -> Operation:
        """One operation. NotFound: never accepted, or long ago."""
        try:
            return self.operations[operation_id]
        except KeyError:
            raise NotFound(f"no operation {operation_id}", where="simulated cloud", fix="list the operations") from None

    def running(self, cluster: str, pool: str | None = None) -> Operation | None:
        """The operation that runs on a pool, or on any pool of the cluster; None when nothing runs."""
        for operation in reversed(self.operations.values()):
            if operation.state == "running" and operation.cluster == cluster and pool in (None, operation.pool):
                return operation
        return None

    def ready(self, cluster: str, pool: str) -> int:
        """Number of the pool's nodes that are Ready and take pods."""
        store = self.clusters[cluster].backend.store
        mine = [entry.obj for name in self.pool(cluster, pool).machines if (entry := store.get("nodes", "", name))]
        return sum(nodes.is_ready(node) and not nodes.is_closed(node) for node in mine)

    def log(self) -> list[dict[str, Any]]:
        """Every operation, oldest first."""
        return [operation.log_entry() for operation in self.operations.values()]

    # Changing

    def populate(self, sizes: Mapping[str, int]) -> None:
        """Give each pool (by `pool_id`) its first machines, at once; sizes are clipped to the bounds."""
        for key, wanted in sizes.items():
            pool = self._pools[key]
            pool.desired = min(max(wanted, pool.min_nodes), pool.max_nodes)
            for _ in range(pool.desired - len(pool.machines)):
                self._add(pool, self.clock.now())
            self._join(pool)
            self.clusters[pool.cluster].step()
            self._arm(pool)
        self.on_change()

    def fail_next(self, cluster: str, pool: str, error: str | None) -> None:
        """Make the next operation on a pool end in failure with this text, its settings put back; None: let it be."""
        if error is None:
            self._faults.pop(self.pool(cluster, pool).id, None)
        else:
            self._faults[self.pool(cluster, pool).id] = error

    def failure(self, cluster: str, pool: str) -> str | None:
        """The text that the next operation on a pool is to fail with; None when it is not."""
        return self._faults.get(self.pool(cluster, pool).id)

    def kill_machine(self, cluster: str, node: str) -> None:
        """Take a machine away. NotFound: there is none."""
        if not any(pool.cluster == cluster and node in pool.machines for pool in self._pools.values()):
            raise NotFound(f"no machine {node}", where=f"cluster {cluster}", fix="list the nodes")
        self._dead.setdefault(cluster, {})[node] = None

    def revive_machine(self, cluster: str, node: str) -> None:
        """Give a machine back."""
        self._dead.get(cluster, {}).pop(node, None)

    def dead_nodes(self, cluster: str) -> frozenset[str]:
        """Nodes without a machine."""
        return frozenset(self._dead.get(cluster, ()))

    def set_quota(self, cluster: str, nodes: int | None) -> None:
        """Limit a cluster's machines."""
        self._quotas[cluster] = nodes

    def set_shortage(self, cluster: str, pool: str, on: bool) -> None:
        """Let a pool get no further machine, or get some again."""
        self._short |= {pool_id(cluster, pool): None} if on else {}

    def update(self, cluster: str, name: str, changes: Mapping[str, int | bool], *, token: str = "") -> Operation:
        """Accept a change of a pool and start it.

        `changes` holds any of `min_nodes`, `max_nodes`, `desired` (nodes) and `autoscaled`. `token` is the client's
        idempotency token: the same token with the same change gives the same operation again.

        Raises
        ------
        CloudRefused: min <= desired <= max would not hold, or the token came with another change before.
        Conflict: an operation is running where only one may.
        """
        pool = self.pool(cluster, name)
        after = pool.settings() | dict(changes)
        if after["autoscaled"] and "desired" not in changes:  # an autoscaler keeps its pool inside the bounds itself
            after["desired"] = min(max(after["desired"], after["min_nodes"]), after["max_nodes"])
        if token and (known := self._known(pool, token)):
            if known.changes != changes:
                raise CloudRefused("the request token was used for another change", where=f"pool {pool.id}")
            return known
        self._check_idle(pool)
        check_bounds(pool, after)
        self._accepted += 1
        operation_id = uuid_of(self.seed, self._accepted, pool.id)
        before, now_s = pool.settings(), self.clock.now()
        kind = "set_desired" if after == before | {"desired": after["desired"]} else "set_bounds"
        operation = Operation(operation_id, cluster, name, kind, before, after, dict(changes), now_s, token)
        operation.fault = self._faults.pop(pool.id, None)
        self.operations[operation_id] = operation
        self._set(pool, after)
        if operation.fault is None:
            self._resize(pool)
            self.clusters[pool.cluster].step()
        self._forget()
        self._arm(pool)
        self.on_change()
        return operation

    # Snapshots

    def snapshot(self) -> dict[str, Any]:
        """The whole state, JSON-able."""
        return {
            "pools": [asdict(pool) for pool in self._pools.values()],
            "operations": [asdict(operation) for operation in self.operations.values()],
            "faults": self._faults,
            "accepted": self._accepted,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot; pools that the fleet file no longer describes are left out."""
        for saved in snapshot["pools"]:
            machines = {name: Machine(**machine) for name, machine in saved["machines"].items()}
            if (pool := Pool(**{**saved, "machines": machines})).id in self._pools:
                self._pools[pool.id] = pool
        self.operations = {saved["id"]: Operation(**saved) for saved in snapshot["operations"]}
        self._faults, self._accepted = dict(snapshot["faults"]), snapshot["accepted"]
        for pool in self._pools.values():
            self._arm(pool)

    # What happens by itself

    def _rules(self, pool: Pool) -> ProviderRules:
        return RULES[self._described[pool.id][0].provider]

    def _known(self, pool: Pool, token: str) -> Operation | None:
        same = (o for o in self.operations.values() if o.token == token and pool_id(o.cluster, o.pool) == pool.id)
        return next(same, None)

    def _check_idle(self, pool: Pool) -> None:
        scope = None if self._rules(pool).exclusive == "cluster" else pool.name
        if busy := self.running(pool.cluster, scope):
            raise Conflict(
                f"operation {busy.id} is running", where=f"pool {pool.cluster}/{busy.pool}", fix="wait for it"
            )

    def _set(self, pool: Pool, settings: dict[str, Any]) -> None:
        for name, value in settings.items():
            setattr(pool, name, value)
        pool.generation += 1

    def _add(self, pool: Pool, joins_s: float) -> None:
        pool.born += 1
        cluster, described = self._described[pool.id]
        pool.machines[nodes.node_name(cluster, described, pool.born)] = Machine(joins_s)

    def _resize(self, pool: Pool) -> None:
        """Order machines, or choose those that go, until `desired` of them stay."""
        surplus = len(pool.staying()) - pool.desired
        boot_s = self.described(pool).boot_s
        for _ in range(-surplus):
            self._add(pool, self.clock.now() + boot_s * nodes.spread(self.seed, pool.id, pool.born + 1))
        youngest_first = pool.staying()[::-1]
        for name in nodes.least_useful(self.clusters[pool.cluster], youngest_first)[: max(surplus, 0)]:
            if pool.machines[name].joins_s is not None:
                del pool.machines[name]
            else:
                pool.machines[name].leaving_s = self.clock.now()
                nodes.cordon(self.clusters[pool.cluster], name)

    def _join(self, pool: Pool) -> None:
        cluster = self.clusters[pool.cluster]
        for name, machine in pool.machines.items():
            if machine.joins_s is not None and machine.joins_s <= self.clock.now():
                cluster.create("nodes", nodes.node_object(*self._described[pool.id], name))
                machine.joins_s = None
        waited_for = {name for name, machine in pool.machines.items() if machine.joins_s is None and not machine.ready}
        for node in cluster.list("nodes") if waited_for else []:
            if (name := node["metadata"]["name"]) in waited_for:
                pool.machines[name].ready = nodes.is_ready(node)

    def _drain(self, pool: Pool) -> str | None:
        """Go on draining; return what is wrong when the provider has given up on a node that it will not force."""
        cluster, rules, stuck = self.clusters[pool.cluster], self._rules(pool), []
        leaving = {name: m.leaving_s for name, m in pool.machines.items() if m.leaving_s is not None}
        held = nodes.pods_by_node(cluster) if leaving else {}
        for name, since_s in leaving.items():
            pods, over = held.get(name, []), self.clock.now() - since_s >= rules.drain_limit_s
            if not pods or (over and rules.drain_forces):
                nodes.remove(cluster, name, pods)
                del pool.machines[name]
            elif over:
                nodes.cordon(cluster, name, unschedulable=False)
                pool.machines[name].leaving_s = None
                stuck.append(name)
            else:
                nodes.evict(cluster, pods)
        return f"drain of {', '.join(stuck)} failed: disruption budgets kept its pods" if stuck else None

    def _reconcile(self, pool: Pool) -> None:
        """One look at a pool: machines join, drains go on, operations end."""
        before = asdict(pool)
        self._join(pool)
        stuck = self._drain(pool)
        self.clusters[pool.cluster].step()  # what was just written has its effects at this very time
        ended = [self._settle(pool, o, stuck) for o in self._unsettled(pool)]
        self._arm(pool)
        if any(ended) or asdict(pool) != before:
            self.on_change()

    def _unsettled(self, pool: Pool) -> list[Operation]:
        mine = (o for o in self.operations.values() if pool_id(o.cluster, o.pool) == pool.id)
        return [operation for operation in mine if operation.settled_s is None]

    def _settle(self, pool: Pool, operation: Operation, stuck: str | None) -> bool:
        rules, now_s = self._rules(pool), self.clock.now()
        age_s = now_s - operation.accepted_s
        limit_s = self.described(pool).boot_s * 1.15 + rules.drain_limit_s + PATIENCE_S
        if operation.state == "running" and age_s >= rules.operation_s:
            late = rules.waits_for_nodes and not pool.quiet()
            operation.error = operation.fault or stuck or ("nodes did not become Ready" if age_s >= limit_s else None)
            if operation.error or not late:
                operation.state = "failed" if operation.error else "done"
                operation.finished_s = now_s
            if operation.fault:
                self._set(pool, operation.before)
            elif operation.error:
                self._set(pool, {"desired": len(pool.staying())})
        if operation.state != "running" and pool.quiet():
            operation.settled_s = now_s
        return operation.state != "running"

    def _arm(self, pool: Pool) -> None:
        """See to it that `_reconcile` runs when the pool has something to do next."""
        now_s = self.clock.now()
        times = [m.joins_s for m in pool.machines.values() if m.joins_s is not None]
        if any(m.leaving_s is not None or (m.joins_s is None and not m.ready) for m in pool.machines.values()):
            times.append(now_s + CHECK_S)
        for operation in self._unsettled(pool):
            over_s = operation.accepted_s + self._rules(pool).operation_s
            times.append(over_s if over_s > now_s else now_s + CHECK_S)
        when_s = min(times, default=None)
        if when_s is None or self._armed.get(pool.id, float("inf")) <= when_s:
            return
        self._armed[pool.id] = when_s
        self.clock.at(when_s, f"node-pools/{pool.id}", lambda: self._due(pool, when_s))

    def _due(self, pool: Pool, when_s: float) -> None:
        if self._armed.get(pool.id) == when_s:  # an earlier look may have made this one superfluous
            del self._armed[pool.id]
            self._reconcile(pool)

    def _forget(self) -> None:
        for operation in list(self.operations.values())[: max(len(self.operations) - LOG_LENGTH, 0)]:
            if operation.settled_s is not None:
                del self.operations[operation.id]
