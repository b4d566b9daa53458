"""A simulated cluster as the rest of the process uses it: verbs, controllers, simulated time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster, StatusError

Json = dict[str, Any]


class Play:
    """A cluster on a clock that only moves when told to."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = SimulatedClock(1_800_000_000.0, speed=0)
        self.cluster = SimulatedCluster("test", self.clock, seed, {"secret": "admin"})

    def advance(self, seconds: float) -> None:
        self.cluster.step()
        self.clock.advance(seconds)

    def node(self, name: str, **annotations: str) -> None:
        room = {"cpu": "4", "memory": "8Gi", "pods": "20"}
        metadata = {"name": name, "labels": {"continuum.io/simulated-kubelet": "true"}, "annotations": annotations}
        self.cluster.create("nodes", {"metadata": metadata, "status": {"capacity": room, "allocatable": room}})

    def deployment(self, replicas: int, cpu: str = "100m", **spec: Any) -> None:
        container = {"name": "main", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
        body = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
        self.cluster.create("deployments", {"metadata": {"name": "web"}, "spec": body})

    def pods(self) -> list[Json]:
        return self.cluster.list("pods", label_selector="app=web")

    def status(self) -> Json:
        return dict(self.cluster.get("deployments", "web")["status"])


@pytest.fixture
def play() -> Play:
    return Play()


def ready(node: Json) -> str:
    conditions = node.get("status", {}).get("conditions", [])
    return next((entry["status"] for entry in conditions if entry["type"] == "Ready"), "")


def test_a_labelled_node_is_ready_within_seconds_and_takes_pods(play: Play) -> None:
    play.node("a")
    play.deployment(3)
    play.advance(0.5)
    assert ready(play.cluster.get("nodes", "a")) == ""
    play.advance(5)
    assert ready(play.cluster.get("nodes", "a")) == "True"
    assert "taints" not in play.cluster.get("nodes", "a")["spec"]
    assert {(pod["spec"]["nodeName"], pod["status"]["phase"]) for pod in play.pods()} == {("a", "Running")}
    assert play.status()["availableReplicas"] == 3


def test_boot_seconds_delay_a_nodes_readiness(play: Play) -> None:
    play.node("a", **{"continuum.io/boot-seconds": "90"})
    play.advance(89)
    assert ready(play.cluster.get("nodes", "a")) == ""
    play.advance(2)
    assert ready(play.cluster.get("nodes", "a")) == "True"


def test_pods_spread_over_nodes_and_wait_when_none_has_room(play: Play) -> None:
    play.node("a")
    play.node("b")
    play.advance(5)
    play.deployment(9, cpu="1")
    play.advance(5)
    places = [pod["spec"].get("nodeName") for pod in play.pods()]
    assert (places.count("a"), places.count("b"), places.count(None)) == (4, 4, 1)
    waiting = next(pod for pod in play.pods() if "nodeName" not in pod["spec"])
    assert "Insufficient cpu" in waiting["status"]["conditions"][0]["message"]
    play.node("c")
    play.advance(5)
    assert play.status()["readyReplicas"] == 9


def test_a_rolling_update_keeps_to_surge_and_availability_at_every_write(play: Play) -> None:
    for name in "abc":
        play.node(name)
    play.advance(5)
    play.deployment(8, strategy={"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}})
    play.advance(5)
    seen: list[tuple[int, int]] = []

    def watch(event: Any) -> None:
        pods = [pod for pod in play.cluster.backend.store.all("pods") if "deletionTimestamp" not in pod.obj["metadata"]]
        up = [pod for pod in pods if any(entry == {**entry, "type": "Ready", "status": "True"}
                                         for entry in pod.obj["status"].get("conditions", ()))]  # fmt: skip
        seen.append((len(pods), len(up)))

    play.cluster.backend.store.listen(watch)
    play.cluster.patch("deployments", "web", {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}})
    play.advance(60)
    assert {pod["metadata"].get("annotations", {}).get("v") for pod in play.pods()} == {"2"}
    assert max(pods for pods, _ in seen) <= 10
    assert min(up for _, up in seen) >= 7


def test_a_cordoned_node_gets_no_pods_until_uncordoned(play: Play) -> None:
    play.node("a")
    play.advance(5)
    play.cluster.patch("nodes", "a", {"spec": {"unschedulable": True}})
    play.deployment(1)
    play.advance(5)
    assert "nodeName" not in play.pods()[0]["spec"]
    play.cluster.patch("nodes", "a", {"spec": {"unschedulable": None}})
    play.advance(5)
    assert play.status()["readyReplicas"] == 1


def test_a_silent_nodes_pods_are_replaced_after_grace_and_toleration(play: Play) -> None:
    play.node("a")
    play.advance(5)
    play.deployment(1)
    play.advance(5)
    play.node("b")
    play.cluster.patch("nodes", "a", {"metadata": {"annotations": {"continuum.io/kubelet-down": "true"}}})
    play.advance(41)
    assert ready(play.cluster.get("nodes", "a")) == "Unknown"
    assert len(play.pods()) == 1
    play.advance(301)
    assert sorted(pod["spec"]["nodeName"] for pod in play.pods()) == ["a", "b"]
    play.cluster.patch("nodes", "a", {"metadata": {"annotations": {"continuum.io/kubelet-down": None}}})
    play.advance(5)
    assert [pod["spec"]["nodeName"] for pod in play.pods()] == ["b"]


def test_pods_of_a_deleted_node_go_after_a_while_and_come_back_elsewhere(play: Play) -> None:
    play.node("a")
    play.advance(5)
    play.deployment(2)
    play.advance(5)
    play.node("b")
    play.cluster.delete("nodes", "a")
    play.advance(60)
    assert {pod["spec"]["nodeName"] for pod in play.pods()} == {"b"}


def test_a_job_runs_its_pods_to_completion_and_counts_each_once(play: Play) -> None:
    play.node("a")
    play.advance(5)
    template = {"metadata": {"annotations": {"continuum.io/run-seconds": "10"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "i:1"}]}}  # fmt: skip
    spec = {"completions": 3, "parallelism": 2, "template": template}
    play.cluster.create("jobs", {"metadata": {"name": "j"}, "spec": spec})
    play.advance(60)
    job = play.cluster.get("jobs", "j")
    assert job["status"]["succeeded"] == 3
    assert "active" not in job["status"]
    assert [entry["type"] for entry in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]


def test_deleting_a_namespace_takes_everything_in_it_along(play: Play) -> None:
    play.cluster.create("namespaces", {"metadata": {"name": "team"}})
    play.cluster.step()
    play.cluster.create("configmaps", {"metadata": {"name": "c"}, "data": {"k": "v"}}, "team")
    play.cluster.delete("namespaces", "team")
    play.advance(1)
    assert play.cluster.list("configmaps", "team") == []
    with pytest.raises(StatusError, match='namespaces "team" not found'):
        play.cluster.get("namespaces", "team")


def test_answers_are_copies_that_a_caller_may_change(play: Play) -> None:
    play.node("a")
    play.cluster.get("nodes", "a")["metadata"]["labels"].clear()
    play.cluster.list("nodes")[0]["status"].clear()
    assert play.cluster.get("nodes", "a")["metadata"]["labels"]
    assert play.cluster.get("nodes", "a")["status"]


def test_equal_seeds_and_calls_give_equal_clusters_and_other_seeds_other_ones() -> None:
    def story(seed: int) -> Json:
        play = Play(seed)
        play.node("a")
        play.deployment(3)
        play.advance(20)
        return play.cluster.snapshot()["objects"]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_a_restored_cluster_goes_on_where_its_snapshot_was_taken(play: Play) -> None:
    play.node("a")
    play.deployment(2)
    play.advance(10)
    snapshot = json.loads(json.dumps(play.cluster.snapshot()))
    before = {pod["metadata"]["uid"] for pod in play.pods()}
    play.cluster = SimulatedCluster.restore(snapshot, play.clock, 1, {})
    assert {pod["metadata"]["uid"] for pod in play.pods()} == before
    play.cluster.patch("deployments", "web", {"spec": {"replicas": 4}})
    play.advance(10)
    assert play.status()["readyReplicas"] == 4
    versions = [int(pod["metadata"]["resourceVersion"]) for pod in play.pods()]
    assert max(versions) > snapshot["version"]


def test_a_step_with_nothing_to_do_looks_at_nothing(play: Play) -> None:
    play.node("a")
    play.deployment(5)
    play.advance(120)
    assert play.cluster.step() == 0


def test_time_passed_without_a_step_is_played_in_order(play: Play) -> None:
    play.node("a")
    play.cluster.step()
    play.deployment(1)
    play.clock.advance(3600)
    started = play.pods()[0]["status"]["startTime"]
    assert started < play.cluster.backend.timestamp()[:14] + "59:59Z"
    assert play.status()["readyReplicas"] == 1
