"""The roles of deployments/kubernetes/ are enough for what they are for, and no more: tried on simulated clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

import deployments
from blocks.errors import Unauthorized
from blocks.fleet import Cluster, Fleet
from blocks.kubernetes import KubernetesApi
from blocks.node_pools import connect
from blocks.store.tables import Mode
from blocks.store.undo import carry_out as undo
from blocks.store.undo import undo_plan
from deployments.doctor import MORE_RIGHTS, examine
from flows.cluster_scaling import ScalingRequest, cluster_scaling
from flows.traffic_routing import TrafficRequest, traffic_routing
from flows.workload_placement import PlacementRequest, workload_placement
from tasks.scaling.act import APPLIERS
from tests.flows.actuators.scenes import BURST, carry_out, decide, look, run_of
from tests.flows.shortcuts import changes, sizes
from tests.flows.traffic_scenes import api_of, make, stored

pytestmark = pytest.mark.server

FOLDER = Path(deployments.__file__).parent / "kubernetes"
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/continuum/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/continuum/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/continuum/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def apply(cluster: Cluster, file: Path) -> None:
    """What `kubectl apply -f` does to a cluster that has none of it, as its admin."""
    token = cluster.kubernetes.token
    assert token is not None
    for document in yaml.safe_load_all(file.read_text()):
        answer = requests.post(
            f"{cluster.kubernetes.server}{PATHS[document['kind']]}", json=document, timeout=10,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
        )  # fmt: skip
        assert answer.status_code in (201, 409), answer.text


@pytest.fixture
def as_account(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Speak to every cluster as a service account: an admin's token, in whose name it impersonates the account."""
    connected = KubernetesApi.connect.__func__  # type: ignore[attr-defined]

    def become(account: str) -> None:
        for cluster in fleet.clusters:
            apply(cluster, FOLDER / f"rbac-{account}.yaml")

        def connect_as(cls: type[KubernetesApi], cluster: Cluster) -> KubernetesApi:
            api: KubernetesApi = connected(cls, cluster)
            user = f"system:serviceaccount:continuum:continuum-{account}"
            api._client.set_default_header("Impersonate-User", user)
            return api

        monkeypatch.setattr(KubernetesApi, "connect", classmethod(connect_as))

    return become


def edge(fleet: Fleet) -> Cluster:
    return next(cluster for cluster in fleet.clusters if cluster.name == "edge-munich")


def test_the_shadow_role_is_enough_for_shadow_mode(fleet: Fleet, as_account) -> None:
    as_account("shadow")
    told = cluster_scaling(ScalingRequest(mode=Mode.SHADOW))
    assert told["trouble"] == []
    assert {row["action"] for row in told["decisions"]} <= {"up", "down", "hold", "refuse"}
    assert {check.level for check in examine(fleet, act=False) if "cluster" in check.name} == {"ok"}


def test_the_shadow_role_can_write_nothing(fleet: Fleet, as_account) -> None:
    as_account("shadow")
    api = KubernetesApi.connect(edge(fleet))
    node = api.nodes()[0]["metadata"]["name"]
    pod = api.pods()[0]["metadata"]
    for write in (
        lambda: api.cordon(node),
        lambda: api.evict(pod["namespace"], pod["name"]),
        lambda: api.acquire_lease("continuum-test", "me", 60),
    ):
        with pytest.raises(Unauthorized):
            write()
    lacking = [check.detail for check in examine(fleet, act=True) if check.name == "cluster edge-munich"]
    assert "no right to patch nodes" in lacking[0]
    assert "rbac-act.yaml" in lacking[0]


def test_the_act_role_is_enough_to_act_on_edge_nodes(fleet: Fleet, as_account) -> None:
    as_account("act")
    pools = connect(edge(fleet))
    size = pools.describe("edge").desired
    pools.set_desired("edge", size - 1)
    assert pools.describe("edge").desired == size - 1
    told = cluster_scaling(ScalingRequest(mode=Mode.ACT), ["edge-munich/edge"])
    for change in changes(told):
        assert change["result"]["state"] == "done"
        assert sizes(fleet)["edge-munich/edge"] == change["target"]
    pools.set_desired("edge", size)


