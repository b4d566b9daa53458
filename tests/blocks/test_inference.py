"""The endpoint client and its probe against a small real HTTP server."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import InvalidInput, NotFound, OperationFailed, TimedOut, Unreachable
from blocks.inference import InferenceEndpoint, client
from blocks.inference_probe import conforms, probe
from blocks.tensors import DTYPES, HEADER, decode, encode, head_of

X = {"x": np.array([[1.5, 2.0]], np.float32)}


def endpoint(server: Any, fake_time: Any, timeout_s: float = 5.0) -> InferenceEndpoint:
    return InferenceEndpoint(server.url, client(server.url, timeout_s), clock=fake_time.clock, sleep=fake_time.sleep)


def doubling(server: Any, **odd: Any) -> None:
    """A server of one model `m`, which doubles `x`; `odd` maps a path to another answer."""
    ready = {"m": True}
    described = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}

    def answer(asked: Any) -> Any:
        path = asked.path.removeprefix("/v2")
        if path in odd:
            return odd[path]
        if path.startswith("/repository/models/"):
            ready["m"] = path.endswith("/load")
            return server.as_json({})
        if path == "/models/m/infer":
            head, tail = head_of(asked.body, asked.headers.get(HEADER.lower()), where="")
            sent = json.loads(head)
            x = decode({"outputs": sent["inputs"]}, tail, where="")["x"]
            if x.ndim != 2:
                return server.as_json({"error": "bad shape"}, 400)
            body, headers = encode({"y": 2 * x}, "", binary=bool(tail))
            length = int(headers.get(HEADER, len(body)))
            said = json.loads(body[:length])
            said = json.dumps({"model_name": "m", "outputs": said["inputs"]}).encode()
            return 200, headers | ({HEADER: str(len(said))} if tail else {}), said + body[length:]
        known = {"": {"name": "s", "version": "1", "extensions": []}, "/models/m": described, "/health/live": {},
                 "/health/ready": {}, "/repository/index": [{"name": "m"}]}  # fmt: skip
        if path == "/models/m/ready" and ready["m"]:
            return server.as_json({})
        if path == "/metrics":
            return 200, {"Content-Type": "text/plain"}, b"nv_requests 1\n"
        return server.as_json(known[path]) if path in known else server.as_json({"error": "unknown"}, 404)

    server.handler = answer


@pytest.mark.parametrize("binary", [False, True])
def test_infer_sends_and_reads_tensors(server, fake_time, binary) -> None:
    doubling(server)
    answer = endpoint(server, fake_time).infer("m", X, binary=binary)
    assert answer["y"].tolist() == [[3.0, 4.0]]
    assert answer["y"].dtype == np.float32


def test_a_request_always_has_an_id(server, fake_time) -> None:
    doubling(server)
    endpoint(server, fake_time).infer("m", X)
    assert server.asked[-1].json()["id"]


@given(st.sampled_from([name for name in DTYPES if name != "BYTES"]), st.lists(st.integers(0, 1), max_size=9))
def test_every_type_survives_binary_and_json(datatype, values) -> None:
    tensor = np.array(values, DTYPES[datatype]).reshape(1, -1)
    for binary in (False, True):
        body, headers = encode({"x": tensor}, "1", binary=binary)
        head, tail = head_of(body, headers.get(HEADER), where="")
        back = decode({"outputs": json.loads(head)["inputs"]}, tail, where="")["x"]
        assert back.dtype == tensor.dtype
        assert np.array_equal(back, tensor)


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_bytes_of_any_length_survive_binary(values) -> None:
    tensor = np.array([*values, None], object)[:-1]
    body, headers = encode({"x": tensor}, "", binary=True)
    head, tail = head_of(body, headers[HEADER], where="")
    assert decode({"outputs": json.loads(head)["inputs"]}, tail, where="")["x"].tolist() == values


def test_nan_is_refused_in_json_and_survives_binary() -> None:
    with pytest.raises(InvalidInput, match="NaN"):
        encode({"x": np.array([np.nan])}, "1", binary=False)
    assert encode({"x": np.array([np.nan])}, "1", binary=True)


@pytest.mark.parametrize("output", [
    {"name": "y", "shape": [2, 2], "datatype": "FP32", "data": [1]},
    {"name": "y", "shape": [-1], "datatype": "FP32", "data": [1]},
    {"name": "y", "shape": [1], "datatype": "FP99", "data": [1]},
    {"name": "y", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
    {"shape": [1], "datatype": "FP32", "data": [1]}, 7,
])  # fmt: skip
def test_an_output_that_is_not_what_it_says_is_refused(output) -> None:
    with pytest.raises(InvalidInput):
        decode({"outputs": [output]}, b"", where="here")


def test_a_success_with_an_error_body_is_an_error(server, fake_time) -> None:
    server.answers(server.as_json({"error": "out of memory"}))
    with pytest.raises(OperationFailed, match="out of memory"):
        endpoint(server, fake_time).infer("m", X)


def test_a_500_about_the_request_is_not_repeated(server, fake_time) -> None:
    server.answers(server.as_json({"error": "bad shape"}, 500))
    with pytest.raises(OperationFailed):
        endpoint(server, fake_time).infer("m", X)
    assert len(server.asked) == 1


def test_an_unknown_model_is_not_found(server, fake_time) -> None:
    doubling(server)
    with pytest.raises(NotFound):
        endpoint(server, fake_time).metadata("other")


def test_three_attempts_then_the_circuit_is_open_and_nothing_is_asked(server, fake_time) -> None:
    server.answers(server.as_html(503))
    at = endpoint(server, fake_time)
    for _ in range(2):
        with pytest.raises(Unreachable):
            at.metadata()
    assert (len(server.asked), fake_time.slept) == (3, [1.0, 2.0])


def test_an_open_circuit_lets_one_try_through_and_closes_on_success(server, fake_time) -> None:
    server.answers(*[server.as_html(503)] * 3, server.as_json({"name": "s"}))
    at = endpoint(server, fake_time)
    with pytest.raises(Unreachable):
        at.metadata()
    fake_time.sleep(4)
    assert at.metadata() == {"name": "s"}


def test_the_waits_of_an_open_circuit_stop_at_30_s(server, fake_time) -> None:
    server.answers(server.as_html(503))
    at = endpoint(server, fake_time)
    for _ in range(12):
        with pytest.raises(Unreachable):
            at.metadata()
        fake_time.sleep(30)
    assert len(server.asked) == 3 + 11


@pytest.mark.parametrize("status", [400, 404, 503])
def test_a_model_is_not_ready_by_any_servers_way_of_saying_so(server, fake_time, status) -> None:
    server.answers(server.as_json({"error": "not loaded"}, status))
    assert not endpoint(server, fake_time).ready("m")


def test_a_proxys_page_is_not_ready(server, fake_time) -> None:
    server.answers(server.as_html())
    with pytest.raises(Unreachable, match="HTML"):
        endpoint(server, fake_time).ready()


def test_a_load_that_outlives_the_time_out_is_polled_and_not_repeated(server, fake_time) -> None:
    held, unready = threading.Event(), [server.as_json({}, 400)] * 2
    server.handler = lambda asked: held if asked.method == "POST" else unready.pop() if unready else server.as_json({})
    endpoint(server, fake_time, 0.1).load("m")
    held.set()
    assert [asked.method for asked in server.asked] == ["POST", "GET", "GET", "GET"]


def test_a_load_that_never_ends_stops_at_its_deadline(server, fake_time) -> None:
    server.handler = lambda asked: server.as_json({}, 200 if asked.method == "POST" else 400)
    with pytest.raises(TimedOut, match="load"):
        endpoint(server, fake_time).load("m", deadline_s=5)
    assert fake_time.now_s == 5


def test_a_refused_load_is_not_polled(server, fake_time) -> None:
    server.answers(server.as_json({"error": "no repository"}, 403))
    with pytest.raises(Exception, match="no repository"):
        endpoint(server, fake_time).load("m")
    assert len(server.asked) == 1


def test_metrics_are_text(server, fake_time) -> None:
    doubling(server)
    assert endpoint(server, fake_time).metrics() == "nv_requests 1\n"


def quirks(checks: Any) -> dict[str, str]:
    return {check.name: check.quirk for check in checks if check.quirk}


def test_a_server_that_keeps_to_the_protocol_has_no_quirks(server, fake_time) -> None:
    doubling(server)
    checks = probe(endpoint(server, fake_time), "m", load=True)
    assert conforms(checks)
    assert quirks(checks) == {}


def test_the_probe_changes_nothing_without_load(server, fake_time) -> None:
    doubling(server)
    probe(endpoint(server, fake_time), "m")
    assert not [asked.path for asked in server.asked if asked.path.startswith("/v2/repository/models")]


def test_the_probe_leaves_the_model_as_it_was(server, fake_time) -> None:
    doubling(server)
    probe(endpoint(server, fake_time), "m", load=True)
    assert endpoint(server, fake_time).ready("m")


@pytest.mark.parametrize(("path", "status", "check"), [
    ("/repository/index", 404, "repository index"),  # KServe 0.21
    ("/metrics", 404, "metrics"),  # Triton, MLServer
    ("/models/continuum-probe-no-such-model/ready", 400, "unknown model"),  # Triton
])  # fmt: skip
def test_a_known_difference_is_a_quirk_and_conforms(server, fake_time, path, status, check) -> None:
    doubling(server, **{path: server.as_json({"error": "no"}, status)})
    checks = probe(endpoint(server, fake_time), "m")
    assert conforms(checks)
    assert list(quirks(checks)) == [check]


def test_metadata_without_inputs_is_a_quirk_and_nothing_is_inferred(server, fake_time) -> None:
    doubling(server, **{"/models/m": server.as_json({"name": "m", "inputs": []})})
    checks = probe(endpoint(server, fake_time), "m")
    assert conforms(checks)
    assert list(quirks(checks)) == ["model metadata", "infer"]


@pytest.mark.parametrize("path", ["/health/ready", "", "/models/m", "/models/m/infer"])
def test_a_broken_core_does_not_conform(server, fake_time, path) -> None:
    doubling(server, **{path: server.as_json({"error": "broken"})})
    assert not conforms(probe(endpoint(server, fake_time), "m"))


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://x", "http://", "http://[", "http://a:b"])
def test_a_malformed_url_is_refused(url) -> None:
    with pytest.raises(InvalidInput, match="malformed"):
        client(url)
