"""The official Python client works against a simulated cluster, path prefix and all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes as k8s
import pytest

from tests.conformance.server import TOKEN, VIEWER, Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server().opened()
    yield server
    server.close()


def client(server: Server, token: str = TOKEN) -> Any:
    configuration = k8s.client.Configuration(host=server.url)
    configuration.api_key["authorization"] = f"Bearer {token}"
    configuration.proxy = None
    return k8s.client.ApiClient(configuration)


def node(name: str) -> dict[str, Any]:
    room = {"cpu": "8", "memory": "16Gi", "pods": "50"}
    labels = {"continuum.io/simulated-kubelet": "true", "pool": name}
    return {"metadata": {"name": name, "labels": labels}, "status": {"capacity": room, "allocatable": room}}


def until_ready(api: Any, name: str) -> Any:
    watch = k8s.watch.Watch()
    for event in watch.stream(api.list_node, field_selector=f"metadata.name={name}", timeout_seconds=20):
        if any(entry.type == "Ready" and entry.status == "True" for entry in event["object"].status.conditions or ()):
            return event["object"]
    raise AssertionError(f"{name} did not become Ready")


def test_the_python_client_watches_a_node_become_ready_then_cordons_and_evicts(server: Server) -> None:
    api = k8s.client.CoreV1Api(client(server))
    api.create_node(node("py"))
    assert until_ready(api, "py").metadata.labels["pool"] == "py"
    pod = {
        "metadata": {"name": "p"},
        "spec": {"nodeSelector": {"pool": "py"}, "containers": [{"name": "m", "image": "i:1"}]},
    }
    api.create_namespaced_pod("default", pod)
    assert api.patch_node("py", {"spec": {"unschedulable": True}}).spec.unschedulable
    api.create_namespaced_pod_eviction("p", "default", {"metadata": {"name": "p"}})
    assert [item.metadata.name for item in api.list_node(label_selector="pool=py").items] == ["py"]


def test_a_viewer_reads_and_is_refused_to_write(server: Server) -> None:
    api = k8s.client.CoreV1Api(client(server, VIEWER))
    assert api.list_node().items is not None
    with pytest.raises(k8s.client.ApiException) as refused:
        api.patch_node("py", {"spec": {"unschedulable": True}})
    assert refused.value.status == 403
