from __future__ import annotations

import threading

import pytest

from blocks.errors import (
    CloudRefused,
    Conflict,
    NotConfigured,
    NotFound,
    Refused,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.fleet import Cluster
from blocks.node_pools import connect
from blocks.node_pools.gke import GkeNodePools

NODE = {"instance_type": "n2-standard-4", "node_cpu": 4, "node_memory": "16Gi"}


def cluster(url, **cloud) -> Cluster:
    pools = [{"name": "web", "min_nodes": 0, "max_nodes": 30, **NODE}]
    access = {"project": "p", "region": "us-east4", "endpoint_url": url, **cloud}
    return Cluster(name="us", site="s", provider="gke", cloud=access, node_pools=pools)


def pool(**more):
    return {
        "name": "web",
        "initialNodeCount": 2,
        "locations": ["a", "b", "c"],
        "status": "RUNNING",
        "etag": "e",
        **more,
    }


@pytest.fixture
def pools(server) -> GkeNodePools:
    return connect(cluster(server.url))


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "FAILED_PRECONDITION", "Cluster is running incompatible operation operation-1.", Conflict),
        (400, "FAILED_PRECONDITION", "the pool has another state", Conflict),
        (400, "INVALID_ARGUMENT", "node_count is wrong", CloudRefused),
        (401, "UNAUTHENTICATED", "Google refuses the credentials", Unauthorized),
        (403, "PERMISSION_DENIED", "you may not", Unauthorized),
        (403, "PERMISSION_DENIED", "Insufficient regional quota to satisfy request: resource CPUS", CloudRefused),
        (404, "NOT_FOUND", "no such pool", NotFound),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Requests' per minute", Throttled),
        (503, "UNAVAILABLE", "later", Unreachable),
        (504, "DEADLINE_EXCEEDED", "too slow", TimedOut),
    ],
)
def test_each_answer_of_gcp_is_one_kind_of_error(server, pools, status, code, message, kind) -> None:
    server.answers(server.as_json({"error": {"code": status, "message": message, "status": code}}, status))
    with pytest.raises(kind, match=message.split(":", maxsplit=1)[0][:20]) as caught:
        pools.describe("web")
    assert type(caught.value) is kind
    assert caught.value.where == "pool us/web"
    assert server.url not in str(caught.value)


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_of_html_is_unreachable(server, pools, status) -> None:
    server.answers(server.as_html(status))
    with pytest.raises(Unreachable):
        pools.describe("web")


def test_a_closed_port_is_unreachable_and_a_late_answer_timed_out(server, pools, monkeypatch) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(cluster("http://127.0.0.1:1")).describe("web")
    assert type(caught.value) is Unreachable
    monkeypatch.setattr("blocks.node_pools.gke.READ_TIMEOUT_S", 0.1)
    held = threading.Event()
    server.answers(held)
    with pytest.raises(TimedOut):
        pools.describe("web")
    held.set()


def test_a_regional_pool_is_sized_in_whole_zones(server, pools) -> None:
    server.answers(server.as_json(pool()))
    with pytest.raises(Refused, match=r"7 is no multiple of 3.*ask for 9"):
        pools.set_desired("web", 7)
    server.answers(server.as_json(pool()), server.as_json({"name": "operation-1", "status": "RUNNING"}))
    pools.set_desired("web", 9)
    assert server.asked[-1].path.endswith("/nodePools/web:setSize")
    assert server.asked[-1].json()["nodeCount"] == 3


def test_the_size_comes_from_the_instance_groups_where_there_are_some(server, pools) -> None:
    urls = [f"{server.url}/compute/v1/zones/{zone}/instanceGroupManagers/g" for zone in "abc"]
    group = server.as_json({"targetSize": 4})
    server.answers(server.as_json(pool(instanceGroupUrls=urls)), group)
    assert pools.describe("web").desired == 12


def test_instance_groups_elsewhere_are_not_asked_by_a_stand_in_endpoint(server, pools) -> None:
    url = "https://compute.invalid/v1/zones/a/instanceGroupManagers/g"
    server.answers(server.as_json(pool(instanceGroupUrls=[url])))
    assert pools.describe("web").desired == 6


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (
            {"enabled": True, "minNodeCount": 1, "maxNodeCount": 5},
            {"enabled": True, "minNodeCount": 2, "maxNodeCount": 4},
        ),
        (
            {"enabled": True, "totalMinNodeCount": 3, "totalMaxNodeCount": 15},
            {"enabled": True, "totalMinNodeCount": 6, "totalMaxNodeCount": 12},
        ),
    ],
)
def test_bounds_are_written_the_way_the_pool_has_them(server, pools, scaling, expected) -> None:
    server.answers(server.as_json(pool(autoscaling=scaling)), server.as_json({"name": "operation-1"}))
    state = pools.describe("web")
    assert (state.min_nodes, state.max_nodes, state.autoscaled) == (3, 15, True)
    server.answers(server.as_json(pool(autoscaling=scaling)), server.as_json({"name": "operation-1"}))
    pools.set_bounds("web", 6, 12)
    assert server.asked[-1].json()["autoscaling"] == expected


def test_the_bounds_of_a_pool_without_autoscaler_are_the_inventorys(server, pools) -> None:
    server.answers(server.as_json(pool()))
    with pytest.raises(Refused, match="no autoscaler"):
        pools.set_bounds("web", 3, 30)


def test_done_with_an_error_is_a_failure(server, pools) -> None:
    from blocks.node_pools import Operation

    server.answers(
        server.as_json({"name": "operation-1", "status": "DONE", "error": {"code": 8, "message": "stockout"}})
    )
    found = pools.operation(Operation("operation-1", "web", "running"))
    assert (found.state, found.error) == ("failed", "stockout")


def test_a_label_of_the_cloud_marks_a_pool_hands_off(server, pools) -> None:
    server.answers(server.as_json(pool(config={"resourceLabels": {"continuum-io-hands-off": "true"}})))
    assert pools.describe("web").hands_off


def test_a_missing_project_is_said_to_be_so() -> None:
    with pytest.raises(NotConfigured, match=r"cloud\.project"):
        connect(cluster("http://127.0.0.1:1", project=None))