def test_placing_needs_its_own_role_and_looking_does_not(fleet: Fleet, as_account) -> None:
    workload = {"name": "rights", "image": "nginx:1", "cpu_cores": 0.1, "memory_gib": 0.1, "allowed": ["edge-munich"]}
    as_account("shadow")
    assert workload_placement(PlacementRequest.model_validate({"workloads": [workload]}))["trouble"] == []
    as_account("act")
    request = PlacementRequest.model_validate({"workloads": [workload], "mode": "act"})
    (refused,) = workload_placement(request)["decisions"]
    assert refused["result"]["state"] != "done"
    apply(edge(fleet), FOLDER / "rbac-place.yaml")
    (placed,) = workload_placement(request)["decisions"]
    assert placed["result"]["state"] == "done", placed
    KubernetesApi.connect(edge(fleet)).delete_at("/apis/apps/v1/namespaces/default/deployments", "rights")


def test_routing_needs_its_own_role_and_shadow_may_only_look(fleet: Fleet, as_account) -> None:
    function = {"name": "rights", "sites": ["munich", "dallas"], "capacity": {"munich": 9, "dallas": 9},
                "demand": {"munich": 1}, "routes": [{"subject": "edge-munich/gateway/default/rights",
                                                     "backends": {"munich": "a", "dallas": "b"}}]}  # fmt: skip
    make(api_of(fleet), "httproutes", "rights", {"a": 50, "b": 50})
    admin = edge(fleet)
    as_account("shadow")
    assert traffic_routing(TrafficRequest.model_validate({"functions": [function]}))["trouble"] != []
    apply(admin, FOLDER / "rbac-traffic.yaml")
    assert traffic_routing(TrafficRequest.model_validate({"functions": [function]}))["trouble"] == []
    request = TrafficRequest.model_validate({"functions": [function], "mode": "act"})
    (refused,) = traffic_routing(request)["decisions"]
    assert refused["result"]["state"] != "done"
    as_account("act")
    (row,) = traffic_routing(request)["decisions"]
    assert row["result"]["state"] == "done", row
    rule = stored(KubernetesApi.connect(admin), "httproutes", "rights")["spec"]["rules"][0]
    assert [each["weight"] for each in rule["backendRefs"]] == [70, 30]


def test_the_act_role_is_enough_to_keep_headroom_and_to_take_it_back(fleet: Fleet, as_account) -> None:
    as_account("act")
    run = run_of(fleet)
    reading, found = look(run, BURST)
    target = max(reading.ready, int(found.setting_nodes[0])) + 1
    decision = decide(run, BURST, target)
    (result,) = carry_out(run, decision)
    assert result.state == "done", result
    undo(run.journal, undo_plan(run.journal, decision.id), APPLIERS)
    assert run.journal.holds("default") == []


def test_the_doctor_names_what_other_flows_lack(fleet: Fleet, as_account) -> None:
    def told(act: bool) -> dict[str, tuple[str, str]]:
        only = fleet.model_copy(update={"clusters": [edge(fleet)]})
        checks = examine(only, act=act, flows=list(MORE_RIGHTS))
        return {each.name.removesuffix(" in edge-munich"): (each.level, each.detail) for each in checks}

    as_account("act")
    level, words = told(act=True)["workload-migration"]  # the tests above have given the rights of the others
    assert (level, "no right to" in words, "rbac-move.yaml" in words) == ("failed", True, True)
    for file in MORE_RIGHTS.values():
        apply(edge(fleet), FOLDER / file)
    assert {told(act=True)[flow][0] for flow in MORE_RIGHTS} == {"ok"}
    assert told(act=False)["workload-placement"] == ("ok", "it needs no more rights to look")
