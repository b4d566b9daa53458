"""HorizontalPodAutoscalers over simulated workloads, from metrics to replicas."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.usage import Usage

Json = dict[str, Any]

CPU_50 = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
QUEUE = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "10"}}}


class Play:
    """Two nodes and a Deployment `web`, every pod using `share` of the 100m that it requests."""

    def __init__(self, *, metrics_server: bool = True) -> None:
        self.clock, self.share = SimulatedClock(1_800_000_000.0, speed=0), 0.5
        self.cluster = SimulatedCluster("test", self.clock, 1, metrics_server=metrics_server)
        self.cluster.backend.usage = lambda _pod: Usage(0.1 * self.share, 1e6)
        for name in ("a", "b"):
            room = {"cpu": "16", "memory": "32Gi", "pods": "60"}
            metadata = {"name": name, "labels": {"continuum.io/simulated-kubelet": "true"}}
            self.cluster.create("nodes", {"metadata": metadata, "status": {"capacity": room, "allocatable": room}})
        self.workload("web")
        self.advance(10)

    def workload(self, name: str, replicas: int = 4, labels: Json | None = None) -> None:
        container = {"name": "main", "image": "i:1", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}
        labels = labels or {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.cluster.create("deployments", {"metadata": {"name": name}, "spec": spec})

    def scaler(self, *metrics: Json, name: str = "web", target: Json | None = None, **spec: Any) -> None:
        target = target or {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        body = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10, **spec}
        body |= {"metrics": list(metrics)} if metrics else {}
        self.cluster.create("horizontalpodautoscalers", {"metadata": {"name": name}, "spec": body})

    def advance(self, seconds: float) -> None:
        self.cluster.step()
        self.clock.advance(seconds)

    def replicas(self, name: str = "web") -> int:
        return int(self.cluster.get("deployments", name)["spec"]["replicas"])

    def status(self, name: str = "web") -> Json:
        return dict(self.cluster.get("horizontalpodautoscalers", name).get("status", {}))

    def reasons(self, name: str = "web") -> dict[str, tuple[str, str]]:
        return {entry["type"]: (entry["status"], entry["reason"]) for entry in self.status(name)["conditions"]}

    def events(self) -> list[str]:
        return [entry["reason"] for entry in self.cluster.list("events", "default")
                if entry["involvedObject"]["kind"] == "HorizontalPodAutoscaler"]  # fmt: skip


@pytest.fixture
def play() -> Play:
    return Play()


def test_replicas_follow_what_pods_use_up_at_once_and_down_after_five_minutes(play: Play) -> None:
    play.scaler(CPU_50)
    play.advance(60)
    assert play.replicas() == 4
    play.share = 0.9
    play.advance(15)
    assert play.replicas() == 8
    play.share = 0.2
    play.advance(285)
    assert play.replicas() == 8
    assert play.reasons()["AbleToScale"] == ("True", "ScaleDownStabilized")
    play.advance(60)
    assert play.replicas() == 4


def test_the_first_look_comes_a_sync_period_after_creation(play: Play) -> None:
    play.share = 1.0
    play.advance(60)
    play.scaler(CPU_50)
    play.advance(14)
    assert (play.replicas(), play.status()) == (4, {})
    play.advance(1)
    assert play.replicas() == 8


def test_the_status_tells_counts_metrics_conditions_and_the_generation_seen(play: Play) -> None:
    play.share = 1.0
    play.scaler(CPU_50, maxReplicas=6)
    play.advance(60)
    status = play.status()
    assert (status["currentReplicas"], status["desiredReplicas"], status["observedGeneration"]) == (6, 6, 1)
    assert status["currentMetrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": 100, "averageValue": "100m"}},
        }
    ]
    assert play.reasons() == {
        "AbleToScale": ("True", "ReadyForNewScale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("True", "TooManyReplicas"),
    }
    assert "SuccessfulRescale" in play.events()
    assert "lastScaleTime" in status


def test_the_metric_that_asks_for_most_wins(play: Play) -> None:
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue",
                                                                         "averageValue": "400k"}}}  # fmt: skip
    play.share = 0.1
    play.scaler(CPU_50, memory)
    play.advance(60)
    assert play.replicas() == 10


def test_a_metric_of_one_container_is_read(play: Play) -> None:
    target = {"type": "Utilization", "averageUtilization": 50}
    source = {"name": "cpu", "container": "main", "target": target}
    play.share = 0.75
    play.scaler({"type": "ContainerResource", "containerResource": source})
    play.advance(30)
    assert play.replicas() == 6
    source["container"] = "other"
    play.scaler({"type": "ContainerResource", "containerResource": source}, name="other")
    play.cluster.delete("horizontalpodautoscalers", "web")
    play.advance(45)
    assert play.reasons("other")["ScalingActive"] == ("False", "FailedGetContainerResourceMetric")


def test_a_metric_that_nobody_serves_stops_scaling_down_but_not_up(play: Play) -> None:
    play.scaler(CPU_50, QUEUE)
    play.share = 0.1
    play.advance(600)
    assert (play.replicas(), play.reasons()["ScalingActive"]) == (4, ("False", "FailedGetExternalMetric"))
    play.share = 1.0
    play.advance(30)
    assert play.replicas() > 4
    assert play.reasons()["ScalingActive"] == ("True", "ValidMetricFound")


@pytest.mark.parametrize(("part", "reason"), [("pods", "FailedGetPodsMetric"), ("object", "FailedGetObjectMetric")])
def test_custom_metrics_fail_with_their_own_reason(play: Play, part: str, reason: str) -> None:
    target = {"type": "AverageValue", "averageValue": "10"}
    about = {"describedObject": {"kind": "Service", "name": "s"}} if part == "object" else {}
    play.scaler({"type": part.title(), part: {"metric": {"name": "rps"}, "target": target, **about}})
    play.advance(30)
    assert play.reasons()["ScalingActive"] == ("False", reason)


def test_without_metrics_server_floor_and_ceiling_are_held() -> None:
    play = Play(metrics_server=False)
    play.scaler(CPU_50, minReplicas=6)
    play.advance(15)
    assert play.replicas() == 6
    play.advance(15)
    assert play.reasons()["ScalingActive"] == ("False", "FailedGetResourceMetric")
    play.cluster.patch("horizontalpodautoscalers", "web", {"spec": {"minReplicas": 1, "maxReplicas": 3}})
    play.advance(15)
    assert play.replicas() == 3


def test_a_workload_at_zero_is_left_alone(play: Play) -> None:
    play.scaler(CPU_50)
    play.cluster.patch("deployments", "web", {"spec": {"replicas": 0}})
    play.advance(60)
    assert (play.replicas(), play.reasons()["ScalingActive"]) == (0, ("False", "ScalingDisabled"))


@pytest.mark.parametrize(
    ("kind", "version"), [("Deployment", "apps/v1"), ("Nothing", "example.com/v1"), ("DaemonSet", "apps/v1")]
)
def test_a_target_that_cannot_be_scaled_is_reported(play: Play, kind: str, version: str) -> None:
    play.scaler(CPU_50, target={"apiVersion": version, "kind": kind, "name": "missing"})
    play.advance(30)
    assert play.reasons() == {"AbleToScale": ("False", "FailedGetScale")}
    assert play.status()["desiredReplicas"] == 0


def test_two_autoscalers_over_one_workload_do_nothing(play: Play) -> None:
    play.share = 1.0
    play.scaler(CPU_50)
    play.scaler(CPU_50, name="rival")
    play.advance(60)
    assert play.replicas() == 8  # the first had its look before the second was known
    assert play.reasons()["ScalingActive"] == play.reasons("rival")["ScalingActive"] == ("False", "AmbiguousSelector")
    play.cluster.delete("horizontalpodautoscalers", "rival")
    play.advance(15)
    assert play.reasons()["ScalingActive"] == ("True", "ValidMetricFound")


def test_behavior_limits_the_pace(play: Play) -> None:
    up = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}
    play.advance(60)
    play.share = 1.0
    play.scaler(CPU_50, behavior={"scaleUp": up})
    play.advance(15)
    assert (play.replicas(), play.reasons()["ScalingLimited"]) == (5, ("True", "ScaleUpLimit"))
    play.advance(45)
    assert play.replicas() == 5
    play.advance(15)
    assert play.replicas() == 6


def test_a_custom_resource_with_a_scale_is_scaled(play: Play) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
             "labelSelectorPath": ".status.selector"}  # fmt: skip
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}, "scale": scale},
               "schema": {"openAPIV3Schema": loose}}  # fmt: skip
    names = {"plural": "farms", "singular": "farm", "kind": "Farm"}
    play.cluster.create("customresourcedefinitions", {"metadata": {"name": "farms.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}})  # fmt: skip
    play.cluster.step()
    play.cluster.create("farms.example.com", {"metadata": {"name": "f"}, "spec": {"replicas": 2}})
    play.scaler(CPU_50, target={"apiVersion": "example.com/v1", "kind": "Farm", "name": "f"})
    play.advance(30)
    assert play.reasons()["ScalingActive"] == ("False", "InvalidSelector")
    selector = {"status": {"selector": "app=web", "replicas": 2}}
    play.cluster.patch("farms.example.com", "f", selector, subresource="status")
    play.share = 1.0
    play.advance(15)
    assert play.cluster.get("farms.example.com", "f")["spec"]["replicas"] == 4  # twice as many at once


def test_after_a_restart_the_autoscaler_remembers_nothing_and_goes_on(play: Play) -> None:
    play.share = 1.0
    play.scaler(CPU_50)
    play.advance(60)
    assert play.replicas() == 10
    restored = SimulatedCluster.restore(play.cluster.snapshot(), play.clock)
    restored.backend.usage = lambda _pod: Usage(0.02, 1e6)
    play.clock.advance(60)
    assert restored.get("deployments", "web")["spec"]["replicas"] == 10
    play.clock.advance(300)
    assert restored.get("deployments", "web")["spec"]["replicas"] < 10
