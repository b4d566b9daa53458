"""What the recorder asks for once a minute, and what it takes the fleet to have had before its start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from blocks.fleet import pool_id
from deployments.local.demand import POD_SHARE, units_needed
from deployments.local.load import cores_in_use
from deployments.local.node_pools import NodePools
from deployments.local.power import it_watts
from deployments.local.recorder import Row
from deployments.local.traces import Floats
from deployments.local.workloads import Reading, Workloads
from deployments.local.world import World

RATE, REPLICAS, CORES, NODES, POWER = "rate", "replicas", "cores", "nodes", "power"
"""Quantities recorded: of a workload in a cluster its requests/s, Ready pods and the CPU they may use together; of a
pool its Ready nodes; of a site its W."""


class Sampling:
    """Rows of the present and of the past."""

    def __init__(self, world: World, workloads: Workloads, node_pools: NodePools) -> None:
        self._world, self._workloads, self._node_pools = world, workloads, node_pools

    def __call__(self) -> dict[Row, float]:
        """Every row now."""
        readings = self._workloads.readings().values()
        rows = {row: float(value) for reading in readings for row, value in _workload_rows(reading).items()}
        for cluster, pool in self._world.fleet.pools():
            rows[Row(NODES, cluster.name, pool.name)] = float(self._node_pools.ready(cluster.name, pool.name))
        used: dict[str, float] = {}
        for each in readings:
            key, cores = each.workload.pool or each.cluster, cores_in_use(each.workload.service, each.rate, each.cores)
            used[key] = used.get(key, 0.0) + float(cores)
        return rows | {row: float(value) for row, value in self._power(rows, used).items()}

    def past(self, times_s: Floats) -> dict[Row, Floats]:
        """Rows at (N,) minutes before the start.

        The nodes were those of now; each pool's pods followed its demand as they always do, so that no overload is
        invented; nobody had deployed anything else.
        """
        rows: dict[Row, Floats] = {}
        used: dict[str, Floats] = {}
        for cluster, pool in self._world.fleet.pools():
            name = pool_id(cluster.name, pool.name)
            reading = next(each for each in self._workloads.readings().values() if each.workload.pool == name)
            rate, service = reading.workload.rate(self._world, times_s), reading.workload.service
            replicas = units_needed(self._world, cluster, pool, times_s, POD_SHARE)
            rows |= _workload_rows(reading, rate=rate, replicas=replicas, cores=replicas * reading.pod_cores)
            rows[Row(NODES, cluster.name, pool.name)] = np.full(
                times_s.size, float(self._node_pools.ready(cluster.name, pool.name))
            )
            used[name] = cores_in_use(service, rate, replicas * reading.pod_cores)
        return rows | self._power(rows, used)

    def _power(self, rows: Mapping[Row, Any], used: Mapping[str, Any]) -> dict[Row, Any]:
        """W of each site; `used` cores by `pool_id`, and by cluster what is spread over its pools by Ready CPU."""
        power: dict[Row, Any] = {Row(POWER, site.name): 0.0 for site in self._world.fleet.sites}
        for cluster in self._world.fleet.clusters:
            nodes = [rows[Row(NODES, cluster.name, pool.name)] for pool in cluster.node_pools]
            ready = [count * pool.node_cpu for count, pool in zip(nodes, cluster.node_pools, strict=True)]
            pue, row = self._world.fleet.site(cluster.site).pue, Row(POWER, cluster.site)
            for count, cpu, pool in zip(nodes, ready, cluster.node_pools, strict=True):
                spread = used.get(cluster.name, 0.0) * cpu / np.maximum(sum(ready), 1e-9)
                cores = used.get(pool_id(cluster.name, pool.name), 0.0) + spread
                power[row] = power[row] + it_watts(cluster, pool, count, cores) * pue
        return power


def _workload_rows(reading: Reading, **values: Floats) -> dict[Row, Any]:
    """Rate, replicas and cores of a workload in a cluster: given, or those of the reading."""
    now = {RATE: reading.rate, REPLICAS: reading.replicas, CORES: reading.cores} | values
    return {Row(quantity, reading.cluster, reading.workload.id): value for quantity, value in now.items()}
