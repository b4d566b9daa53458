"""The simulated cluster-autoscaler: pending pods bring nodes, idle nodes leave, floors and budgets are kept."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.cluster_autoscaler import ClusterAutoscaler
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.node_pools import NodePools
from deployments.local.nodes import is_ready

START_S = 1_780_000_000.0
BOOT_S = 100.0


def fleet_of(*pools: dict[str, Any], provider: str = "eks") -> Fleet:
    node = {"instance_type": "m5.xlarge", "node_cpu": 4, "node_memory": "16Gi", "boot_s": BOOT_S, "min_nodes": 1,
            "max_nodes": 9, "autoscaler": "cluster-autoscaler"}  # fmt: skip
    site = {"name": "s", "tier": "cloud-region", "latitude": 0, "longitude": 0}
    cluster = {"name": "c", "site": "s", "provider": provider, "node_pools": [node | pool for pool in pools]}
    return Fleet.model_validate(
        {"name": "f", "metrics": {"url": "http://unused"}, "sites": [site], "clusters": [cluster]}
    )


class World:
    """One cluster with its pools, its autoscaler and a clock."""

    def __init__(self, *pools: dict[str, Any], sizes: dict[str, int] | None = None, **more: Any) -> None:
        self.fleet = fleet_of(*(pools or ({"name": "web"},)), **more)
        self.clock = SimulatedClock(START_S, speed=0)
        self.cluster = SimulatedCluster("c", self.clock, 7)
        self.open()
        self.pools.populate({f"c/{name}": size for name, size in (sizes or {"web": 1}).items()})
        self.clock.advance(30)

    def open(self) -> None:
        self.pools = NodePools(self.fleet, self.clock, {"c": self.cluster}, seed=7)
        self.autoscaler = ClusterAutoscaler(self.fleet.clusters[0], self.cluster, self.pools, self.clock)

    def saved(self) -> str:
        state = [self.clock.now(), self.cluster.snapshot(), self.pools.snapshot(), self.autoscaler.snapshot()]
        return json.dumps(state, sort_keys=True)

    @classmethod
    def restored(cls, saved: str, fleet: Fleet) -> World:
        world = cls.__new__(cls)
        now_s, cluster, pools, autoscaler = json.loads(saved)
        world.fleet, world.clock = fleet, SimulatedClock(now_s, speed=0)
        world.cluster = SimulatedCluster.restore(cluster, world.clock)
        world.open()
        world.pools.restore(pools)
        world.autoscaler.restore(autoscaler)
        return world

    def deploy(self, name: str, replicas: int, cpu: str = "1900m", memory: str = "2Gi", **spec: Any) -> None:
        labels = {"app": name}
        asks = {"requests": {"cpu": cpu, "memory": memory}}
        containers = [{"name": "work", "image": "registry.example/work:1", "resources": asks}]
        annotations = spec.pop("annotations", {})
        pod = {"containers": containers, "terminationGracePeriodSeconds": 1, **spec}
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
        body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.cluster.create("deployments", {"metadata": {"name": name}, "spec": body}, "default")
        self.cluster.step()

    def scale(self, name: str, replicas: int) -> None:
        self.cluster.patch("deployments", name, {"spec": {"replicas": replicas}}, "merge", "default")
        self.cluster.step()

    def size(self, pool: str = "web") -> int:
        return self.pools.pool("c", pool).desired

    def nodes(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.cluster.list("nodes") if is_ready(node)]

    def running(self, name: str) -> int:
        pods = self.cluster.list("pods", "default", f"app={name}")
        return sum(pod["status"]["phase"] == "Running" for pod in pods)

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.cluster.list("events") if event["reason"] == reason]

    def status(self) -> Any:
        found = self.cluster.get("configmaps", "cluster-autoscaler-status", "kube-system")
        return yaml.safe_load(found["data"]["status"])


def test_pods_that_find_no_node_bring_as_many_as_they_need() -> None:
    world = World()
    world.deploy("web", 7)  # two fit on a node
    world.clock.advance(20)
    assert world.size() == 4
    world.clock.advance(BOOT_S * 1.15 + 20)
    assert (world.running("web"), len(world.nodes()), world.size()) == (7, 4, 4)


def test_what_it_did_is_in_the_log_and_is_no_operation_of_the_clouds_api() -> None:
    world = World()
    world.deploy("web", 7)
    world.clock.advance(200)
    [entry] = world.pools.log()
    assert (entry["kind"], entry["from"], entry["to"], entry["state"]) == ("autoscaler", 1, 4, "done")
    assert world.pools.asked_for("c") == []


def test_nodes_on_their_way_are_counted_on() -> None:
    world = World()
    world.deploy("web", 5)
    world.clock.advance(20)
    assert world.size() == 3
    world.scale("web", 6)
    world.clock.advance(40)
    assert world.size() == 3  # the sixth fits beside the fifth
    world.scale("web", 7)
    world.clock.advance(20)
    assert world.size() == 4


def test_events_on_the_pods_say_what_was_done_and_what_could_not_be() -> None:
    world = World()
    world.deploy("web", 3)
    world.deploy("huge", 1, cpu="64")
    world.clock.advance(20)
    assert world.events("TriggeredScaleUp") == ["pod triggered scale-up: [{eks-web-simulated 1->2 (max: 9)}]"]
    assert world.events("NotTriggerScaleUp") == ["pod didn't trigger scale-up: 1 Insufficient cpu"]


def test_the_maximum_is_never_passed() -> None:
    world = World()
    world.deploy("web", 40)
    world.clock.advance(600)
    assert (world.size(), world.running("web")) == (9, 18)
    assert world.events("NotTriggerScaleUp")[0] == "pod didn't trigger scale-up: 1 max node group size reached"


def test_the_pool_that_wastes_least_grows() -> None:
    world = World(
        {"name": "large", "node_cpu": 16, "node_memory": "64Gi"}, {"name": "small"}, sizes={"large": 1, "small": 1}
    )
    world.deploy("filler", 1, cpu="15")
    world.deploy("rest", 1, cpu="3", memory="12Gi")
    world.clock.advance(20)
    world.deploy("more", 1, cpu="3", memory="12Gi")
    world.clock.advance(20)
    assert (world.size("large"), world.size("small")) == (1, 2)


def test_pods_with_a_selector_grow_the_pool_that_has_the_label() -> None:
    world = World({"name": "web"}, {"name": "batch"}, sizes={"web": 1, "batch": 1})
    world.deploy("jobs", 4, nodeSelector={"eks.amazonaws.com/nodegroup": "batch"})
    world.clock.advance(20)
    assert (world.size("web"), world.size("batch")) == (1, 2)


def test_expendable_pods_bring_no_node_and_pause_pods_do() -> None:
    world = World()
    for name, value in (("pause", -5), ("scrap", -20)):
        world.cluster.create("priorityclasses", {"metadata": {"name": name}, "value": value})
    world.deploy("scrap", 6, priorityClassName="scrap")
    world.clock.advance(60)
    assert world.size() == 1
    world.deploy("pause", 4, priorityClassName="pause")
    world.clock.advance(60)
    assert world.size() > 1


def test_pause_pods_keep_their_headroom() -> None:
    world = World()
    world.cluster.create("priorityclasses", {"metadata": {"name": "pause"}, "value": -5})
    world.deploy("pause", 4, priorityClassName="pause")
    world.clock.advance(7200)
    assert (world.size(), world.running("pause")) == (2, 4)


def test_idle_nodes_leave_after_ten_minutes_down_to_the_minimum() -> None:
    world = World(sizes={"web": 5})
    world.clock.advance(560)
    assert len(world.nodes()) == 5
    world.clock.advance(60)
    assert (len(world.nodes()), world.size()) == (1, 1)


def test_a_raised_floor_is_kept() -> None:
    world = World(sizes={"web": 5})
    world.pools.update("c", "web", {"min_nodes": 4})
    world.clock.advance(1800)
    assert (len(world.nodes()), world.size()) == (4, 4)


def test_no_node_leaves_within_ten_minutes_of_a_scale_up() -> None:
    world = World({"name": "web"}, {"name": "batch"}, sizes={"web": 3, "batch": 1})
    world.clock.advance(400)
    world.deploy("jobs", 4, nodeSelector={"eks.amazonaws.com/nodegroup": "batch"})
    world.clock.advance(500)
    assert world.size("web") == 3
    world.clock.advance(200)
    assert world.size("web") == 1


def test_a_hardly_used_node_is_drained_when_its_pods_fit_elsewhere() -> None:
    world = World(sizes={"web": 3})
    world.deploy("web", 3, cpu="1500m")  # one a node
    world.clock.advance(560)
    assert len(world.nodes()) == 3
    world.clock.advance(200)
    assert (len(world.nodes()), world.running("web")) == (2, 3)
    assert any("with drain" in message for message in world.events("ScaleDown"))


@pytest.mark.parametrize(
    "keeper",
    [
        {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
        {"volumes": [{"name": "scratch", "emptyDir": {}}]},
        {"nodeSelector": {"kubernetes.io/hostname": "here"}},
    ],
)
def test_pods_that_must_not_or_cannot_move_keep_their_nodes(keeper: dict[str, Any]) -> None:
    world = World(sizes={"web": 2})
    if "nodeSelector" in keeper:
        keeper = {"nodeSelector": {"kubernetes.io/hostname": world.nodes()[1]}}
    world.deploy("first", 2, cpu="1", **keeper)
    world.clock.advance(3000)
    moved = {pod["spec"]["nodeName"] for pod in world.cluster.list("pods", "default")}
    assert moved <= set(world.nodes())
    assert world.events("ScaleDown") == []


def test_a_pod_without_a_controller_keeps_its_node() -> None:
    world = World(sizes={"web": 2})
    for name in world.nodes():
        container = {"name": "work", "image": "registry.example/work:1"}
        spec = {"nodeName": name, "containers": [container]}
        world.cluster.create("pods", {"metadata": {"name": f"alone-{name}"}, "spec": spec}, "default")
    world.clock.advance(3000)
    assert world.size() == 2


def test_a_node_marked_against_scale_down_stays() -> None:
    world = World(sizes={"web": 3})
    marks = {"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}
    keeper = world.nodes()[2]
    world.cluster.patch("nodes", keeper, {"metadata": {"annotations": marks}})
    world.clock.advance(3000)
    assert world.nodes() == [keeper]


def test_a_spent_budget_keeps_its_nodes() -> None:
    world = World(sizes={"web": 3})
    world.deploy("web", 3, cpu="1500m")
    budget = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
    world.cluster.create("poddisruptionbudgets", {"metadata": {"name": "web"}, "spec": budget}, "default")
    world.clock.advance(3000)
    assert (world.size(), world.running("web")) == (3, 3)


def test_a_failed_scale_up_is_backed_off_from_and_tried_again() -> None:
    world = World()
    world.pools.set_shortage("c", "web", True)
    world.deploy("web", 5)
    world.clock.advance(60)
    assert (world.size(), world.pools.log()[-1]["state"]) == (1, "failed")
    backoff = world.status()["nodeGroups"][0]["scaleUp"]
    assert (backoff["status"], backoff["backoffInfo"]["errorCode"]) == ("Backoff", "AsgInstanceLaunchFailures")
    world.pools.set_shortage("c", "web", False)
    world.clock.advance(200)
    assert len(world.pools.log()) == 1
    world.clock.advance(400)
    assert world.running("web") == 5


def test_it_grows_as_far_as_the_quota_goes() -> None:
    world = World()
    world.pools.set_quota("c", 3)
    world.deploy("web", 10)
    world.clock.advance(300)
    assert (world.size(), world.running("web")) == (3, 6)


def test_nothing_happens_while_too_many_nodes_are_not_ready() -> None:
    world = World(sizes={"web": 6})
    for name in world.nodes()[:5]:
        marks = {"continuum.io/kubelet-down": "true"}
        world.cluster.patch("nodes", name, {"metadata": {"annotations": marks}})
    world.clock.advance(60)
    world.deploy("web", 6)
    world.clock.advance(3000)
    assert world.size() == 6
    assert world.status()["clusterWide"]["health"]["status"] == "Unhealthy"


def test_the_status_tells_the_groups_and_their_sizes() -> None:
    world = World(sizes={"web": 2})
    world.clock.advance(20)
    status = world.status()
    assert status["autoscalerStatus"] == "Running"
    [group] = status["nodeGroups"]
    assert group["name"] == "eks-web-simulated"
    assert {key: group["health"][key] for key in ("minSize", "maxSize", "cloudProviderTarget")} == {
        "minSize": 1,
        "maxSize": 9,
        "cloudProviderTarget": 2,
    }
    assert group["health"]["nodeCounts"]["registered"]["ready"] == 2
    assert group["scaleDown"] == group["scaleDown"] | {"status": "CandidatesPresent", "candidates": 1}


def test_a_cluster_without_autoscaled_pools_has_no_autoscaler() -> None:
    world = World({"name": "web", "autoscaler": "none"}, sizes={"web": 3})
    world.deploy("web", 20)
    world.clock.advance(3000)
    assert world.size() == 3
    assert (
        world.cluster.list("configmaps", "kube-system", field_selector="metadata.name=cluster-autoscaler-status") == []
    )
    assert (world.clock.next_due() or math.inf) >= START_S + 3600  # when Events expire: nothing else is to come


def test_a_pool_may_be_switched_on_later() -> None:
    world = World({"name": "web", "autoscaler": "none"}, sizes={"web": 1}, provider="gke")
    world.deploy("web", 6)
    world.clock.advance(300)
    world.pools.update("c", "web", {"autoscaled": True})
    world.clock.advance(300)
    assert world.running("web") == 6


def test_with_nothing_to_do_it_sleeps() -> None:
    world = World(sizes={"web": 1})
    world.deploy("web", 2)
    world.clock.advance(600)
    assert (world.clock.next_due() or math.inf) >= START_S + 3600  # when Events expire: nothing else is to come


def story(world: World) -> None:
    world.deploy("web", 9)
    world.clock.advance(300)
    world.scale("web", 2)
    world.clock.advance(400)


def test_the_same_seed_and_requests_give_the_same_states() -> None:
    first, second = World(), World()
    story(first)
    story(second)
    assert first.saved() == second.saved()


@pytest.mark.parametrize("interrupted_after_s", [15.0, 60.0, 300.0, 650.0])
def test_a_restored_snapshot_ends_like_the_run_that_was_not_interrupted(interrupted_after_s: float) -> None:
    world = World()
    world.deploy("web", 9)
    world.clock.advance(300)
    world.scale("web", 3)
    world.clock.advance(interrupted_after_s)
    copy = World.restored(world.saved(), world.fleet)
    for one in (world, copy):
        one.clock.advance(2000)
    assert copy.nodes() == world.nodes()
    assert copy.size() == world.size() == 2
    assert [entry["to"] for entry in copy.pools.log()] == [entry["to"] for entry in world.pools.log()]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 24), st.floats(10, 1500)), min_size=1, max_size=5))
def test_whatever_is_asked_sizes_keep_the_bounds_and_pods_that_fit_run(steps: list[tuple[int, float]]) -> None:
    world = World()
    world.deploy("web", 1)
    for replicas, wait_s in steps:
        world.scale("web", replicas)
        world.clock.advance(wait_s)
        assert 1 <= world.size() <= 9
    world.clock.advance(4000)
    replicas = min(steps[-1][0], 18)
    assert world.running("web") == replicas
    assert world.size() == len(world.nodes()) == max(-(-replicas // 2), 1)
