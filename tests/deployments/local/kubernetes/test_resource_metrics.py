"""metrics.k8s.io as metrics-server answers it."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster, StatusError
from deployments.local.kubernetes.access import Access, Request, User
from deployments.local.kubernetes.controllers.api_services import METRICS_SERVICE
from deployments.local.kubernetes.outages import Outages
from deployments.local.kubernetes.usage import Usage

Json = dict[str, Any]

LABEL = {"continuum.io/simulated-kubelet": "true"}


def container(name: str, cpu: str, memory: str) -> Json:
    return {"name": name, "image": "i:1", "resources": {"requests": {"cpu": cpu, "memory": memory}}}


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(1_800_000_000.0, speed=0)


@pytest.fixture
def cluster(clock: SimulatedClock) -> SimulatedCluster:
    """A node, a pod with two containers, and no time gone by."""
    cluster = SimulatedCluster("test", clock, 1, metrics_server=True)
    room = {"cpu": "4", "memory": "8Gi", "pods": "20"}
    cluster.create("nodes", {"metadata": {"name": "a", "labels": LABEL}, "status": {"capacity": room,
                                                                                   "allocatable": room}})  # fmt: skip
    spec = {"containers": [container("main", "300m", "100Mi"), container("side", "100m", "100Mi")]}
    cluster.create("pods", {"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": spec})
    cluster.step()
    return cluster


def test_a_pods_use_is_told_per_container_in_proportion_to_its_requests(
    cluster: SimulatedCluster, clock: SimulatedClock
) -> None:
    cluster.backend.usage = lambda _pod: Usage(0.2, 40 * 2**20)
    clock.advance(60)
    metrics = cluster.get("pods.metrics.k8s.io", "p")
    assert (metrics["kind"], metrics["window"], metrics["metadata"]["labels"]) == ("PodMetrics", "15s", {"app": "web"})
    assert metrics["containers"] == [
        {"name": "main", "usage": {"cpu": "150000000n", "memory": "20480Ki"}},
        {"name": "side", "usage": {"cpu": "50000000n", "memory": "20480Ki"}},
    ]


def test_a_node_uses_what_its_pods_use_and_a_share_for_the_system(
    cluster: SimulatedCluster, clock: SimulatedClock
) -> None:
    cluster.backend.usage = lambda _pod: Usage(0.2, 40 * 2**20)
    clock.advance(60)
    assert cluster.get("nodes.metrics.k8s.io", "a")["usage"] == {"cpu": "280000000n", "memory": f"{40960 + 419430}Ki"}


def test_nothing_is_told_of_pods_and_nodes_before_a_window_has_passed(
    cluster: SimulatedCluster, clock: SimulatedClock
) -> None:
    clock.advance(10)
    assert cluster.list("pods.metrics.k8s.io") == cluster.list("nodes.metrics.k8s.io") == []
    with pytest.raises(StatusError) as refused:
        cluster.get("pods.metrics.k8s.io", "p")
    assert (refused.value.code, refused.value.message) == (404, 'pods.metrics.k8s.io "p" not found')


def test_a_silent_node_and_its_pods_have_no_metrics(cluster: SimulatedCluster, clock: SimulatedClock) -> None:
    clock.advance(60)
    cluster.set_outages(Outages(silent_nodes=frozenset({"a"})))
    assert cluster.list("pods.metrics.k8s.io") == cluster.list("nodes.metrics.k8s.io") == []


def test_metrics_are_selected_by_label_and_name(cluster: SimulatedCluster, clock: SimulatedClock) -> None:
    clock.advance(60)
    assert len(cluster.list("pods.metrics.k8s.io", "default", "app=web")) == 1
    assert cluster.list("pods.metrics.k8s.io", "default", "app=other") == []
    assert cluster.list("pods.metrics.k8s.io", None, None, "metadata.name=other") == []


def test_a_cluster_without_metrics_server_does_not_know_the_group(clock: SimulatedClock) -> None:
    with pytest.raises(KeyError):
        SimulatedCluster("plain", clock).list("pods.metrics.k8s.io")


def test_operator_and_viewer_may_read_metrics(cluster: SimulatedCluster) -> None:
    access = Access(cluster.backend, {})
    for role in ("operator", "viewer"):
        user = User(f"continuum:{role}", (f"continuum:{role}",))
        assert access.allows(user, Request("list", "metrics.k8s.io", "pods", namespace="default"))
        assert access.allows(user, Request("get", "metrics.k8s.io", "nodes", name="a"))


def test_registering_metrics_server_as_its_manifest_does_brings_the_group(clock: SimulatedClock) -> None:
    cluster = SimulatedCluster("test", clock, 1)
    cluster.create("apiservices", METRICS_SERVICE)
    cluster.step()
    assert "metrics.k8s.io" in cluster.backend.registry.groups()
    restored = SimulatedCluster.restore(cluster.snapshot(), clock)
    assert "metrics.k8s.io" in restored.backend.registry.groups()
    restored.delete("apiservices", METRICS_SERVICE["metadata"]["name"])
    restored.step()
    assert "metrics.k8s.io" not in restored.backend.registry.groups()
