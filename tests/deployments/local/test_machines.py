"""Machines that do not come and machines that die, in each cloud's own way."""

from __future__ import annotations

import json

import pytest

from blocks.errors import NotFound
from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.outages import Outages
from deployments.local.node_pools import NodePools

Clusters = dict[str, SimulatedCluster]


def names(clusters: Clusters, cluster: str) -> set[str]:
    return {node["metadata"]["name"] for node in clusters[cluster].list("nodes")}


def kill(pools: NodePools, clusters: Clusters, cluster: str, pool: str = "web") -> str:
    """The first machine of a pool, dead and silent, with a pod on it."""
    name = next(iter(pools.pool(cluster, pool).machines))
    container = {"name": "work", "image": "registry.example/work:1"}
    spec = {"nodeName": name, "containers": [container]}
    clusters[cluster].create("pods", {"metadata": {"name": "lost"}, "spec": spec}, "default")
    clusters[cluster].step()
    pools.kill_machine(cluster, name)
    clusters[cluster].set_outages(Outages(silent_nodes=pools.dead_nodes(cluster)))
    return name


@pytest.mark.parametrize(
    ("cluster", "replace_s", "boot_s"), [("eu-eks", 300, 180), ("us-gke", 600, 120), ("asia-aks", 600, 240)]
)
def test_a_cloud_replaces_a_dead_machine_after_its_health_check(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters, cluster: str, replace_s: float, boot_s: float
) -> None:
    dead = kill(pools, clusters, cluster)
    assert pools.dead_nodes(cluster) == {dead}
    clock.advance(replace_s - 1)
    assert dead in names(clusters, cluster)
    clock.advance(2)
    assert dead not in names(clusters, cluster)
    assert pools.dead_nodes(cluster) == frozenset()
    clock.advance(boot_s * 1.15 + 60)
    assert pools.ready(cluster, "web") == pools.pool(cluster, "web").desired == 5
    assert clusters[cluster].list("pods", "default") == []
    assert pools.log() == []


def test_nothing_replaces_a_dead_machine_at_an_edge_site(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters
) -> None:
    dead = kill(pools, clusters, "edge-munich", "edge")
    clock.advance(86_400)
    assert dead in names(clusters, "edge-munich")
    pools.revive_machine("edge-munich", dead)
    assert pools.dead_nodes("edge-munich") == frozenset()


def test_a_machine_that_is_not_there_cannot_be_killed(pools: NodePools) -> None:
    with pytest.raises(NotFound):
        pools.kill_machine("eu-eks", "absent")


def test_an_eks_group_takes_what_the_quota_leaves_and_the_rest_when_it_is_raised(
    pools: NodePools, clock: SimulatedClock
) -> None:
    pools.set_quota("eu-eks", 17)  # fifteen are there
    operation = pools.update("eu-eks", "web", {"desired": 9})
    clock.advance(300)
    pool = pools.pool("eu-eks", "web")
    assert (operation.state, operation.settled_s, pool.desired, pools.ready("eu-eks", "web")) == ("done", None, 9, 7)
    assert pool.lack["code"] == "AsgInstanceLaunchFailures"
    assert "vCPU limit of 68" in pool.lack["message"]
    pools.set_quota("eu-eks", None)
    clock.advance(300)
    assert (pools.ready("eu-eks", "web"), pool.lack) == (9, {})
    assert operation.settled_s is not None


def test_an_eks_group_that_is_made_smaller_stays_degraded_and_tries_no_more(
    pools: NodePools, clock: SimulatedClock
) -> None:
    pools.set_shortage("eu-eks", "web", True)
    pools.update("eu-eks", "web", {"desired": 9})
    clock.advance(100)
    pools.update("eu-eks", "web", {"desired": 5})
    clock.advance(600)
    assert pools.pool("eu-eks", "web").lack
    pools.set_shortage("eu-eks", "web", False)
    clock.advance(600)
    assert len(pools.pool("eu-eks", "web").machines) == 5


def test_a_gke_resize_fails_and_keeps_what_came(pools: NodePools, clock: SimulatedClock) -> None:
    pools.set_quota("us-gke", 12)
    operation = pools.update("us-gke", "web", {"desired": 9})
    clock.advance(300)
    assert (operation.state, operation.code) == ("failed", "GCE_QUOTA_EXCEEDED")
    assert (pools.pool("us-gke", "web").desired, pools.ready("us-gke", "web")) == (7, 7)


def test_an_aks_scale_set_gets_all_or_nothing_and_goes_back(pools: NodePools, clock: SimulatedClock) -> None:
    pools.set_quota("asia-aks", 12)
    operation = pools.update("asia-aks", "web", {"desired": 9})
    clock.advance(600)
    assert (operation.state, operation.code) == ("failed", "QuotaExceeded")
    assert (pools.pool("asia-aks", "web").desired, pools.ready("asia-aks", "web")) == (5, 5)


@pytest.mark.parametrize(
    ("cluster", "code"), [("us-gke", "ZONE_RESOURCE_POOL_EXHAUSTED"), ("asia-aks", "AllocationFailed")]
)
def test_a_shortage_fails_the_operation_with_its_own_code(
    pools: NodePools, clock: SimulatedClock, cluster: str, code: str
) -> None:
    pools.set_shortage(cluster, "web", True)
    operation = pools.update(cluster, "web", {"desired": 6})
    clock.advance(100)
    assert (operation.state, operation.code) == ("failed", code)
    pools.set_shortage(cluster, "web", False)
    assert pools.update(cluster, "web", {"desired": 6}).state == "running"


def test_a_dead_machine_waits_for_its_replacement_while_there_is_a_shortage(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters
) -> None:
    pools.set_shortage("us-gke", "web", True)
    kill(pools, clusters, "us-gke")
    clock.advance(3600)
    assert pools.ready("us-gke", "web") == 4
    pools.set_shortage("us-gke", "web", False)
    clock.advance(300)
    assert pools.ready("us-gke", "web") == 5


def test_what_is_dead_and_what_is_lacking_survives_a_restart(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters
) -> None:
    dead = kill(pools, clusters, "us-gke")
    pools.set_quota("eu-eks", 17)
    pools.set_shortage("asia-aks", "web", True)
    pools.update("eu-eks", "web", {"desired": 9})
    clock.advance(100)
    saved = json.dumps([clock.now(), pools.snapshot(), {name: c.snapshot() for name, c in clusters.items()}])

    now_s, snapshot, objects = json.loads(saved)
    later = SimulatedClock(now_s, speed=0)
    copies = {name: SimulatedCluster.restore(objects[name], later) for name in clusters}
    restored = NodePools(pools.fleet, later, copies, seed=7)
    restored.restore(snapshot)
    assert restored.dead_nodes("us-gke") == {dead}
    later.advance(1200)
    clock.advance(1200)
    for one, where in ((restored, copies), (pools, clusters)):
        assert dead not in names(where, "us-gke")
        assert len(one.pool("eu-eks", "web").machines) == 7
    restored.update("asia-aks", "web", {"desired": 6})
    later.advance(100)
    assert restored.log()[-1]["state"] == "failed"
