"""The scheduler: where pods go, for whom others leave, and what is said when neither helps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.trees import condition

Json = dict[str, Any]
KUBELET = "continuum.io/simulated-kubelet"


@pytest.fixture
def cluster() -> SimulatedCluster:
    return fresh()


def fresh() -> SimulatedCluster:
    return SimulatedCluster("c", SimulatedClock(1_900_000_000.0, 0), 7)


def wait(cluster: SimulatedCluster, seconds: float = 5.0) -> None:
    cluster._clock.advance(seconds)
    cluster.step()


def node(cluster: SimulatedCluster, name: str, cpu: str = "4", *, played: bool = True, **more: Any) -> None:
    room = {"cpu": cpu, "memory": "16Gi", "pods": "20", **more.pop("room", {})}
    labels = {KUBELET: "true" if played else "false", "kubernetes.io/hostname": name, **more.pop("labels", {})}
    ready = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    cluster.create("nodes", {"metadata": {"name": name, "labels": labels}, "spec": more,
                             "status": {"capacity": room, "allocatable": room, "conditions": ready}})  # fmt: skip
    wait(cluster)


def pod(cluster: SimulatedCluster, name: str, cpu: str = "1", *, labels: Json | None = None, **spec: Any) -> None:
    requests = {"cpu": cpu, "memory": "64Mi", **spec.pop("asks", {})}
    container = {"name": "m", "image": "i:1", "resources": {"requests": requests}, **spec.pop("container", {})}
    cluster.create("pods", {"metadata": {"name": name, "labels": labels or {"app": name}},
                            "spec": {"containers": [container], **spec}}, "default")  # fmt: skip
    cluster.step()


def where(cluster: SimulatedCluster, name: str) -> str:
    return str(cluster.get("pods", name, "default")["spec"].get("nodeName", ""))


def why(cluster: SimulatedCluster, name: str) -> str:
    return str((condition(cluster.get("pods", name, "default"), "PodScheduled") or {}).get("message", ""))


def priority(cluster: SimulatedCluster, name: str, value: int, **more: Any) -> str:
    cluster.create("priorityclasses", {"metadata": {"name": name}, "value": value, **more})
    return name


def test_the_words_are_those_of_the_real_scheduler(cluster: SimulatedCluster) -> None:
    pod(cluster, "early")
    assert why(cluster, "early") == "no nodes available to schedule pods"
    node(cluster, "a", "1", unschedulable=True)
    node(cluster, "b", "1")
    node(cluster, "c", "1", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    pod(cluster, "picky", nodeSelector={"disk": "ssd"})
    pod(cluster, "large", "2")
    assert why(cluster, "picky") == (
        "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated "
        "taint(s), 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/3 nodes are available: "
        "3 Preemption is not helpful for scheduling."
    )
    assert "1 Insufficient cpu" in why(cluster, "large")


def test_a_pod_goes_to_the_emptier_node_and_repels_taints_it_does_not_tolerate(cluster: SimulatedCluster) -> None:
    node(cluster, "a")
    node(cluster, "b")
    node(cluster, "c", taints=[{"key": "k", "effect": "NoSchedule"}])
    pod(cluster, "one", "2")
    pod(cluster, "two", "2")
    pod(cluster, "three", "1", tolerations=[{"key": "k", "operator": "Exists"}])
    assert {where(cluster, "one"), where(cluster, "two")} == {"a", "b"}
    assert where(cluster, "three") == "c"


def test_pause_pods_of_negative_priority_make_room_and_wait(cluster: SimulatedCluster) -> None:
    node(cluster, "a", "2")
    priority(cluster, "headroom", -10)
    for number in (1, 2):
        pod(cluster, f"pause-{number}", priorityClassName="headroom", terminationGracePeriodSeconds=0)
    wait(cluster)
    pod(cluster, "work")
    assert cluster.get("pods", "work", "default")["status"].get("nominatedNodeName") in ("a", None)
    wait(cluster, 10)
    assert where(cluster, "work") == "a"
    left = [each["metadata"]["name"] for each in cluster.list("pods", "default")]
    assert len([name for name in left if name.startswith("pause")]) == 1


def test_the_victim_is_told_why_it_goes(cluster: SimulatedCluster) -> None:
    node(cluster, "a", "1")
    pod(cluster, "low", terminationGracePeriodSeconds=30)
    wait(cluster)
    pod(cluster, "high", priorityClassName=priority(cluster, "high", 100))
    low = cluster.get("pods", "low", "default")
    assert "deletionTimestamp" in low["metadata"]
    assert (condition(low, "DisruptionTarget") or {})["reason"] == "PreemptionByScheduler"
    assert cluster.get("pods", "high", "default")["status"]["nominatedNodeName"] == "a"
    reasons = {event["reason"] for event in cluster.list("events", "default")}
    assert {"Preempted", "FailedScheduling"} <= reasons
    wait(cluster, 40)
    assert where(cluster, "high") == "a"


def test_a_class_that_never_preempts_waits(cluster: SimulatedCluster) -> None:
    node(cluster, "a", "1")
    pod(cluster, "low")
    wait(cluster)
    pod(cluster, "polite", priorityClassName=priority(cluster, "polite", 100, preemptionPolicy="Never"))
    wait(cluster, 60)
    assert (where(cluster, "low"), where(cluster, "polite")) == ("a", "")


def test_pods_that_fight_for_room_that_never_comes_free_come_to_rest(cluster: SimulatedCluster) -> None:
    """Nobody plays the node, so its pod terminates for ever; both others want its room."""
    node(cluster, "a", "1", played=False)
    cluster.patch("nodes", "a", {"spec": {"taints": None}})
    pod(cluster, "stuck")
    assert where(cluster, "stuck") == "a"
    cluster.delete("pods", "stuck", "default")
    pod(cluster, "middle", priorityClassName=priority(cluster, "middle", 5))
    pod(cluster, "high", priorityClassName=priority(cluster, "high", 10))
    wait(cluster, 60)
    assert (where(cluster, "middle"), where(cluster, "high")) == ("", "")


def test_a_pod_with_gates_waits_until_they_are_gone(cluster: SimulatedCluster) -> None:
    node(cluster, "a")
    pod(cluster, "gated", schedulingGates=[{"name": "quota.example/wait"}])
    found = condition(cluster.get("pods", "gated", "default"), "PodScheduled") or {}
    assert (found["reason"], where(cluster, "gated")) == ("SchedulingGated", "")
    cluster.patch("pods", "gated", {"spec": {"schedulingGates": None}}, "merge", "default")
    cluster.step()
    assert where(cluster, "gated") == "a"


def test_anti_affinity_keeps_pods_of_one_label_apart(cluster: SimulatedCluster) -> None:
    node(cluster, "a")
    node(cluster, "b")
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    for number in range(3):
        pod(cluster, f"db-{number}", labels={"app": "db"}, affinity=apart)
    assert sorted(where(cluster, f"db-{number}") for number in range(3)) == ["", "a", "b"]
    assert "didn't match pod anti-affinity rules" in why(cluster, "db-2")


def test_a_spread_constraint_holds_max_skew(cluster: SimulatedCluster) -> None:
    node(cluster, "a", "20", labels={"zone": "x"})
    node(cluster, "b", "2", labels={"zone": "y"})
    rule = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "s"}}}  # fmt: skip
    for number in range(6):
        pod(cluster, f"s-{number}", labels={"app": "s"}, topologySpreadConstraints=[rule])
    places = [where(cluster, f"s-{number}") for number in range(6)]
    assert (places.count("a"), places.count("b"), places.count("")) == (3, 2, 1)


def test_extended_resources_and_host_ports_are_counted(cluster: SimulatedCluster) -> None:
    node(cluster, "a", room={"nvidia.com/gpu": "1"})
    gpu = {"resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}}
    pod(cluster, "first", container=gpu)
    pod(cluster, "second", container=gpu)
    assert (where(cluster, "first"), where(cluster, "second")) == ("a", "")
    assert "Insufficient nvidia.com/gpu" in why(cluster, "second")
    port = {"ports": [{"containerPort": 80, "hostPort": 80}]}
    pod(cluster, "web", container=port)
    pod(cluster, "rival", container=port)
    assert (where(cluster, "web"), where(cluster, "rival")) == ("a", "")


SIZES = st.sampled_from(["0", "250m", "500m", "1", "1500m"])


@settings(max_examples=30)
@given(
    nodes=st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=4),
    pods=st.lists(st.tuples(SIZES, st.sampled_from([-10, 0, 10]), st.booleans()), max_size=14),
)
def test_no_node_is_overfull_and_nobody_waits_who_would_fit(
    nodes: list[str], pods: list[tuple[str, int, bool]]
) -> None:
    """Against a count by brute force, after the dust of preemption has settled."""
    cluster = fresh()
    for value in (-10, 10):
        priority(cluster, f"p{abs(value)}{'low' if value < 0 else ''}", value)
    names = {-10: "p10low", 10: "p10"}
    for number, cpu in enumerate(nodes):
        node(cluster, f"n{number}", cpu, labels={"even": str(number % 2 == 0)})
    for number, (cpu, value, picky) in enumerate(pods):
        spec: Json = {"priorityClassName": names[value]} if value else {}
        spec |= {"nodeSelector": {"even": "True"}} if picky else {}
        pod(cluster, f"p{number}", cpu, terminationGracePeriodSeconds=1, **spec)
    wait(cluster, 120)
    millis = {"0": 0, "250m": 250, "500m": 500, "1": 1000, "1500m": 1500, "2": 2000, "3": 3000}
    left = {f"n{number}": millis[cpu] for number, cpu in enumerate(nodes)}
    placed, waiting = {}, []
    for each in cluster.list("pods", "default"):
        asked = millis[pods[int(each["metadata"]["name"][1:])][0]]
        if name := each["spec"].get("nodeName"):
            left[name] -= asked
            placed[each["metadata"]["name"]] = each
        else:
            waiting.append((each, asked))
    assert all(room >= 0 for room in left.values())
    for each, asked in waiting:
        picky = "nodeSelector" in each["spec"]
        fitting = [name for name, room in left.items() if room >= asked and not (picky and int(name[1:]) % 2)]
        assert not fitting, f"{each['metadata']['name']} waits though {fitting} have room"
