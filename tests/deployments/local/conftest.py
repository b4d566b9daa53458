"""Node pools above real simulated clusters, on a clock that only tests move."""

from __future__ import annotations

import pytest

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.local.clock import SimulatedClock
from deployments.local.files import FLEET_FILE
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.node_pools import NodePools

START_S = 1_780_000_000.0


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(FLEET_FILE)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START_S, speed=0)


@pytest.fixture
def clusters(fleet: Fleet, clock: SimulatedClock) -> dict[str, SimulatedCluster]:
    return {cluster.name: SimulatedCluster(cluster.name, clock, 7) for cluster in fleet.clusters}


@pytest.fixture
def pools(fleet: Fleet, clock: SimulatedClock, clusters: dict[str, SimulatedCluster]) -> NodePools:
    """Every pool with 5 nodes (or as many as it may have) that are Ready."""
    made = NodePools(fleet, clock, clusters, seed=7)
    made.populate({f"{cluster.name}/{pool.name}": 5 for cluster, pool in fleet.pools()})
    clock.advance(60)
    return made
