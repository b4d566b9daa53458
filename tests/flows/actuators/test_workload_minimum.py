"""Minimums of an HPA and of a ScaledObject on the simulated cluster: raised, undone, expired, kept within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from blocks.fleet import Actuator, Fleet, Workload
from blocks.inventory import save_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store.tables import Hold, State
from blocks.store.undo import carry_out as carry_out_undo
from blocks.store.undo import undo_plan
from tasks.acting import REFUSED
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.actuators.workload import FOR_NODES, MIN_BEFORE
from tasks.scaling.pool_access import PoolAccess, open_pool
from tasks.scaling.reaper import reap
from tests.flows.actuators.scenes import JOBS, carry_out, decide, look, run_of
from tests.flows.shortcuts import with_pool

pytestmark = pytest.mark.server

HPAS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
TWICE = [{"code": "forecast-peak", "numbers": {"peak_cpu_cores": 20.0}},
         {"code": "reactive-need", "numbers": {"used_cpu_cores": 10.0}}]  # fmt: skip


@pytest.fixture
def run(fleet: Fleet) -> Iterator[Run]:
    """A workload `shop` of three pods with an HPA, that the inventory names for the pool."""
    shop = Workload(name="shop", cluster="asia-aks", node_pool="jobs")
    mine = with_pool(fleet, JOBS, actuator=Actuator.WORKLOAD).model_copy(update={"workloads": [shop]})
    save_fleet(mine, "default")
    api = open_pool(mine, JOBS).api
    container = {"name": "shop", "image": "registry.example/shop:1", "resources": {"requests": {"cpu": "50m"}}}
    labels = {"app": "shop"}
    api.create("deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
    }, "default")  # fmt: skip
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                                                                        "averageUtilization": 80}}}  # fmt: skip
    api.request("POST", HPAS, body={
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"minReplicas": 3, "maxReplicas": 5, "metrics": [metric],
                 "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}},
    })  # fmt: skip
    run = run_of(mine)
    yield run
    for hold in run.journal.holds("default"):
        run.journal.keep_hold(Hold(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    reap.fn(run)
    api.delete_at(HPAS, "shop")
    api.delete_at("/apis/apps/v1/namespaces/default/deployments", "shop")


def hpa(run: Run) -> dict[str, Any]:
    return open_pool(run.fleet, JOBS).api.request("GET", f"{HPAS}/shop")


def more(run: Run) -> int:
    return int(look(run, JOBS)[1].setting_nodes[0]) + 1


def test_the_minimum_grows_as_demand_will_within_the_maximum_and_undo_takes_it_back(run: Run) -> None:
    _, found = look(run, JOBS)
    assert (found.kind[0], found.seen[0]) == (Actuator.WORKLOAD, "horizontalpodautoscalers/default/shop 3")
    decision = decide(run, JOBS, more(run), TWICE)
    (result,) = carry_out(run, decision)
    assert result.state == State.DONE, result
    there = hpa(run)
    assert there["spec"]["minReplicas"] == 5  # twice three would pass the maximum
    assert there["metadata"]["annotations"][MIN_BEFORE] == "3"
    assert there["metadata"]["annotations"][FOR_NODES] == str(decision.content["target"])
    assert look(run, JOBS)[1].setting_nodes[0] == decision.content["target"]

    carry_out_undo(run.journal, undo_plan(run.journal, decision.id), act.APPLIERS)
    there = hpa(run)
    assert there["spec"]["minReplicas"] == 3
    assert MIN_BEFORE not in (there["metadata"].get("annotations") or {})
    assert run.journal.holds("default") == []


def test_an_expired_minimum_is_taken_back(run: Run) -> None:
    carry_out(run, decide(run, JOBS, more(run), TWICE))
    (hold,) = run.journal.holds("default")
    run.journal.keep_hold(Hold(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    (result,) = reap.fn(run)
    assert result.state == State.DONE, result
    assert hpa(run)["spec"]["minReplicas"] == 3


def test_a_minimum_that_somebody_changed_is_left_alone_and_no_longer_ours(run: Run) -> None:
    first, second = decide(run, JOBS, more(run), TWICE), decide(run, JOBS, more(run), TWICE)
    carry_out(run, first)
    open_pool(run.fleet, JOBS).api.patch_at(HPAS, "shop", {"spec": {"minReplicas": 4}})
    (result,) = carry_out(run, second)
    assert (result.state, "now has" in result.detail) == (REFUSED, True)
    (hold,) = run.journal.holds("default")
    run.journal.keep_hold(Hold(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
    (taken,) = reap.fn(run)
    assert "somebody has changed it since" in taken.detail
    assert hpa(run)["spec"]["minReplicas"] == 4
    assert run.journal.holds("default") == []


def test_an_autoscaler_in_the_hands_of_a_tool_is_no_lever(run: Run) -> None:
    from tasks.pools.observe import read_pools
    from tasks.scaling.find import find_actuators

    open_pool(run.fleet, JOBS).api.patch_at(
        HPAS, "shop", {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}}
    )
    readings = [reading for reading in read_pools(run.fleet)[0] if reading.subject == JOBS]
    found, (line,) = find_actuators(run.fleet, [], readings)
    assert found.kind[0] is Actuator.FLOOR
    assert "`workload` is not possible here: no workload with an HPA or a ScaledObject" in line


def test_a_scaled_object_goes_before_the_hpa_that_keda_makes_of_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PoolAccess, "boot_patience_s", lambda self: 0)
    api = open_pool(run.fleet, JOBS).api
    with scaled_object(api):
        _, found = look(run, JOBS)
        assert found.seen[0] == "scaledobjects/default/shop 1"
        decision = decide(run, JOBS, more(run), TWICE)
        (result,) = carry_out(run, decision)
        assert result.state in (State.DONE, State.FAILED)  # no KEDA here that would follow
        place = "/apis/keda.sh/v1alpha1/namespaces/default/scaledobjects"
        there = api.request("GET", f"{place}/shop")
        assert there["spec"]["minReplicaCount"] == 6
        assert there["metadata"]["annotations"][MIN_BEFORE] == "1"
        for hold in run.journal.holds("default"):
            run.journal.keep_hold(Hold(**hold.model_dump() | {"until": hold.until - timedelta(days=1)}))
        reap.fn(run)
        assert api.request("GET", f"{place}/shop")["spec"]["minReplicaCount"] == 1


class scaled_object:
    """A ScaledObject of `shop`, in a cluster that knows the kind for as long."""

    def __init__(self, api: KubernetesApi) -> None:
        self.api, self.crds = api, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def __enter__(self) -> None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "scaledobjects", "kind": "ScaledObject", "singular": "scaledobject"}
        self.api.request("POST", self.crds, body={
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "scaledobjects.keda.sh"},
            "spec": {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]},
        })  # fmt: skip
        self.api.create("scaledobjects", {
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "shop"},
            "spec": {"minReplicaCount": 1, "maxReplicaCount": 20, "scaleTargetRef": {"name": "shop"}},
        }, "default")  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self.api.delete_at(self.crds, "scaledobjects.keda.sh")
