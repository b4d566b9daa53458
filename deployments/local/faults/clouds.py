"""What the active faults do to node pools: failing operations, limits, machines that die."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.errors import NotFound
from blocks.fleet import Fleet
from deployments.local.faults.fault import Fault
from deployments.local.node_pools import NodePools

PoolName = tuple[str, str]  # of its cluster, its own


class CloudFaults:
    """Keeps the node pools in the state that the active faults ask for."""

    def __init__(self, fleet: Fleet, pools: NodePools) -> None:
        self._fleet, self._pools = fleet, pools
        self._failing: dict[PoolName, Fault] = {}
        self._quotas: dict[str, int] = {}
        self._short: dict[PoolName, None] = {}

    def apply(self, active: Sequence[Fault]) -> None:
        """Set what has changed: the next failure of each pool, quotas, shortages."""
        failing: dict[PoolName, Fault] = {}
        quotas: dict[str, int] = {}
        short: dict[PoolName, None] = {}
        for fault in active:
            cluster = fault.parameters.get("cluster", "")
            if fault.kind == "cloud-operation-fails":
                failing = {
                    (cluster, pool): fault for pool in self._pools_of(fault)
                } | failing  # the first one goes first
            elif fault.kind == "cloud-quota":
                quotas[cluster] = min(fault.parameters["nodes"], quotas.get(cluster, fault.parameters["nodes"]))
            elif fault.kind == "cloud-capacity":
                short[cluster, fault.parameters["pool"]] = None
        for key in self._failing | failing:
            self._pools.fail_next(*key, failing[key].parameters["error"] if key in failing else None)
        for cluster in self._quotas | quotas:
            if self._quotas.get(cluster) != quotas.get(cluster):
                self._pools.set_quota(cluster, quotas.get(cluster))
        for key in self._short | short:
            if (key in self._short) != (key in short):
                self._pools.set_shortage(*key, key in short)
        self._failing, self._quotas, self._short = failing, quotas, short

    def failed(self) -> list[Fault]:
        """Faults whose failure an operation has taken since they were last set."""
        taken = [fault for key, fault in self._failing.items() if self._pools.failure(*key) is None]
        return list({fault.id: fault for fault in taken}.values())

    def kill(self, fault: Fault) -> bool:
        """Take a node's machine away; False when there is none of that name."""
        try:
            self._pools.kill_machine(fault.parameters["cluster"], fault.parameters["node"])
        except NotFound:
            return False
        return True

    def revive(self, fault: Fault) -> None:
        """Give a node's machine back; a cloud has replaced it meanwhile."""
        cluster, node = fault.parameters["cluster"], fault.parameters["node"]
        if node in self._pools.dead_nodes(cluster):
            self._pools.revive_machine(cluster, node)

    def _pools_of(self, fault: Fault) -> list[str]:
        if (pool := fault.parameters["pool"]) is not None:
            return [pool]
        return [p.name for c, p in self._fleet.pools() if c.name == fault.parameters["cluster"]]
