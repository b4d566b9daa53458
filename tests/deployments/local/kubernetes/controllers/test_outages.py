"""What faults switch off stays off until it is switched on again, any number of times."""

from __future__ import annotations

import pytest

from deployments.local.kubernetes.outages import Outages
from tests.deployments.local.kubernetes.controllers.play import Play, condition, template

FULL = "node.kubernetes.io/disk-pressure"


def taints(play: Play, name: str) -> list[tuple[str, str]]:
    return [(taint["key"], taint["effect"]) for taint in play.get("nodes", name)["spec"].get("taints", [])]


def test_a_silent_node_is_lost_after_its_grace_and_comes_back_each_time(play: Play) -> None:
    play.nodes("a", "b")
    play.pod("p", {"nodeName": "a"})
    play.advance(5)
    for _ in range(2):
        play.cluster.set_outages(Outages(silent_nodes=frozenset({"a"})))
        play.advance(39)
        assert (play.is_ready("nodes", "a"), play.is_ready("pods", "p")) == (True, True)
        play.advance(2)
        assert condition(play.get("nodes", "a"), "Ready") == "Unknown"
        assert (play.is_ready("pods", "p"), play.is_ready("nodes", "b")) == (False, True)
        play.cluster.set_outages(Outages())
        play.advance(1)
        assert (play.is_ready("nodes", "a"), play.is_ready("pods", "p")) == (True, True)
        assert taints(play, "a") == []


def test_a_silent_nodes_pods_neither_start_nor_end(play: Play) -> None:
    play.nodes("a")
    play.pod("old")
    play.advance(5)
    play.cluster.set_outages(Outages(silent_nodes=frozenset({"a"})))
    play.pod("new", {"nodeName": "a"})
    play.cluster.delete("pods", "old")
    play.advance(60)
    assert play.phase("new") == "Pending"
    assert play.phase("old") == "Running"
    play.cluster.set_outages(Outages())
    play.advance(5)
    assert [pod["status"]["phase"] for pod in play.cluster.list("pods")] == ["Running"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_full_disk_refuses_pods_and_evicts_the_least_important_first(play: Play, times: int) -> None:
    play.nodes("a")
    few = {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}}}
    play.cluster.create("priorityclasses", {"metadata": {"name": "high"}, "value": 1000})
    play.pod("guaranteed", container=few)
    play.pod("loose")
    play.pod("high", {"priorityClassName": "high"})
    play.pod("critical", {"priorityClassName": "system-node-critical"})
    play.advance(5)
    for _ in range(times - 1):
        play.cluster.set_outages(Outages(full_disks=frozenset({"a"})))
        play.advance(5)
        play.cluster.set_outages(Outages())
        play.advance(5)
    play.cluster.set_outages(Outages(full_disks=frozenset({"a"})))
    play.advance(1)
    assert condition(play.get("nodes", "a"), "DiskPressure") == "True"
    assert taints(play, "a") == [(FULL, "NoSchedule")]
    gone = []
    for _ in range(50):
        play.advance(1)
        evicted = [pod["metadata"]["name"] for pod in play.cluster.list("pods") if pod["status"]["phase"] == "Failed"]
        gone += [name for name in evicted if name not in gone]
    assert gone == ["loose", "guaranteed", "high"]
    assert play.get("pods", "loose")["status"]["reason"] == "Evicted"
    assert "ephemeral-storage" in play.get("pods", "loose")["status"]["message"]
    play.cluster.set_outages(Outages())
    play.advance(1)
    assert (condition(play.get("nodes", "a"), "DiskPressure"), taints(play, "a")) == ("False", [])
    play.pod("next")
    play.advance(5)
    assert play.is_ready("pods", "next")


def test_a_full_disk_takes_on_no_pod_that_was_bound_to_it_all_the_same(play: Play) -> None:
    play.nodes("a")
    play.cluster.set_outages(Outages(full_disks=frozenset({"a"})))
    play.pod("p", {"nodeName": "a"})
    play.advance(1)
    assert (play.phase("p"), play.get("pods", "p")["status"]["reason"]) == ("Failed", "Evicted")


def test_a_workload_moves_away_from_a_full_disk(play: Play) -> None:
    play.nodes("a")
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
    play.cluster.create("deployments", {"metadata": {"name": "web"}, "spec": spec})
    play.advance(5)
    play.nodes("b")
    play.cluster.set_outages(Outages(full_disks=frozenset({"a"})))
    play.advance(60)
    running = [pod["spec"]["nodeName"] for pod in play.pods() if pod["status"]["phase"] == "Running"]
    assert running == ["b"] * 3


def test_pods_are_kept_unready_by_name_and_recover_each_time(play: Play) -> None:
    play.nodes("a")
    play.pod("web-1")
    play.pod("db-1")
    play.advance(5)
    for _ in range(2):
        play.cluster.set_outages(Outages(unready_pods=(("default", "web-*"),)))
        play.advance(1)
        play.pod("web-2")
        play.advance(5)
        ready = {name: play.is_ready("pods", name) for name in ("web-1", "web-2", "db-1")}
        assert ready == {"web-1": False, "web-2": False, "db-1": True}
        assert play.phase("web-2") == "Running"
        play.cluster.set_outages(Outages())
        play.advance(1)
        assert play.is_ready("pods", "web-1")
        assert play.is_ready("pods", "web-2")
        play.cluster.delete("pods", "web-2")
        play.advance(5)


def test_a_halted_cluster_does_nothing_and_catches_up_when_it_goes_on(play: Play) -> None:
    play.nodes("a")
    play.pod("job", {"restartPolicy": "Never"}, run_seconds="60")
    play.advance(5)
    for _ in range(2):
        play.cluster.set_outages(Outages(halted=True))
        play.pod("p")
        play.advance(600)
        assert (play.phase("job"), play.phase("p")) == ("Running", "Pending")
        lifted = play.cluster.backend.timestamp()
        play.cluster.set_outages(Outages())
        play.advance(5)
        assert (play.phase("job"), play.is_ready("pods", "p")) == ("Succeeded", True)
        assert play.get("pods", "p")["status"]["startTime"] >= lifted
        assert play.container("job")["state"]["terminated"]["finishedAt"] >= lifted
        play.cluster.delete("pods", "p")
        play.cluster.delete("pods", "job")
        play.advance(5)
        play.pod("job", {"restartPolicy": "Never"}, run_seconds="60")
        play.advance(5)
