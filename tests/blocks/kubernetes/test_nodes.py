from __future__ import annotations

from typing import Any

import pytest

from blocks.errors import Conflict, Refused, Unreachable
from blocks.fleet import Cluster, Provider
from blocks.kubernetes import KubernetesApi, PoolNodes, count_by_pool, owner
from blocks.kubernetes.connection import _client

POOLS = [{"name": "edge", "instance_type": "box", "min_nodes": 0, "max_nodes": 9, "node_cpu": 4, "node_memory": "16Gi"}]


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    controller = {"ownerReferences": [{"kind": "ReplicaSet", "controller": True}]}
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"u-{name}", **controller, **metadata}, "status": {}}


class PodServer:
    """Lists pods; `says` gives the answers to evictions of a pod, in order; a pod that is evicted goes."""

    def __init__(self, server: Any, *pods: dict[str, Any]) -> None:
        self.server, self.pods = server, list(pods)
        self.says: dict[str, list[int]] = {}
        self.evicted: list[str] = []
        self.stay = False
        server.handler = self.answer

    def answer(self, asked: Any) -> Any:
        if asked.method == "GET":
            return self.server.as_json({"items": self.pods})
        name = asked.path.split("/")[-2]
        code = self.says.get(name, []).pop(0) if self.says.get(name) else 201
        if code == 201 and not self.stay:
            self.pods = [kept for kept in self.pods if kept["metadata"]["name"] != name]
        if code == 201:
            self.evicted.append(name)
        kind = "more than one PodDisruptionBudget" if code == 500 else "disruption budget"
        return self.server.as_json({"kind": "Status", "message": kind, "code": code}, code)


@pytest.fixture
def api(server, fake_time) -> KubernetesApi:
    cluster = Cluster(name="c", site="s", provider="k3s", kubernetes={"server": server.url}, node_pools=POOLS)
    return KubernetesApi("c", _client(cluster), clock=fake_time.clock, sleep=fake_time.sleep)


def test_an_eviction_waits_with_growing_pauses_while_the_budget_is_spent(server, api, fake_time) -> None:
    pods = PodServer(server, pod("a"))
    pods.says["a"] = [429, 429, 429]
    api.evict("shop", "a", uid="u-a")
    assert (pods.evicted, fake_time.slept) == (["a"], [0.1, 0.2, 0.4])
    assert server.asked[0].path == "/api/v1/namespaces/shop/pods/a/eviction"
    assert server.asked[0].json()["deleteOptions"] == {"preconditions": {"uid": "u-a"}}


def test_an_eviction_that_is_never_allowed_is_refused_at_the_deadline_and_never_forced(server, api, fake_time) -> None:
    pods = PodServer(server, pod("a"))
    pods.says["a"] = [429] * 1000
    with pytest.raises(Refused, match=r"pod shop/a is not evicted.*disruption budget.*60 s"):
        api.evict("shop", "a", timeout_s=60)
    assert 55 <= fake_time.now_s <= 60
    assert {asked.method for asked in server.asked} == {"POST"}


def test_a_pod_under_two_budgets_is_refused_and_not_tried_again(server, api, fake_time) -> None:
    PodServer(server, pod("a")).says["a"] = [500]
    with pytest.raises(Refused, match="more than one"):
        api.evict("shop", "a")
    assert fake_time.slept == []


@pytest.mark.parametrize("code", [404, 409])
def test_a_pod_that_is_gone_or_replaced_counts_as_evicted(server, api, code) -> None:
    PodServer(server, pod("a")).says["a"] = [code]
    api.evict("shop", "a", uid="u-a")


def test_a_broken_server_is_no_refusal(server, api) -> None:
    server.answers(server.as_json({"message": "etcd is down"}, 500))
    with pytest.raises(Unreachable, match="etcd"):
        api.evict("shop", "a")


def test_a_drain_leaves_what_belongs_to_the_node(server, api) -> None:
    daemon = pod("daemon", ownerReferences=[{"kind": "DaemonSet", "controller": True}])
    mirror = pod("mirror", annotations={"kubernetes.io/config.mirror": "x"})
    done = pod("done") | {"status": {"phase": "Succeeded"}}
    pods = PodServer(server, pod("a"), daemon, mirror, done, pod("b"))
    assert api.drain("n1") == 2
    assert pods.evicted == ["a", "b"]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"ownerReferences": []}, "no controller"),
        ({"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}}, "safe-to-evict"),
    ],
)
def test_a_drain_that_would_lose_a_pod_evicts_nothing(server, api, metadata, words) -> None:
    pods = PodServer(server, pod("a"), pod("b", **metadata))
    with pytest.raises(Refused, match=words):
        api.drain("n1")
    assert pods.evicted == []


def test_a_drain_whose_pods_do_not_end_is_refused_at_the_deadline(server, api, fake_time) -> None:
    PodServer(server, pod("a"), pod("b")).stay = True
    with pytest.raises(Refused, match=r"2 pods are still on node n1 after 30 s"):
        api.drain("n1", timeout_s=30)
    assert fake_time.now_s <= 30


def test_a_stale_cordon_is_a_conflict(server, api) -> None:
    server.answers(server.as_json({"kind": "Status", "message": "the object has been modified", "code": 409}, 409))
    with pytest.raises(Conflict, match="modified"):
        api.cordon("n1", resource_version="1")


def test_nodes_are_counted_by_the_providers_own_label(server, api) -> None:
    def node(name, ready, closed=False):
        return {
            "metadata": {"name": name, "labels": {"eks.amazonaws.com/nodegroup": "web"}},
            "spec": {"unschedulable": closed},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }

    server.answers(server.as_json({"items": [node("a", "True"), node("b", "Unknown"), node("c", "True", closed=True)]}))
    assert count_by_pool(api.nodes(), Provider.EKS) == {"web": PoolNodes(nodes=3, ready=2, schedulable=1)}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, None),
        ({"labels": {"app.kubernetes.io/instance": "web"}}, None),
        ({"annotations": {"continuum.io/hands-off": "true"}}, "hands-off"),
        ({"labels": {"continuum.io/hands-off": "false"}}, None),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "web:apps/Deployment:shop/web"}}, "argo-cd"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "flux"),
        ({"managedFields": [{"manager": "kubectl"}, {"manager": "helm-controller"}]}, "flux"),
    ],
)
def test_the_owner_of_an_object_is_found_by_its_marks_and_writers(metadata, expected) -> None:
    assert owner({"metadata": metadata}) == expected
