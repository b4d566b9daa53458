"""What pods request of each pool, which wait for it, and which nodes may leave."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.fleet import Provider
from blocks.kubernetes.pod_requests import admits, pod_requests, pods_by_pool

LABEL = "continuum.io/node-pool"


def node(name: str, pool: str = "edge", taints: list[dict[str, Any]] | None = None, **labels: str) -> dict[str, Any]:
    allocatable = {"cpu": "4", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": "2"}
    return {
        "metadata": {"name": name, "labels": {LABEL: pool, **labels}},
        "spec": {"taints": taints or []},
        "status": {"allocatable": allocatable},
    }


def pod(name: str, on: str = "", cpu: str = "1", owner: str = "ReplicaSet", **more: Any) -> dict[str, Any]:
    spec = {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}], **more.pop("spec", {})}
    spec |= {"nodeName": on} if on else {}
    status = {"phase": "Running"} if on else {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    }  # fmt: skip
    owners = [{"kind": owner, "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "ownerReferences": owners, "labels": more.pop("labels", {})}
    return {"metadata": metadata | more.pop("metadata", {}), "spec": spec, "status": status | more}


def of(nodes, pods, budgets=(), pool="edge"):
    return pods_by_pool(nodes, pods, list(budgets), Provider.K3S)[pool]


def test_the_pods_on_a_pools_nodes_and_those_that_wait_for_it_are_added_up():
    found = of([node("a"), node("b")], [pod("p", "a"), pod("q", "b", cpu="500m"), pod("w")])
    assert found.requested.cpu_cores == pytest.approx(2.5)
    assert found.requested.memory_bytes == pytest.approx(3 * 2**30)
    assert (found.pods, found.pending) == (3, 1)


def test_what_daemons_take_of_every_node_makes_the_nodes_smaller():
    daemons = [pod(f"d-{name}", name, cpu="1", owner="DaemonSet") for name in "ab"]
    found = of([node("a"), node("b")], [*daemons, pod("p", "a", cpu="3")])
    assert found.requested.cpu_cores / 4 == pytest.approx(1.0)  # three cores fill a node that has three left
    assert found.node_pods == 109


def test_finished_pods_and_spare_room_of_negative_priority_count_nothing():
    pods = [pod("done", "a", phase="Succeeded"), pod("pause", "a", spec={"priority": -10})]
    assert of([node("a")], pods).requested.cpu_cores == 0


def test_a_pod_that_another_pool_must_serve_does_not_wait_for_this_one():
    nodes = [node("a"), node("g", pool="gpu", taints=[{"key": "gpu", "value": "", "effect": "NoSchedule"}])]
    tolerates = {"tolerations": [{"key": "gpu", "operator": "Exists"}], "nodeSelector": {LABEL: "gpu"}}
    pods = [pod("plain"), pod("gpu", spec=tolerates)]
    assert [of(nodes, pods, pool=pool).pending for pool in ("edge", "gpu")] == [1, 1]


@pytest.mark.parametrize(
    ("spec", "admitted"),
    [
        ({}, True),
        ({"nodeSelector": {"zone": "a"}}, True),
        ({"nodeSelector": {"zone": "b"}}, False),
        ({"affinity": ("In", ["a", "b"])}, True),
        ({"affinity": ("NotIn", ["a"])}, False),
        ({"affinity": ("Exists", [])}, True),
        ({"affinity": ("DoesNotExist", [])}, False),
    ],
)
def test_a_node_admits_by_selector_and_affinity(spec, admitted):
    if "affinity" in spec:
        operator, values = spec["affinity"]
        terms = [{"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec = {"affinity": {"nodeAffinity": required}}
    assert admits(node("a", zone="a"), {"spec": spec}) is admitted


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_is_admitted_by_a_toleration_of_it(toleration, admitted):
    tainted = node("a", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert admits(tainted, {"spec": {"tolerations": [toleration]}}) is admitted


def test_a_pod_counts_its_containers_or_its_largest_init_container_and_its_overhead():
    def container(cpu: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}}

    spec = {"containers": [container("1"), container("500m")], "initContainers": [container("2")],
            "overhead": {"cpu": "100m"}}  # fmt: skip
    assert pod_requests({"spec": spec}).cpu_cores == pytest.approx(2.1)


def test_a_node_is_held_by_a_pod_that_can_never_be_moved():
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "one"}}},
        "status": {"expectedPods": 1, "desiredHealthy": 1},
    }
    nodes = [node(name) for name in "abcd"]
    pods = [
        pod("guarded", "a", labels={"app": "one"}),
        pod("bare", "b", owner=""),
        pod("kept", "c", metadata={"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}}),
        pod("free", "d", labels={"app": "two"}),
    ]
    assert of(nodes, pods, [budget]).removable == 1
    assert of(nodes, pods).removable == 2


def test_a_node_that_its_cloud_takes_back_is_seen_by_its_taint():
    going = node("a", taints=[{"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}])
    assert of([going, node("b")], []).interrupted == 1


def test_a_node_that_names_no_number_of_pods_leaves_it_unknown():
    silent = node("a")
    del silent["status"]["allocatable"]["pods"]
    assert of([silent], []).node_pods is None
