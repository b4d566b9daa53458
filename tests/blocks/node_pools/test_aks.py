from __future__ import annotations

import threading

import pytest

from blocks.errors import (
    CloudRefused,
    Conflict,
    NotConfigured,
    NotFound,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.fleet import Cluster
from blocks.node_pools import Operation, connect
from blocks.node_pools.aks import AksNodePools

NODE = {"instance_type": "Standard_D4s_v5", "node_cpu": 4, "node_memory": "16Gi"}
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"


def cluster(url, **cloud) -> Cluster:
    pools = [{"name": "web", "min_nodes": 0, "max_nodes": 30, **NODE}]
    access = {"subscription": SUBSCRIPTION, "resource_group": "g", "endpoint_url": url, **cloud}
    return Cluster(name="asia", site="s", provider="aks", cloud=access, node_pools=pools)


def pool(**more):
    properties = {"count": 5, "provisioningState": "Succeeded", "eTag": "e1", "vmSize": "Standard_D4s_v5", **more}
    return {"id": "/x/agentPools/web", "name": "web", "properties": properties}


@pytest.fixture
def pools(server, monkeypatch) -> AksNodePools:
    monkeypatch.setattr("azure.core.pipeline.policies.RetryPolicy.get_backoff_time", lambda *_: 0)
    return connect(cluster(server.url + "/azure"))


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "InvalidParameter", "count is wrong", CloudRefused),
        (400, "InsufficientVCPUQuota", "no cores left", CloudRefused),
        (401, "InvalidAuthenticationToken", "who are you", Unauthorized),
        (403, "AuthorizationFailed", "you may not", Unauthorized),
        (404, "ResourceNotFound", "no such pool", NotFound),
        (409, "OperationNotAllowed", "another operation is in progress", Conflict),
        (409, "OperationNotAllowed", "exceeding approved Total Regional Cores quota", CloudRefused),
        (412, "PreconditionFailed", "etag mismatch", Conflict),
        (429, "TooManyRequests", "slow down", Throttled),
        (500, "InternalServerError", "oh", Unreachable),
    ],
)
def test_each_answer_of_azure_is_one_kind_of_error(server, pools, status, code, message, kind) -> None:
    answer = server.as_json({"error": {"code": code, "message": message}}, status)
    server.handler = lambda asked: server.as_json(pool()) if asked.method == "GET" else answer
    with pytest.raises(kind, match=message) as caught:
        pools.set_desired("web", 8)
    assert type(caught.value) is kind
    assert caught.value.where == "pool asia/web"
    assert [asked.method for asked in server.asked] == ["GET", "PUT"]


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_page_of_html_is_an_error_of_ours(server, pools, status) -> None:
    server.answers(server.as_html(status))
    with pytest.raises((Unreachable, NotFound)):
        pools.describe("web")


def test_a_closed_port_is_unreachable(pools) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(cluster("http://127.0.0.1:1")).describe("web")
    assert type(caught.value) is Unreachable


def test_a_write_whose_answer_is_late_or_lost_is_timed_out_and_not_repeated(server, monkeypatch) -> None:
    monkeypatch.setattr("blocks.node_pools.aks.READ_TIMEOUT_S", 0.2)
    pools, held = connect(cluster(server.url)), threading.Event()
    for nothing in (held, None):
        server.asked.clear()
        server.handler = lambda asked, nothing=nothing: server.as_json(pool()) if asked.method == "GET" else nothing
        with pytest.raises(TimedOut, match="before repeating"):
            pools.set_desired("web", 8)
        assert [asked.method for asked in server.asked] == ["GET", "PUT"]
    held.set()


def test_a_write_sends_the_whole_pool_back_guarded_by_its_etag(server, pools) -> None:
    url = f"{server.url}/azure/subscriptions/{SUBSCRIPTION}/operations/op1?api-version=1"
    server.answers(server.as_json(pool()), server.as_json(pool(), 200, **{"Azure-AsyncOperation": url}))
    op = pools.set_desired("web", 8)
    put = server.asked[1]
    assert (put.headers["if-match"], put.json()["properties"]["count"]) == ('"e1"', 8)
    assert put.json()["properties"]["vmSize"] == "Standard_D4s_v5"
    assert op == Operation(f"/subscriptions/{SUBSCRIPTION}/operations/op1?api-version=1", "web", "running")


def test_an_operation_is_asked_at_our_endpoint_only(server, pools) -> None:
    server.answers(server.as_json({"status": "Failed", "error": {"code": "AllocationFailed", "message": "no room"}}))
    found = pools.operation(Operation("/subscriptions/s/operations/op1?api-version=1", "web", "running"))
    assert (found.state, found.error) == ("failed", "AllocationFailed: no room")
    assert server.asked[0].path == "/azure/subscriptions/s/operations/op1"


def test_without_an_address_the_pools_own_state_tells_how_it_goes(server, pools) -> None:
    server.answers(server.as_json(pool()), server.as_json(pool(provisioningState="Scaling")))
    op = pools.set_desired("web", 8)
    assert op.state == "running"
    server.answers(server.as_json(pool(count=8)))
    assert pools.operation(op).state == "done"


def test_a_missing_subscription_is_said_to_be_so() -> None:
    with pytest.raises(NotConfigured, match=r"cloud\.subscription"):
        connect(cluster("http://127.0.0.1:1", subscription=None))
