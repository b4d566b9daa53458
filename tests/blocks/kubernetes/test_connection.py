from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest
import yaml

from blocks.errors import (
    Conflict,
    InvalidInput,
    NotConfigured,
    NotFound,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from blocks.fleet import Cluster
from blocks.kubernetes import KubernetesApi
from blocks.kubernetes.connection import _client

SECRET = "hunter2-very-secret"
POOLS = [{"name": "edge", "instance_type": "box", "min_nodes": 0, "max_nodes": 9, "node_cpu": 4, "node_memory": "16Gi"}]


def cluster(**access) -> Cluster:
    return Cluster(name="edge-munich", site="munich", provider="k3s", kubernetes=access, node_pools=POOLS)


@pytest.fixture
def api(server) -> KubernetesApi:
    return KubernetesApi.connect(cluster(server=server.url + "/clusters/x", token=SECRET))


def failure(server, code, message, reason=""):
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return server.as_json(body | {"reason": reason}, code)


def page(server, names, token=""):
    return server.as_json({"metadata": {"continue": token}, "items": [{"metadata": {"name": name}} for name in names]})


def names(items):
    return [item["metadata"]["name"] for item in items]


def test_a_list_is_read_in_pages_with_its_selectors_on_each(server) -> None:
    api = KubernetesApi("c", _client(cluster(server=server.url, token=SECRET)), page=2)
    server.answers(page(server, ["a", "b"], "next"), page(server, ["c"]))
    assert names(api.pods(node="n1", label_selector="app=web")) == ["a", "b", "c"]
    expected = {"limit": "2", "fieldSelector": "spec.nodeName=n1", "labelSelector": "app=web"}
    assert [asked.query for asked in server.asked] == [expected, {**expected, "continue": "next"}]
    assert server.asked[0].path == "/api/v1/pods"
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_a_list_whose_snapshot_expired_is_read_again_from_the_start(server, api) -> None:
    gone = failure(server, 410, "continue expired", "Expired")
    server.answers(page(server, ["a"], "old"), gone, page(server, ["a", "b"]))
    assert names(api.nodes()) == ["a", "b"]


def test_a_list_that_expires_again_and_again_is_a_conflict(server, api) -> None:
    server.handler = lambda asked: (
        failure(server, 410, "expired") if "continue" in asked.query else page(server, ["a"], "x")
    )
    with pytest.raises(Conflict, match="3 times"):
        api.nodes()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (422, InvalidInput),
        (429, Throttled),
        (500, Unreachable),
    ],
)
def test_each_status_is_one_kind_of_error_in_the_servers_words(server, api, code, kind) -> None:
    server.answers(failure(server, code, "the words"))
    with pytest.raises(kind, match=r"cluster edge-munich PATCH /api/v1/nodes/n1: .*the words"):
        api.cordon("n1")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_page_of_html_is_an_error_with_its_title(server, api, status) -> None:
    server.answers(server.as_html(status))
    with pytest.raises((Unreachable, NotFound), match="Proxy sign-in"):
        api.cordon("n1")


def test_a_failure_inside_a_200_body_is_an_error(server, api) -> None:
    server.answers(server.as_json({"kind": "Status", "status": "Failure", "code": 403, "message": "no"}))
    with pytest.raises(Unauthorized):
        api.nodes()


def test_a_read_is_tried_again_and_a_write_is_not(server, api) -> None:
    server.answers(server.as_html(503), page(server, ["a"]))
    assert names(api.nodes()) == ["a"]
    server.answers(server.as_html(503), server.as_json({}))
    with pytest.raises(Unreachable):
        api.cordon("a")


def test_a_write_without_an_answer_is_timed_out(server) -> None:
    api = KubernetesApi("c", _client(cluster(server=server.url)), timeout_s=0.1)
    held = threading.Event()
    server.answers(held)
    with pytest.raises(TimedOut):
        api.cordon("n1")
    held.set()


def test_a_cluster_that_is_down_is_unreachable() -> None:
    api = KubernetesApi.connect(cluster(server="http://127.0.0.1:1"))
    with pytest.raises(Unreachable) as caught:
        api.cordon("n1")
    assert type(caught.value) is Unreachable


def test_a_patch_carries_the_version_it_was_decided_on(server, api) -> None:
    api.cordon("n1", resource_version="41", annotations={"a": "b"})
    asked = server.asked[0]
    assert asked.path == "/clusters/x/api/v1/nodes/n1"
    assert asked.headers["content-type"] == "application/merge-patch+json"
    assert asked.json() == {
        "spec": {"unschedulable": True},
        "metadata": {"annotations": {"a": "b"}, "resourceVersion": "41"},
    }


@pytest.mark.parametrize("allowed", [True, False])
def test_it_asks_the_server_what_it_may_do(server, api, allowed) -> None:
    server.answers(server.as_json({"status": {"allowed": allowed}}, 201))
    assert api.can("create", "pods", subresource="eviction", namespace="shop") is allowed
    attributes = server.asked[0].json()["spec"]["resourceAttributes"]
    assert attributes == {"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": "shop"}


def kubeconfig(path, url, user):
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("edge-munich", "other")]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "other",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": contexts,
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_kubeconfig_context_named_like_the_cluster_is_found(server, tmp_path) -> None:
    server.answers(page(server, ["a"]))
    api = KubernetesApi.connect(cluster(kubeconfig=kubeconfig(tmp_path / "config", server.url, {"token": SECRET})))
    assert names(api.nodes()) == ["a"]
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_an_exec_plug_in_gives_the_token(server, tmp_path) -> None:
    script = tmp_path / "plugin.py"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t1"}}
    script.write_text(f"import json; print(json.dumps({credential!r}))")
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script)],
        "interactiveMode": "Never",
    }
    server.answers(page(server, ["a"]))
    api = KubernetesApi.connect(cluster(kubeconfig=kubeconfig(tmp_path / "config", server.url, {"exec": plugin})))
    api.nodes()
    assert server.asked[0].headers["authorization"] == "Bearer t1"


def test_the_current_context_is_never_taken_for_another_cluster(tmp_path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {})
    with pytest.raises(NotConfigured, match="context nowhere"):
        KubernetesApi.connect(cluster(kubeconfig=path, context="nowhere"))
    with pytest.raises(NotConfigured, match="context edge-munich"):
        KubernetesApi.connect(cluster(kubeconfig=str(tmp_path / "absent")))


@pytest.mark.parametrize("access", [{"token": "secret:block"}, {"token": "${UNSET_TOKEN}"}, {"ca_file": "/nowhere"}])
def test_what_is_not_configured_is_said_before_anything_is_sent(server, access) -> None:
    with pytest.raises(NotConfigured):
        KubernetesApi.connect(cluster(server=server.url, **access))
    assert server.asked == []


def test_the_token_shows_in_no_repr_log_or_error_even_when_the_server_echoes_it(server, api, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    server.handler = lambda asked: failure(server, 403, f"bad {asked.headers['authorization']}")
    with pytest.raises(Unauthorized) as caught:
        api.nodes()
    assert SECRET not in f"{api!r} {caught.value!r} {caught.value} {caplog.text}"


def test_importing_the_blocks_imports_no_sdk() -> None:
    code = (
        "import sys, blocks.node_pools, blocks.kubernetes, blocks.prometheus;"
        "print([m for m in sys.modules if m.split('.')[0] in ('boto3', 'botocore', 'google', 'azure', 'kubernetes')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
