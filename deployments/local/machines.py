"""The machines behind node pools: ordered, joining, draining, dying, replaced."""

from __future__ import annotations

from collections.abc import Mapping

from blocks.fleet import Cluster, NodePool
from deployments.local import nodes
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.limits import Kind, lack
from deployments.local.nodes import RULES, ProviderRules
from deployments.local.pool_state import Machine, Pool

CHECK_S = 5.0  # how often a pool that is changing looks at its nodes
RETRY_S = 60.0  # until a group of machines tries again to get those that it lacks


class Machines:
    """What happens to machines, pool by pool; whoever changes a pool calls it and comes back at `due_s`.

    Attributes
    ----------
    quotas: most machines that the account may have, by cluster; no entry: as many as asked for.
    shortages: pools (by id) whose machine type is not to be had now.
    """

    def __init__(
        self,
        described: Mapping[str, tuple[Cluster, NodePool]],
        pools: Mapping[str, Pool],
        clusters: Mapping[str, SimulatedCluster],
        clock: SimulatedClock,
        seed: int,
    ) -> None:
        self._described, self._pools, self._clusters = described, pools, clusters
        self._clock, self._seed = clock, seed
        self.quotas: dict[str, int] = {}
        self.shortages: set[str] = set()

    def rules(self, pool: Pool) -> ProviderRules:
        """How the pool's provider behaves."""
        return RULES[self._described[pool.id][0].provider]

    def add(self, pool: Pool, joins_s: float) -> None:
        """Put one more machine on its way."""
        pool.born += 1
        cluster, described = self._described[pool.id]
        pool.machines[nodes.node_name(cluster, described, pool.born)] = Machine(joins_s)

    def resize(self, pool: Pool) -> None:
        """Order machines, or choose those that go, until `desired` of them stay; what is lacking is noted."""
        surplus = len(pool.staying()) - pool.desired
        if surplus < 0:
            self._order(pool, -surplus)
        else:
            pool.retry_s = None
        youngest_first = pool.staying()[::-1]
        for name in nodes.least_useful(self._clusters[pool.cluster], youngest_first)[: max(surplus, 0)]:
            if pool.machines[name].joins_s is not None:
                del pool.machines[name]
            else:
                pool.machines[name].leaving_s = self._clock.now()
                nodes.cordon(self._clusters[pool.cluster], name)

    def join(self, pool: Pool) -> None:
        """Let machines whose time has come register, and see which have become Ready."""
        cluster = self._clusters[pool.cluster]
        for name, machine in pool.machines.items():
            if machine.joins_s is not None and machine.joins_s <= self._clock.now() and machine.dead_s is None:
                cluster.create("nodes", nodes.node_object(*self._described[pool.id], name, pool.labels, pool.taints))
                machine.joins_s = None
        waited_for = {name for name, machine in pool.machines.items() if machine.joins_s is None and not machine.ready}
        for node in cluster.list("nodes") if waited_for else []:
            if (name := node["metadata"]["name"]) in waited_for:
                pool.machines[name].ready = nodes.is_ready(node)

    def drain(self, pool: Pool) -> str | None:
        """Go on draining; return what is wrong when the provider has given up on a node that it will not force."""
        cluster, rules, stuck = self._clusters[pool.cluster], self.rules(pool), []
        leaving = {name: m.leaving_s for name, m in pool.machines.items() if m.leaving_s is not None}
        held = nodes.pods_by_node(cluster) if leaving else {}
        for name, since_s in leaving.items():
            pods, over = held.get(name, []), self._clock.now() - since_s >= rules.drain_limit_s
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

    def repair(self, pool: Pool) -> None:
        """Replace machines that have been dead for long enough, and try again to get those that are lacking.

        The Node of a machine that is gone is deleted by the cloud's node lifecycle controller; its pods are garbage.
        """
        now_s, replace_s = self._clock.now(), self.rules(pool).replace_s
        dead = {name: machine.dead_s for name, machine in pool.machines.items() if machine.dead_s is not None}
        gone = [name for name, dead_s in dead.items() if replace_s is not None and now_s >= dead_s + replace_s]
        for name in gone:
            self.take_away(pool, name)
        if gone or (pool.retry_s is not None and now_s >= pool.retry_s):
            self.resize(pool)

    def take_away(self, pool: Pool, name: str) -> None:
        """Remove a machine and its Node; pods that are still on it are left to the garbage collector."""
        nodes.remove(self._clusters[pool.cluster], name, [])
        del pool.machines[name]

    def mark(self, pool: Pool, before: dict[str, object]) -> None:
        """Bring the labels and taints of the pool's nodes from what they were to what the pool says."""
        if (before["labels"], before["taints"]) != (pool.labels, pool.taints):
            for name in pool.machines:
                nodes.mark(self._clusters[pool.cluster], name, before, pool.settings())

    def due_s(self, pool: Pool) -> float | None:
        """When the pool's machines want to be looked at next; None while they rest."""
        now_s, replace_s = self._clock.now(), self.rules(pool).replace_s
        found = list(pool.machines.values())
        times = [machine.joins_s for machine in found if machine.joins_s is not None and machine.dead_s is None]
        if replace_s is not None:
            times += [machine.dead_s + replace_s for machine in found if machine.dead_s is not None]
        if any(m.leaving_s is not None or (m.joins_s is None and not m.ready) for m in found):
            times.append(now_s + CHECK_S)
        if pool.retry_s is not None:
            times.append(pool.retry_s)
        return min(times, default=None)

    def _order(self, pool: Pool, wanted: int) -> None:
        cluster, described = self._described[pool.id]
        used = sum(len(other.machines) for other in self._pools.values() if other.cluster == pool.cluster)
        kind: Kind = "shortage" if pool.id in self.shortages else "quota"
        quota = self.quotas.get(pool.cluster, used + wanted)
        room = 0 if kind == "shortage" else max(quota - used, 0)
        coming = wanted if room >= wanted else room if self.rules(pool).fills_partly else 0
        for _ in range(coming):
            boot_s = described.boot_s * nodes.spread(self._seed, pool.id, pool.born + 1)
            self.add(pool, self._clock.now() + boot_s)
        short = coming < wanted
        pool.lack = lack(kind, cluster, described, quota=quota, used=used, wanted=wanted)._asdict() if short else {}
        pool.retry_s = self._clock.now() + RETRY_S if short else None
