"""Node pools of the simulated clouds: operations take time, bounds hold, nodes boot and drain, snapshots go on."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import CloudRefused, Conflict, NotFound
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.local import nodes
from deployments.local.clock import SimulatedClock
from deployments.local.files import FLEET_FILE
from deployments.local.kubernetes import SimulatedCluster, StatusError
from deployments.local.node_pools import NodePools
from deployments.local.nodes import is_closed

Clusters = dict[str, SimulatedCluster]


def node_names(clusters: Clusters, cluster: str) -> list[str]:
    return [node["metadata"]["name"] for node in clusters[cluster].list("nodes")]


def add_pods(cluster: SimulatedCluster, node: str, count: int, *, protected: bool = False) -> None:
    """Pods on one node; protected ones belong to a budget that allows no eviction."""
    for number in range(count):
        labels = {"protected": str(protected).lower()}
        container = {"name": "work", "image": "registry.example/work:1"}
        spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1}
        cluster.create("pods", {"metadata": {"name": f"{node}-{number}", "labels": labels}, "spec": spec}, "default")
    if protected:
        budget = {"minAvailable": 1000, "selector": {"matchLabels": {"protected": "true"}}}
        with contextlib.suppress(StatusError):  # there already
            cluster.create("poddisruptionbudgets", {"metadata": {"name": "all"}, "spec": budget}, "default")
    cluster.step()


def test_the_fleet_has_six_clusters_each_pool_within_the_sizes_that_it_promises(fleet: Fleet) -> None:
    assert len(fleet.clusters) == 6
    assert fleet.simulated
    assert any(pool.hands_off for _, pool in fleet.pools())


def test_an_operation_runs_first_and_is_done_later(pools: NodePools, clock: SimulatedClock) -> None:
    operation = pools.update("us-gke", "web", {"desired": 7})
    assert operation.state == "running"
    clock.advance(30)
    assert operation.state == "running"
    clock.advance(120)
    assert operation.state == "done"


def test_an_eks_update_is_done_before_its_nodes_have_joined(pools: NodePools, clock: SimulatedClock) -> None:
    operation = pools.update("eu-eks", "web", {"desired": 7})
    clock.advance(60)
    assert (operation.state, operation.settled_s) == ("done", None)
    clock.advance(200)
    assert operation.settled_s == pytest.approx(clock.now() - 260 + 180, abs=0.15 * 180 + 10)


@pytest.mark.parametrize(("cluster", "boot_s"), [("eu-eks", 180), ("us-gke", 120), ("asia-aks", 240)])
def test_new_nodes_are_ready_boot_s_after_acceptance_give_or_take_15_percent(
    pools: NodePools, clock: SimulatedClock, cluster: str, boot_s: float
) -> None:
    pools.update(cluster, "web", {"desired": 12})
    clock.advance(0.85 * boot_s - 1)
    assert pools.ready(cluster, "web") == 5
    clock.advance(0.15 * boot_s)
    assert 5 < pools.ready(cluster, "web") < 12
    clock.advance(0.15 * boot_s + 2)
    assert pools.ready(cluster, "web") == 12


def test_nodes_carry_the_label_of_their_provider(pools: NodePools, clusters: Clusters) -> None:
    for cluster, label in (
        ("eu-eks", "eks.amazonaws.com/nodegroup"),
        ("us-gke", "cloud.google.com/gke-nodepool"),
        ("asia-aks", "kubernetes.azure.com/agentpool"),
        ("edge-osaka", "continuum.io/node-pool"),
    ):
        names = {node["metadata"]["labels"][label] for node in clusters[cluster].list("nodes")}
        assert names == {pool.name for found, pool in pools.fleet.pools() if found.name == cluster}


def test_node_names_differ_in_the_whole_fleet(pools: NodePools, clusters: Clusters) -> None:
    names = [name for cluster in clusters for name in node_names(clusters, cluster)]
    assert len(names) == len(set(names))


def test_gke_runs_one_operation_per_cluster(pools: NodePools, clock: SimulatedClock) -> None:
    pools.update("us-gke", "web", {"desired": 6})
    with pytest.raises(Conflict, match="is running"):
        pools.update("us-gke", "search", {"desired": 6})
    clock.advance(300)
    pools.update("us-gke", "search", {"desired": 6})


def test_eks_runs_one_operation_per_node_group(pools: NodePools) -> None:
    pools.update("eu-eks", "web", {"desired": 6})
    pools.update("eu-eks", "batch", {"desired": 6})
    with pytest.raises(Conflict, match="is running"):
        pools.update("eu-eks", "web", {"desired": 7})


@pytest.mark.parametrize(
    "changes", [{"desired": 25}, {"desired": 2}, {"min_nodes": 6}, {"max_nodes": 4}, {"min_nodes": -1}]
)
def test_sizes_outside_the_bounds_are_refused_and_change_nothing(pools: NodePools, changes: dict[str, int]) -> None:
    before = pools.pool("eu-eks", "web").settings()
    with pytest.raises(CloudRefused, match="minimum"):
        pools.update("eu-eks", "web", changes)
    assert pools.pool("eu-eks", "web").settings() == before
    assert pools.log() == []


def test_the_same_token_gives_the_same_operation_and_no_second_one(pools: NodePools) -> None:
    first = pools.update("eu-eks", "web", {"desired": 7}, token="t1")
    assert pools.update("eu-eks", "web", {"desired": 7}, token="t1") is first
    assert len(pools.log()) == 1
    with pytest.raises(CloudRefused, match="another change"):
        pools.update("eu-eks", "web", {"desired": 8}, token="t1")


def test_an_unknown_pool_is_not_found(pools: NodePools) -> None:
    with pytest.raises(NotFound):
        pools.update("eu-eks", "absent", {"desired": 7})


def test_shrinking_cordons_evicts_and_then_deletes(pools: NodePools, clock: SimulatedClock, clusters: Clusters) -> None:
    cluster = clusters["us-gke"]
    for name in pools.pool("us-gke", "web").machines:
        add_pods(cluster, name, 3)
    pools.update("us-gke", "web", {"desired": 3})
    assert sum(is_closed(node) for node in cluster.list("nodes")) == 2
    assert len(node_names(clusters, "us-gke")) == 10
    clock.advance(40)
    assert len(node_names(clusters, "us-gke")) == 8
    assert len(cluster.list("pods")) == 9


def test_the_nodes_that_go_are_those_already_cordoned(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters
) -> None:
    chosen = list(pools.pool("us-gke", "web").machines)[:2]
    for name in chosen:
        clusters["us-gke"].patch("nodes", name, {"spec": {"unschedulable": True}})
    pools.update("us-gke", "web", {"desired": 3})
    clock.advance(60)
    assert not set(chosen) & set(node_names(clusters, "us-gke"))


def test_nodes_still_booting_go_before_nodes_that_work(pools: NodePools, clock: SimulatedClock) -> None:
    working = list(pools.pool("eu-eks", "web").machines)
    pools.update("eu-eks", "web", {"desired": 8})
    clock.advance(60)
    pools.update("eu-eks", "web", {"desired": 5})
    clock.advance(400)
    assert list(pools.pool("eu-eks", "web").machines) == working


@pytest.mark.parametrize(
    ("cluster", "limit_s", "state", "left"),
    [("eu-eks", 900, "done", 4), ("us-gke", 3600, "done", 4), ("asia-aks", 1800, "failed", 5)],
)
def test_a_spent_budget_holds_a_drain_until_the_providers_patience_ends(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters, cluster: str, limit_s: float, state: str, left: int
) -> None:
    for name in pools.pool(cluster, "web").machines:
        add_pods(clusters[cluster], name, 1, protected=True)
    clock.advance(30)
    operation = pools.update(cluster, "web", {"desired": 4})
    clock.advance(limit_s - 10)
    assert len(pools.pool(cluster, "web").machines) == 5
    clock.advance(30)
    pool = pools.pool(cluster, "web")
    assert (operation.state, len(pool.machines), pool.desired) == (state, left, left)
    assert pools.ready(cluster, "web") == left


def test_a_failed_operation_puts_the_settings_back_and_says_why(pools: NodePools, clock: SimulatedClock) -> None:
    pools.fail_next("eu-eks", "web", "no m5.xlarge left in this zone")
    before = pools.pool("eu-eks", "web").settings()
    operation = pools.update("eu-eks", "web", {"desired": 9, "max_nodes": 30})
    clock.advance(400)
    assert (operation.state, operation.error) == ("failed", "no m5.xlarge left in this zone")
    assert pools.pool("eu-eks", "web").settings() == before
    assert (pools.pool("eu-eks", "web").desired, pools.ready("eu-eks", "web")) == (5, 5)
    assert pools.update("eu-eks", "web", {"desired": 9}).fault is None


def test_an_operation_fails_when_its_nodes_never_become_ready(
    pools: NodePools, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "KUBELET_LABEL", "nobody-plays-this-node")
    operation = pools.update("asia-aks", "web", {"desired": 6})
    clock.advance(4000)
    assert (operation.state, operation.error) == ("failed", "nodes did not become Ready")


def test_raising_the_floor_of_an_autoscaled_pool_moves_its_size(pools: NodePools, clock: SimulatedClock) -> None:
    pools.update("us-gke", "web", {"autoscaled": True, "min_nodes": 7, "max_nodes": 20})
    clock.advance(600)
    assert pools.ready("us-gke", "web") == 7


def test_the_log_tells_when_what_from_where_to_where(pools: NodePools, clock: SimulatedClock) -> None:
    pools.update("us-gke", "web", {"desired": 7})
    clock.advance(200)
    entry = pools.log()[-1]
    assert {key: entry[key] for key in ("cluster", "pool", "kind", "from", "to", "state", "error")} == {
        "cluster": "us-gke",
        "pool": "web",
        "kind": "set_desired",
        "from": 5,
        "to": 7,
        "state": "done",
        "error": None,
    }
    assert entry["time"] < entry["finished"] <= entry["settled"]


@pytest.mark.parametrize("interrupted_after_s", [0.0, 10.0, 100.0, 125.0])
def test_a_restored_snapshot_ends_like_the_run_that_was_not_interrupted(
    pools: NodePools, clock: SimulatedClock, clusters: Clusters, interrupted_after_s: float
) -> None:
    pools.update("us-gke", "web", {"desired": 9})
    pools.update("eu-eks", "web", {"desired": 4})
    clock.advance(interrupted_after_s)
    saved = json.dumps([clock.now(), pools.snapshot(), {name: c.snapshot() for name, c in clusters.items()}])
    clock.advance(600)

    now_s, snapshot, objects = json.loads(saved)
    later = SimulatedClock(now_s, speed=0)
    copies = {name: SimulatedCluster.restore(objects[name], later) for name in clusters}
    restored = NodePools(pools.fleet, later, copies, seed=7)
    restored.restore(snapshot)
    later.advance(600)
    assert {name: node_names(copies, name) for name in copies} == {
        name: node_names(clusters, name) for name in clusters
    }
    for got, want in zip(restored.snapshot()["operations"], pools.snapshot()["operations"], strict=True):
        assert got["finished_s"] == pytest.approx(want["finished_s"], abs=10)
        assert {k: v for k, v in got.items() if not k.endswith("_s")} == {
            k: v for k, v in want.items() if not k.endswith("_s")
        }


def test_every_accepted_change_is_announced_before_the_answer(pools: NodePools) -> None:
    seen: list[int] = []
    pools.on_change = lambda: seen.append(len(pools.operations))
    pools.update("eu-eks", "web", {"desired": 6})
    assert seen == [1]


FLEET = load_fleet(FLEET_FILE)


@settings(max_examples=15)
@given(
    steps=st.lists(st.tuples(st.integers(0, 26), st.floats(0, 400), st.booleans()), min_size=1, max_size=8),
    protected=st.booleans(),
)
def test_whatever_is_asked_and_when_the_nodes_end_up_as_many_as_desired(
    steps: list[tuple[int, float, bool]], protected: bool
) -> None:
    clock = SimulatedClock(1_780_000_000.0, speed=0)
    clusters = {"eu-eks": SimulatedCluster("eu-eks", clock)}
    pools = NodePools(FLEET, clock, clusters, seed=3)
    pools.populate({"eu-eks/web": 6})
    clock.advance(60)
    pool = pools.pool("eu-eks", "web")
    for name in pool.machines:
        add_pods(clusters["eu-eks"], name, 2, protected=protected)
    for desired, wait_s, failing in steps:
        if failing:
            pools.fail_next("eu-eks", "web", "none left")
        try:
            pools.update("eu-eks", "web", {"desired": desired})
        except (CloudRefused, Conflict):
            assert pools.running("eu-eks") or not 3 <= desired <= 24
        clock.advance(wait_s)
        assert pool.min_nodes <= pool.desired <= pool.max_nodes
    clock.advance(5000)
    assert pools.ready("eu-eks", "web") == pool.desired == len(pool.machines)
    assert all(entry["state"] != "running" and entry["settled"] for entry in pools.log())
