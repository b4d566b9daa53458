"""The agent's endpoint keeps to the Open Inference Protocol, seen by the project's own client and probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from blocks.errors import InvalidInput, NotFound, Unauthorized
from blocks.inference import InferenceEndpoint, client
from blocks.inference_probe import conforms, probe
from deployments.edge.http import Request, Response
from deployments.edge.meters import Meters
from deployments.edge.oip import Service
from deployments.edge.serving import Models

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

ROWS = {"rows": np.arange(8, dtype=np.float32).reshape(2, 4)}


@pytest.fixture
def edge(hub, started, serve) -> Callable[..., Any]:
    """Starts an agent that serves `digits`; returns the running server and the agent."""

    def start(token: str = "", more: dict[str, bytes] | None = None) -> Any:
        agent = started()
        hub.publish("1", bias=1.0, more=more, escalation_threshold=0.7)
        agent.converge(agent.hub())
        return serve(Service(agent.models, agent.keeper, agent.meters, token)), agent

    return start


def asked(running, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    return httpx.request(method, running.url + path, content=content, headers=headers, trust_env=False)


@pytest.mark.parametrize("binary", [False, True])
def test_infer_answers_what_onnxruntime_answers(edge, binary):
    running, agent = edge()
    endpoint = InferenceEndpoint(running.url, client(running.url))
    got = endpoint.infer("digits", ROWS, binary=binary)
    want = agent.models.get("digits").run(ROWS)
    assert got["label"].tolist() == want["label"].tolist()
    assert np.array_equal(got["probabilities"], want["probabilities"])
    assert endpoint.infer("digits", ROWS, version="1")["label"].shape == (2,)


def test_the_probe_finds_no_fault_and_no_quirk(edge):
    running, _ = edge()
    endpoint = InferenceEndpoint(running.url, client(running.url), sleep=lambda _: None)
    checks = probe(endpoint, "digits", load=True)
    assert conforms(checks)
    assert [(check.name, check.got, check.quirk) for check in checks if check.quirk] == []
    assert endpoint.ready("digits")


def test_metadata_tells_ports_digest_and_threshold(edge):
    running, agent = edge()
    said = asked(running, "GET", "/v2/models/digits").json()
    assert said["inputs"] == [{"name": "rows", "datatype": "FP32", "shape": [-1, 4]}]
    assert said["versions"] == ["1"]
    digest = agent.models.get("digits").digest
    assert said["parameters"] == {"digest": f"sha256:{digest}", "escalation_threshold": 0.7}


def test_only_a_model_that_is_seen_to_be_quick_is_answered_on_the_loop(edge):
    running, agent = edge()
    service, now = running.server.handler, iter(range(10**6))
    request = Request("POST", "/v2/models/digits/infer", {}, json.dumps({"inputs": [GOOD]}).encode())
    served = agent.models.get("digits")
    assert not isinstance(service(request), Response)
    served.usual_s = 0.0005
    assert isinstance(service(request), Response)
    assert not isinstance(service(request._replace(body=request.body + b" " * 20_000)), Response)
    service._clock = lambda: next(now)
    service(request)
    assert not isinstance(service(request), Response)


def test_the_id_comes_back_and_is_not_made_up(edge):
    running, _ = edge()
    body = {"inputs": [{"name": "rows", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}]}
    assert "id" not in asked(running, "POST", "/v2/models/digits/infer", body).json()
    assert asked(running, "POST", "/v2/models/digits/infer", {**body, "id": "7"}).json()["id"] == "7"


def test_only_the_outputs_that_are_asked_for_come_each_in_its_form(edge):
    running, _ = edge()
    body = {
        "inputs": [{"name": "rows", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "label"}],
    }
    got = asked(running, "POST", "/v2/models/digits/infer", body)
    head = json.loads(got.content[: int(got.headers["Inference-Header-Content-Length"])])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert head["outputs"][1]["data"] == [0]
    body["outputs"] = [{"name": "label"}]
    got = asked(running, "POST", "/v2/models/digits/infer", body).json()
    assert [each["name"] for each in got["outputs"]] == ["label"]


GOOD = {"name": "rows", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 10**5, "no JSON"),
        ({}, "inputs"),
        ({"inputs": 3}, "input"),
        ({"inputs": []}, "missing"),
        ({"inputs": [{**GOOD, "name": "other"}]}, "no input other"),
        ({"inputs": [{**GOOD, "shape": [4]}]}, "shape"),
        ({"inputs": [{**GOOD, "shape": [1, 5]}]}, "reshape"),
        ({"inputs": [{**GOOD, "shape": [-1, 4]}]}, "shape"),
        ({"inputs": [{**GOOD, "datatype": "FP64"}]}, "FP64"),
        ({"inputs": [{**GOOD, "datatype": "FP99"}]}, "FP99"),
        ({"inputs": [{**GOOD, "data": ["a", 2, 3, 4]}]}, "input"),
        ({"inputs": [{**GOOD, "data": None}]}, "input"),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 16}}]}, "input"),
        ({"inputs": [GOOD], "outputs": [{"name": "x"}]}, "no output x"),
        ({"inputs": [GOOD], "outputs": [3]}, "outputs"),
        ({"inputs": [GOOD], "parameters": 3}, "parameters"),
    ],
)
def test_a_request_that_does_not_fit_is_a_400_that_says_why(edge, body, said):
    running, _ = edge()
    got = asked(running, "POST", "/v2/models/digits/infer", body)
    assert got.status_code == 400
    assert said in got.json()["error"]


def test_an_empty_batch_is_answered_with_none(edge):
    running, _ = edge()
    got = InferenceEndpoint(running.url, client(running.url)).infer("digits", {"rows": np.zeros((0, 4), np.float32)})
    assert got["probabilities"].shape == (0, 3)


def test_unload_and_load_by_hand_hold_until_the_hub_wants_another_version(edge, hub):
    running, agent = edge()
    endpoint = InferenceEndpoint(running.url, client(running.url), sleep=lambda _: None)
    endpoint.unload("digits")
    agent.converge(agent.hub())
    assert not endpoint.ready("digits")
    assert endpoint.index()[0]["state"] == "UNAVAILABLE"
    assert hub.statuses[-1]["models"][0]["state"] == "unloaded"
    with pytest.raises(NotFound):
        endpoint.infer("digits", ROWS)
    endpoint.load("digits")
    assert endpoint.index() == [{"name": "digits", "version": "1", "state": "READY", "reason": ""}]
    endpoint.unload("digits")
    hub.publish("2", bias=2.0)
    agent.converge(agent.hub())
    assert endpoint.ready("digits")


@pytest.mark.parametrize(
    "path",
    ["/", "/v3", "/v2/models/other", "/v2/models/..%2Fx", "/v2/models/digits/versions/9", "/%ff", "/v2/models/a/b"],
)
def test_what_is_not_here_is_a_404_as_the_protocol_has_it(edge, path):
    running, _ = edge()
    got = asked(running, "GET", path)
    assert got.status_code == 404
    assert got.json()["error"]


def test_with_a_token_only_health_is_answered_without_it(edge):
    running, _ = edge(token="secret")
    assert asked(running, "GET", "/v2/health/live").status_code == 200
    assert asked(running, "GET", "/v2").status_code == 401
    assert asked(running, "GET", "/metrics", Authorization="Bearer wrong").status_code == 401
    assert asked(running, "GET", "/v2", Authorization="Bearer secret").status_code == 200
    with pytest.raises(Unauthorized):
        InferenceEndpoint(running.url, client(running.url)).infer("digits", ROWS)


def test_without_a_token_pages_of_a_browser_are_refused(edge):
    running, _ = edge()
    load = "/v2/repository/models/digits/unload"
    assert asked(running, "POST", load, {}, Origin="https://evil.example").status_code == 401
    assert asked(running, "POST", load, {}, Host="evil.example:80").status_code == 401
    assert asked(running, "GET", "/v2", Host="localhost:1").status_code == 200
    assert asked(running, "GET", "/v2", Host="[::1]:1").status_code == 200


def test_metrics_count_requests_by_model_and_status(edge):
    running, agent = edge()
    endpoint = InferenceEndpoint(running.url, client(running.url))
    endpoint.infer("digits", ROWS)
    with pytest.raises(InvalidInput):
        endpoint.infer("digits", {"rows": np.zeros((1, 9), np.float32)})
    text = endpoint.metrics()
    assert 'continuum_edge_requests_total{model="digits",status="200"} 1\n' in text
    assert 'continuum_edge_requests_total{model="digits",status="400"} 1\n' in text
    assert 'continuum_edge_request_seconds_bucket{model="digits",le="+Inf"} 2\n' in text
    assert f'digest="{agent.models.get("digits").digest}"' in text
    assert "continuum_edge_resident_bytes " in text


def test_ready_waits_for_what_was_in_service_before(serve):
    ready = []
    running = serve(Service(Models(), None, Meters(), ready=lambda: bool(ready)))
    assert asked(running, "GET", "/v2/health/ready").status_code == 503
    ready.append(1)
    assert asked(running, "GET", "/v2/health/ready").status_code == 200


def identity_of_text() -> bytes:
    text = onnx.TensorProto.STRING
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [make("x", text, ["N"])], [make("y", text, ["N"])])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize("binary", [False, True])
def test_text_goes_in_and_out(edge, binary):
    running, _ = edge(more={"model.onnx": identity_of_text()})
    sent = np.array(["a", "ä", ""], object)
    got = InferenceEndpoint(running.url, client(running.url)).infer("digits", {"x": sent}, binary=binary)["y"]
    assert [each.decode() if isinstance(each, bytes) else each for each in got.tolist()] == ["a", "ä", ""]


def square_root() -> bytes:
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Sqrt", ["x"], ["y"])
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph([node], "g", [make("x", real, ["N"])], [make("y", real, ["N"])])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_nan_in_an_answer_is_told_in_json_and_sent_in_binary(edge):
    running, _ = edge(more={"model.onnx": square_root()})
    endpoint = InferenceEndpoint(running.url, client(running.url))
    x = {"x": np.array([-1.0], np.float32)}
    with pytest.raises(InvalidInput, match="binary"):
        endpoint.infer("digits", x)
    assert np.isnan(endpoint.infer("digits", x, binary=True)["y"][0])
