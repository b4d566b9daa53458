"""Edge pools against a small cluster in memory, behind a real socket and the official client."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.errors import Conflict, NotFound, Refused
from blocks.fleet import Cluster
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import _client
from blocks.node_pools.k3s import K3sNodePools

POOLS = [{"name": "edge", "instance_type": "box", "min_nodes": 1, "max_nodes": 8, "node_cpu": 4, "node_memory": "16Gi"}]
POWER = "continuum.io/power-state"


class EdgeCluster:
    """Nodes by name, pods by name -> node; merge patches with versions; `budget` evictions are allowed."""

    def __init__(self, server: Any) -> None:
        self.server, self.nodes, self.pods = server, {}, {}
        self.budget, self.version = 10**6, 100
        self.budgets: list[dict[str, Any]] = []
        self.requests: dict[str, str] = {}
        self.before_patch: Any = lambda name: None
        server.handler = self.answer

    def add(self, name: str, pods: int, *, ready: bool = True, closed: bool = False, **annotations: str) -> None:
        marks = {key.replace("__", "/").replace("_", "-"): text for key, text in annotations.items()}
        self.nodes[name] = {
            "metadata": {
                "name": name,
                "labels": {"continuum.io/node-pool": "edge"},
                "annotations": marks,
                "resourceVersion": "1",
            },
            "spec": {"unschedulable": True} if closed else {},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]},
        }
        self.pods.update({f"{name}-{number}": name for number in range(pods)})

    def open(self) -> list[str]:
        return [name for name, node in self.nodes.items() if not node["spec"].get("unschedulable")]

    def power(self, name: str) -> str | None:
        return self.nodes[name]["metadata"]["annotations"].get(POWER)

    def answer(self, asked: Any) -> Any:
        if asked.path.endswith("/poddisruptionbudgets"):
            return self.server.as_json({"items": self.budgets})
        kind, *rest = asked.path.removeprefix("/api/v1/").removeprefix("namespaces/shop/").split("/")
        if asked.method == "POST":
            return self.evict(rest[0])
        if asked.method == "PATCH":
            return self.patch(rest[0], asked.json())
        if rest:
            return self.server.as_json(self.nodes[rest[0]])
        if kind == "nodes":
            wanted = asked.query["labelSelector"].partition("=")[2]
            found = [node for node in self.nodes.values() if wanted in ("", "edge")]
            return self.server.as_json({"items": found})
        node = asked.query.get("fieldSelector", "").removeprefix("spec.nodeName=")
        return self.server.as_json({"items": [self.pod(name) for name, on in self.pods.items() if node in ("", on)]})

    def pod(self, name: str) -> dict[str, Any]:
        owners = [{"kind": "ReplicaSet", "controller": True}]
        metadata = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": owners}
        work = {"name": "work", "resources": {"requests": self.requests}}
        return {"metadata": metadata, "spec": {"nodeName": self.pods[name], "containers": [work]}}

    def evict(self, name: str) -> Any:
        if self.budget <= 0:
            return self.server.as_json({"message": "disruption budget", "code": 429}, 429)
        self.budget -= 1
        self.pods[name] = next(node for node in self.open() if node != self.pods[name])
        return self.server.as_json({"kind": "Status", "status": "Success"}, 201)

    def patch(self, name: str, body: Any) -> Any:
        self.before_patch(name)
        node, metadata = self.nodes[name], body.get("metadata", {})
        if metadata.get("resourceVersion", node["metadata"]["resourceVersion"]) != node["metadata"]["resourceVersion"]:
            return self.server.as_json({"message": "the object has been modified", "code": 409}, 409)
        for target, change in (
            (node["spec"], body.get("spec", {})),
            (node["metadata"]["annotations"], metadata.get("annotations", {})),
        ):
            target.update(change)
            for key in [key for key, text in target.items() if text is None]:
                del target[key]
        self.version += 1
        node["metadata"]["resourceVersion"] = str(self.version)
        return self.server.as_json(node)


@pytest.fixture
def edge(server) -> EdgeCluster:
    return EdgeCluster(server)


@pytest.fixture
def pools(server, edge, fake_time) -> K3sNodePools:
    cluster = Cluster(name="munich", site="s", provider="k3s", kubernetes={"server": server.url}, node_pools=POOLS)
    api = KubernetesApi("munich", _client(cluster), clock=fake_time.clock, sleep=fake_time.sleep)
    return K3sNodePools(cluster, api, drain_timeout_s=30)


def test_desired_counts_nodes_that_are_open_and_ready_those_that_work(edge, pools) -> None:
    edge.add("a", 0)
    edge.add("b", 0, ready=False)
    edge.add("c", 0, closed=True)
    (state,) = pools.list()
    assert (state.name, state.desired, state.ready, state.min_nodes, state.max_nodes) == ("edge", 2, 1, 1, 3)
    assert pools.describe("edge") == state


def test_the_emptiest_nodes_are_drained_closed_and_sent_to_sleep(edge, pools) -> None:
    for name, pods in (("a", 3), ("b", 1), ("c", 2), ("d", 4)):
        edge.add(name, pods)
    assert pools.set_desired("edge", 2).state == "done"
    assert edge.open() == ["a", "d"]
    assert (edge.power("b"), edge.power("c")) == ("sleep", "sleep")
    assert set(edge.pods.values()) == {"a", "d"}


def test_a_silent_node_is_closed_first_and_not_waited_for(edge, pools, fake_time) -> None:
    edge.add("a", 0)
    edge.add("silent", 5, ready=False)
    pools.set_desired("edge", 1)
    assert (edge.open(), set(edge.pods.values())) == (["a"], {"silent"})
    assert fake_time.slept == []


def test_sleeping_nodes_are_woken_and_nodes_that_a_person_closed_are_not(edge, pools) -> None:
    edge.add("a", 0)
    edge.add("mended", 0, closed=True)
    edge.add("asleep", 0, closed=True, **{"continuum.io__power_state": "sleep"})
    pools.set_desired("edge", 2)
    assert (edge.open(), edge.power("asleep")) == (["a", "asleep"], "on")
    with pytest.raises(Refused, match="1 more nodes are asked for and 0 sleep"):
        pools.set_desired("edge", 3)


def test_a_budget_that_allows_nothing_leaves_every_node_as_it_was(edge, pools, fake_time) -> None:
    for name in "abc":
        edge.add(name, 2)
    edge.budget = 1
    with pytest.raises(Refused, match="disruption budget"):
        pools.set_desired("edge", 1)
    assert edge.open() == ["a", "b", "c"]
    assert [edge.power(name) for name in "abc"] == [None, None, None]
    assert fake_time.now_s <= 30


def test_a_node_that_a_person_closes_meanwhile_stays_closed(edge, pools) -> None:
    edge.add("a", 0)
    edge.add("b", 0)
    edge.add("c", 5)

    def meanwhile(name: str) -> None:
        if name == "b" and edge.open() == ["b", "c"]:
            edge.nodes["b"]["spec"]["unschedulable"] = True
            edge.nodes["b"]["metadata"]["resourceVersion"] = "77"

    edge.before_patch = meanwhile
    with pytest.raises(Conflict):
        pools.set_desired("edge", 1)
    assert edge.open() == ["a", "c"]
    assert edge.power("b") is None


def test_a_drain_that_a_killed_run_left_is_finished_by_asking_again(edge, pools) -> None:
    edge.add("a", 1)
    edge.add("half", 2, closed=True, **{"continuum.io__power_state": "draining"})
    pools.set_desired("edge", 1)
    assert edge.power("half") == "sleep"
    assert set(edge.pods.values()) == {"a"}


def test_a_node_says_sleep_only_when_its_pods_have_left(edge, pools) -> None:
    edge.add("a", 3)
    edge.add("b", 1)
    powers: list[str | None] = []
    evict = edge.evict
    edge.evict = lambda name: (powers.append(edge.power("b")), evict(name))[1]
    pools.set_desired("edge", 1)
    assert (powers, edge.power("b")) == (["draining"], "sleep")


def test_what_a_killed_run_left_asleep_can_be_woken(edge, pools) -> None:
    edge.add("a", 1)
    edge.add("half", 1, closed=True, **{"continuum.io__power_state": "sleep"})
    pools.set_desired("edge", 2)
    assert edge.open() == ["a", "half"]


def test_the_version_changes_with_what_is_open_and_not_with_heartbeats(edge, pools) -> None:
    edge.add("a", 0)
    edge.add("b", 0)
    before = pools.describe("edge").version
    edge.nodes["a"]["metadata"]["resourceVersion"] = "55"
    assert pools.describe("edge").version == before
    pools.set_desired("edge", 1, if_match=before)
    with pytest.raises(Conflict, match="changed since"):
        pools.set_desired("edge", 2, if_match=before)


@pytest.mark.parametrize(("desired", "words"), [(0, "below min_nodes 1"), (3, "above max_nodes 2")])
def test_a_size_outside_the_bounds_or_beyond_the_machines_is_refused(edge, pools, desired, words) -> None:
    edge.add("a", 0)
    edge.add("b", 0)
    with pytest.raises(Refused, match=words):
        pools.set_desired("edge", desired)


def test_one_node_with_a_hands_off_mark_protects_the_pool(edge, pools) -> None:
    edge.add("a", 0)
    edge.add("b", 0, **{"continuum.io__hands_off": "true"})
    assert pools.describe("edge").hands_off
    with pytest.raises(Refused, match="hands-off"):
        pools.set_desired("edge", 1)


def test_bounds_live_in_the_inventory_only(pools) -> None:
    with pytest.raises(Refused, match=r"fleet\.yaml"):
        pools.set_bounds("edge", 1, 2)


def test_a_pool_without_nodes_is_not_found_and_never_empty(edge, pools) -> None:
    edge.add("a", 0)
    with pytest.raises(NotFound, match=r"continuum\.io/node-pool=other"):
        pools.describe("other")


def budget(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {}, **spec},
            "status": {"expectedPods": 1, "disruptionsAllowed": 0}}  # fmt: skip


@pytest.mark.parametrize("spec", [{"maxUnavailable": 0}, {"maxUnavailable": "0%"}, {"minAvailable": 1},
                                  {"minAvailable": "100%"}])  # fmt: skip
def test_a_budget_that_can_never_be_met_is_named_and_nothing_is_touched(edge, pools, spec) -> None:
    for name in "ab":
        edge.add(name, 1)
    edge.budgets = [budget("guard", **spec)]
    for ask in (pools.check_close, pools.set_desired):
        with pytest.raises(Refused, match="PodDisruptionBudget shop/guard can never be met"):
            ask("edge", 1)
    assert edge.open() == ["a", "b"]
    assert edge.version == 100


@pytest.mark.parametrize("spec", [{"maxUnavailable": 1}, {"maxUnavailable": "1%"}, {"minAvailable": 0}])
def test_a_budget_that_may_be_met_later_is_waited_for(edge, pools, spec) -> None:
    for name in "ab":
        edge.add(name, 1)
    edge.budgets = [budget("guard", **spec)]
    pools.check_close("edge", 1)


def test_a_budget_of_other_pods_stops_nothing(edge, pools) -> None:
    for name in "ab":
        edge.add(name, 1)
    edge.budgets = [budget("guard", maxUnavailable=0, selector={"matchLabels": {"app": "other"}})]
    pools.check_close("edge", 1)


def test_pods_that_would_find_no_room_keep_their_nodes(edge, pools) -> None:
    for name in "abc":
        edge.add(name, 1)
        edge.nodes[name]["status"]["allocatable"] = {"cpu": "4", "memory": "16Gi"}
    edge.requests = {"cpu": "3", "memory": "1Gi"}
    with pytest.raises(Refused, match=r"its pods request 9.0 cores, the 2 nodes left have 8.0"):
        pools.set_desired("edge", 2)
    assert edge.open() == ["a", "b", "c"]
    edge.requests = {"cpu": "2500m", "memory": "1Gi"}
    pools.check_close("edge", 2)


def test_of_two_empty_nodes_the_older_one_closes(edge, pools) -> None:
    for name, born in (("a", "2026-02-01T00:00:00Z"), ("b", "2026-01-01T00:00:00Z")):
        edge.add(name, 0)
        edge.nodes[name]["metadata"]["creationTimestamp"] = born
    pools.set_desired("edge", 1)
    assert edge.open() == ["a"]
