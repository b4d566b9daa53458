"""The columns of `kubectl get`, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.local.kubernetes.printing import COLUMNS, custom
from deployments.local.kubernetes.trees import timestamp

Json = dict[str, Any]

NOW_S = 1_800_000_000.0
TITLES = {
    "nodes": "Name Status Roles Age Version",
    "services": "Name Type Cluster-IP External-IP Port(s) Age",
    "deployments.apps": "Name Ready Up-to-date Available Age",
    "replicasets.apps": "Name Desired Current Ready Age",
    "statefulsets.apps": "Name Ready Age",
    "daemonsets.apps": "Name Desired Current Ready Up-to-date Available Node Selector Age",
    "jobs.batch": "Name Status Completions Duration Age",
    "cronjobs.batch": "Name Schedule Timezone Suspend Active Last Schedule Age",
    "horizontalpodautoscalers.autoscaling": "Name Reference Targets MinPods MaxPods Replicas Age",
    "ingresses.networking.k8s.io": "Name Class Hosts Address Ports Age",
    "networkpolicies.networking.k8s.io": "Name Pod-Selector Age",
    "persistentvolumeclaims":
        "Name Status Volume Capacity Access Modes StorageClass VolumeAttributesClass Age",
    "customresourcedefinitions.apiextensions.k8s.io": "Name Created At",
    "events": "Last Seen Type Reason Object Message",
}  # fmt: skip


def row(resource: str, obj: Json) -> list[Any]:
    obj = {**obj, "metadata": {"name": "x", "creationTimestamp": timestamp(NOW_S - 3600), **obj.get("metadata", {})}}
    return [column.cell(obj, NOW_S) for column in COLUMNS[resource] if not column.wide]


@pytest.mark.parametrize("resource", TITLES)
def test_the_narrow_columns_are_those_of_the_real_printer(resource: str) -> None:
    assert " ".join(column.title for column in COLUMNS[resource] if not column.wide) == TITLES[resource]


def test_a_services_row_shows_node_ports_and_a_balancer_that_is_not_there_yet() -> None:
    ports = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": ports}
    assert row("services", {"spec": spec}) == [
        "x",
        "LoadBalancer",
        "10.0.0.1",
        "<pending>",
        "80:30080/TCP,53/UDP",
        "60m",
    ]


def test_an_autoscalers_row_shows_two_targets_and_counts_the_others() -> None:
    def resource(name: str, **target: Any) -> Json:
        return {"type": "Resource", "resource": {"name": name, "target": target}}

    metrics = [resource("cpu", averageUtilization=80), resource("memory", averageValue="1Gi"), resource("gpu")]
    current = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 42}}}
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5}
    cells = row("horizontalpodautoscalers.autoscaling", {"spec": {**spec, "metrics": metrics},
                                                         "status": {"currentMetrics": [current]}})  # fmt: skip
    assert cells[1:3] == ["Deployment/web", "cpu: 42%/80%, memory: <unknown>/1Gi + 1 more..."]


def test_a_finished_jobs_row_shows_how_long_it_took() -> None:
    state = {"succeeded": 1, "startTime": timestamp(NOW_S - 600), "completionTime": timestamp(NOW_S - 300),
             "conditions": [{"type": "Complete", "status": "True"}]}  # fmt: skip
    assert row("jobs.batch", {"spec": {"completions": 1}, "status": state}) == ["x", "Complete", "1/1", "5m", "60m"]


def test_a_claims_row_shows_capacity_once_it_is_bound() -> None:
    state = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    claim = {"spec": {"volumeName": "v", "storageClassName": "fast"}, "status": state}
    assert row("persistentvolumeclaims", claim) == ["x", "Bound", "v", "1Gi", "RWO", "fast", "<unset>", "60m"]


def test_a_custom_resources_columns_are_found_by_their_paths() -> None:
    declared = [
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Zone", "type": "string", "jsonPath": ".metadata.labels.topology\\.io/zone", "priority": 1},
        {"name": "Since", "type": "date", "jsonPath": ".status.since"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.nothing[0]"},
    ]
    obj = {
        "metadata": {"name": "x", "labels": {"topology.io/zone": "z1"}},
        "spec": {"replicas": 3},
        "status": {"conditions": [{"type": "A", "status": "1"}, {"type": "Ready", "status": "True"}],
                   "since": timestamp(NOW_S - 90)},
    }  # fmt: skip
    columns = custom.columns({"additionalPrinterColumns": declared})
    assert [column.cell(obj, NOW_S) for column in columns] == ["x", 3, "True", "z1", "90s", None]
    assert [column.title for column in columns if column.wide] == ["Zone"]
    assert [column.title for column in custom.columns({})] == ["Name", "Age"]
