"""The simulated fleet without its sockets: demand fills nodes, pools feed clusters, snapshots hold all of it."""

from __future__ import annotations

import json

import pytest

from blocks.fleet import Fleet, Provider
from blocks.fleet_file import load_fleet
from deployments.local.files import FLEET_FILE
from deployments.local.nodes import HANDS_OFF, RULES
from deployments.local.simulation import Simulation

START_S = 1_772_438_400.0  # Monday, 2026-03-02 08:00 UTC
FLEET = load_fleet(FLEET_FILE)


@pytest.fixture
def simulation() -> Simulation:
    return Simulation.fresh(FLEET, seed=7, start_s=START_S)


def running_pods(simulation: Simulation, cluster: str, pool: str) -> list[str]:
    pods = simulation.clusters[cluster].list("pods", "default", f"app={pool}")
    return [pod["spec"].get("nodeName", "") for pod in pods if pod["status"]["phase"] == "Running"]


def replicas(simulation: Simulation, cluster: str, pool: str) -> int:
    return int(simulation.clusters[cluster].get("deployments", pool, "default")["spec"]["replicas"])


def test_a_fresh_pool_has_ready_nodes_for_present_demand_at_65_percent(simulation: Simulation) -> None:
    for cluster, pool in FLEET.pools():
        ready = simulation.node_pools.ready(cluster.name, pool.name)
        assert ready == simulation.node_pools.pool(cluster.name, pool.name).desired
        if cluster.provider is Provider.K3S:
            assert ready == pool.max_nodes
            continue
        cores = simulation.world.demand("cpu_cores", f"{cluster.name}/{pool.name}", [START_S])[0]
        assert ready >= min(cores / pool.node_cpu / 0.65, pool.max_nodes)
        assert pool.min_nodes <= ready <= pool.max_nodes


def test_the_pods_of_a_pool_run_on_its_own_nodes(simulation: Simulation) -> None:
    for cluster, pool in FLEET.pools():
        nodes = simulation.clusters[cluster.name].list("nodes")
        mine = {
            n["metadata"]["name"]
            for n in nodes
            if n["metadata"]["labels"].get(RULES[cluster.provider].pool_label) == pool.name
        }
        pods = running_pods(simulation, cluster.name, pool.name)
        assert pods
        assert set(pods) <= mine


def test_no_cluster_holds_more_than_about_eighty_pods_at_the_start(simulation: Simulation) -> None:
    assert max(len(cluster.list("pods")) for cluster in simulation.clusters.values()) <= 90


def test_pods_follow_demand(simulation: Simulation) -> None:
    seen = set()
    for _ in range(3):
        simulation.clock.advance(3600)
        cores = simulation.world.demand("cpu_cores", "eu-eks/web", [simulation.clock.now() // 60 * 60])[0]
        share = cores / (next(p for c, p in FLEET.pools() if c.name == "eu-eks").node_cpu * 0.45)
        assert replicas(simulation, "eu-eks", "web") >= share
        seen.add(replicas(simulation, "eu-eks", "web"))
    assert len(seen) > 1


def test_growing_a_pool_lets_pending_pods_run(simulation: Simulation) -> None:
    simulation.node_pools.update("eu-eks", "web", {"desired": 3})
    simulation.clock.advance(1200)
    few = len(running_pods(simulation, "eu-eks", "web"))
    assert few <= 6 < replicas(simulation, "eu-eks", "web")
    simulation.node_pools.update("eu-eks", "web", {"desired": 20})
    simulation.clock.advance(300)
    assert len(running_pods(simulation, "eu-eks", "web")) == replicas(simulation, "eu-eks", "web")


def test_shrinking_a_pool_moves_its_pods_and_never_breaks_their_budget(simulation: Simulation) -> None:
    wanted = replicas(simulation, "eu-eks", "web")
    pool = simulation.node_pools.pool("eu-eks", "web")
    simulation.node_pools.update("eu-eks", "web", {"desired": pool.desired - 2})
    for _ in range(60):
        simulation.clock.advance(5)
        assert len(running_pods(simulation, "eu-eks", "web")) >= 0.7 * min(
            wanted, replicas(simulation, "eu-eks", "web")
        )
    assert len(pool.machines) == pool.desired == simulation.node_pools.ready("eu-eks", "web")


def test_what_is_hands_off_is_annotated_so(simulation: Simulation) -> None:
    cluster = simulation.clusters["us-gke"]
    assert cluster.get("deployments", "search", "default")["metadata"]["annotations"][HANDS_OFF] == "true"
    assert HANDS_OFF not in cluster.get("deployments", "web", "default")["metadata"].get("annotations", {})


def _story(simulation: Simulation) -> str:
    simulation.node_pools.update("us-gke", "web", {"desired": 20})
    simulation.node_pools.update("eu-eks", "batch", {"desired": 3})
    simulation.clock.advance(500)
    state = simulation.snapshot()
    del state["tokens"]
    return json.dumps(state, sort_keys=True)


def test_the_same_seed_and_requests_give_the_same_state() -> None:
    first, second = (_story(Simulation.fresh(FLEET, seed=3, start_s=START_S)) for _ in range(2))
    assert first == second


def test_a_restored_simulation_goes_on_in_the_middle_of_an_operation(simulation: Simulation) -> None:
    before = simulation.node_pools.ready("us-gke", "web")
    operation = simulation.node_pools.update("us-gke", "web", {"desired": before + 2})
    simulation.clock.advance(50)
    saved = json.loads(json.dumps(simulation.snapshot()))
    restored = Simulation.restored(FLEET, saved, saved["now_s"] + 10)
    assert restored.clock.now() == simulation.clock.now() + 10
    assert restored.node_pools.operation(operation.id).state == "running"
    restored.clock.advance(200)
    assert restored.node_pools.operation(operation.id).state == "done"
    assert restored.node_pools.ready("us-gke", "web") == before + 2
    assert restored.tokens == simulation.tokens


def test_a_snapshot_of_another_fleet_is_refused(simulation: Simulation) -> None:
    from blocks.errors import InvalidInput

    other = Fleet.model_validate(FLEET.model_dump() | {"name": "other"})
    with pytest.raises(InvalidInput, match="another fleet"):
        Simulation.restored(other, simulation.snapshot(), START_S)
