"""The hub over real sockets: who may ask what, models and ranges as published, updates checked one by one."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from blocks.errors import NotConfigured
from blocks.manifest import verify
from blocks.models import Registry
from blocks.store import Store, edges, rounds
from blocks.store.edges import NewEdge
from blocks.store.tables import TrainingRound, now
from deployments import http_service
from deployments import hub as service
from deployments.http_service import Tls
from deployments.hub import Hub, hub_server, running_hub
from deployments.local.tls import certificate
from tasks.federation.decide.models import Shape
from tasks.federation.decide.updates import pack
from tasks.federation.decide.wire import model_bytes, read_model, write_update

SHAPE = Shape(4, 2)


@dataclass
class Client:
    """An edge with its token."""

    url: str
    token: str

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=20, **more)


@pytest.fixture
def hub() -> Hub:
    store = Store.open()
    return Hub(store, Registry.open(store))


@pytest.fixture
def url(hub: Hub) -> Iterator[str]:
    with running_hub(hub) as url:
        yield url


@pytest.fixture
def edge(hub: Hub, url: str) -> Client:
    return Client(url, edges.add_edges(hub.store, [NewEdge("munich"), NewEdge("osaka")])["munich"])


@pytest.fixture
def asked(hub: Hub) -> TrainingRound:
    base = hub.registry.put(model_bytes(SHAPE, np.zeros(SHAPE.size, np.float32)))
    content = {"selected": ["munich"], "shape": [4, 2, 0], "seed": 7, "epochs": 5, "batch": 16, "lr": 0.2,
               "kind": "softmax"}  # fmt: skip
    ends = now() + timedelta(hours=1)
    wanted = TrainingRound(id="digits-1", model="digits", number=1, base=base, deadline=ends, content=content)
    return rounds.open_round(hub.store, wanted)


def body(asked: TrainingRound, value: float = 1.0, **changes: Any) -> bytes:
    told = {"round_id": asked.id, "edge": "munich", "base": f"sha256:{asked.base}", "samples": 10} | changes
    return write_update(SHAPE, np.full(SHAPE.size, value, np.float32), **told)


@pytest.mark.parametrize("path", ["/v1/edges/munich/desired", "/v1/manifests/sha256:" + "0" * 64])
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic wrong"])
def test_nobody_without_a_token_is_answered(edge: Client, path: str, header: str) -> None:
    assert requests.get(edge.url + path, headers={"Authorization": header}, timeout=20).status_code == 401


def test_a_token_opens_its_own_edge_alone(edge: Client) -> None:
    assert edge.ask("GET", "/v1/edges/osaka/desired").status_code == 403
    assert edge.ask("POST", "/v1/edges/osaka/status", json={"models": [], "ts": ""}).status_code == 403


def test_a_wanted_version_is_found_verified_and_fetched_in_ranges(hub: Hub, edge: Client) -> None:
    made = hub.registry.publish("digits", "1", {"model.onnx": bytes(range(200))})
    edges.set_wanted(hub.store, "digits", {"munich": made.digest})
    (wanted,) = edge.ask("GET", "/v1/edges/munich/desired").json()["models"]
    assert wanted == {"name": "digits", "version": "1", "manifest": f"sha256:{made.digest}"}
    document = edge.ask("GET", f"/v1/manifests/{wanted['manifest']}").content
    found = verify(document, hub.registry.key.public_key())
    assert found.digest == made.digest
    path = f"/v1/blobs/sha256:{found.files[0].sha256}"
    assert edge.ask("GET", path).content == bytes(range(200))
    part = edge.ask("GET", path, headers={"Range": "bytes=150-"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (
        206, bytes(range(150, 200)), "bytes 150-199/200",
    )  # fmt: skip
    assert edge.ask("GET", path, headers={"Range": "bytes=200-"}).status_code == 416


def test_desired_state_that_is_known_costs_no_body(hub: Hub, edge: Client) -> None:
    tag = edge.ask("GET", "/v1/edges/munich/desired").headers["ETag"]
    again = edge.ask("GET", "/v1/edges/munich/desired", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    edges.set_wanted(hub.store, "digits", {"munich": hub.registry.publish("digits", "1", {"m": b"1"}).digest})
    assert edge.ask("GET", "/v1/edges/munich/desired", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(("path", "status"), [("sha256:" + "0" * 64, 404), ("sha256:..%2f..%2fstore.db", 422)])
def test_no_other_file_can_be_fetched(edge: Client, path: str, status: int) -> None:
    assert edge.ask("GET", f"/v1/blobs/{path}").status_code in (status, 404)


def test_what_others_have_sent_cannot_be_fetched(hub: Hub, edge: Client, asked: TrainingRound) -> None:
    edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked))
    (kept,) = rounds.updates_of(hub.store, "digits-1")
    assert hub.registry.numbers(kept.digest).tolist() == [1.0] * SHAPE.size
    assert edge.ask("GET", f"/v1/blobs/sha256:{kept.digest}").status_code == 404


def test_a_round_is_asked_of_its_edges_until_they_answer(hub: Hub, edge: Client, asked: TrainingRound) -> None:
    told = edge.ask("GET", "/v1/edges/munich/desired").json()["round"]
    assert set(told) == {"id", "model", "base", "seed", "deadline", "epochs", "batch", "lr", "kind"}
    shape, model = read_model(edge.ask("GET", f"/v1/blobs/{told['base']}").content)
    assert (shape, model.tolist()) == (SHAPE, [0.0] * SHAPE.size)
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked)).json() == {"accepted": True}
    assert edge.ask("GET", "/v1/edges/munich/desired").json()["round"] is None


def test_the_same_update_again_is_accepted_and_another_is_not(hub: Hub, edge: Client, asked: TrainingRound) -> None:
    path = "/v1/rounds/digits-1/updates/munich"
    assert [edge.ask("PUT", path, data=body(asked)).status_code for _ in range(2)] == [200, 200]
    assert edge.ask("PUT", path, data=body(asked, 2.0)).status_code == 409
    assert len(rounds.updates_of(hub.store, "digits-1")) == 1


def test_an_int8_update_is_unpacked(hub: Hub, edge: Client, asked: TrainingRound) -> None:
    delta = np.linspace(-1, 1, SHAPE.size).astype(np.float32)
    sent = write_update(SHAPE, pack(SHAPE, delta), round_id="digits-1", edge="munich", base=f"sha256:{asked.base}",
                        samples=3)  # fmt: skip
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=sent).status_code == 200
    (kept,) = rounds.updates_of(hub.store, "digits-1")
    assert np.abs(hub.registry.numbers(kept.digest) - delta).max() <= 0.5 / 127


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"value": float("nan")}, 422, "not finite"),
        ({"value": float("inf")}, 422, "not finite"),
        ({"samples": 0}, 422, "0 rows"),
        ({"base": "sha256:" + "0" * 64}, 409, "another base"),
        ({"round_id": "digits-0"}, 409, "another round"),
        ({"edge": "osaka"}, 422, "was not asked"),
    ],
)
def test_a_bad_update_is_refused_told_and_may_be_mended(
    hub: Hub, edge: Client, asked: TrainingRound, changes: dict[str, Any], status: int, why: str
) -> None:
    answer = edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked, **changes))
    assert (answer.status_code, answer.json()["accepted"]) == (status, False)
    assert why in answer.json()["reason"]
    assert why in rounds.updates_of(hub.store, "digits-1")[0].refused
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked)).status_code == 200
    assert rounds.updates_of(hub.store, "digits-1")[0].refused == ""


@pytest.mark.parametrize("change", [lambda sent: sent[:-1], lambda sent: sent + b"x", lambda sent: b"x" + sent,
                                    lambda sent: sent.replace(b"[4, 2]", b"[2, 4]"), lambda sent: b""])  # fmt: skip
def test_a_body_that_is_not_the_models_is_refused(edge: Client, asked: TrainingRound, change: Any) -> None:
    answer = edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=change(body(asked)))
    assert (answer.status_code, answer.json()["accepted"]) == (422, False)


def test_a_round_that_is_closing_or_past_its_deadline_takes_nothing(
    hub: Hub, edge: Client, asked: TrainingRound
) -> None:
    rounds.stop_round(hub.store, "digits-1")
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked)).status_code == 409
    hub.clock = lambda: now() + timedelta(hours=2)
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=body(asked)).status_code == 409


def test_an_outbox_is_taken_once_and_a_second_epoch_is_refused(hub: Hub, edge: Client) -> None:
    told = {"epoch": "e", "items": [{"seq": 1, "kind": "metric", "ts": "t", "body": {"ms": 3}}]}
    answers = [edge.ask("POST", "/v1/edges/munich/outbox", json=told).json() for _ in range(2)]
    assert answers == [{"acked": 1}] * 2
    assert edge.ask("POST", "/v1/edges/munich/outbox", json=told | {"epoch": "f"}).status_code == 409
    assert edge.ask("POST", "/v1/edges/munich/outbox", json={"epoch": "e", "items": [{"seq": 0}]}).status_code == 422


def test_a_status_is_kept(hub: Hub, edge: Client) -> None:
    told = {"models": [{"name": "digits", "digest": "sha256:" + "1" * 64, "state": "serving"}], "ts": "t"}
    assert edge.ask("POST", "/v1/edges/munich/status", json=told).status_code == 200
    (found,) = edges.models_of(hub.store, "munich")
    assert (found.running, found.state) == ("1" * 64, "serving")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    edge: Client, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    with socket.create_connection(tuple(edge.url.removeprefix("http://").split(":")), timeout=20) as raw:
        raw.sendall(f"POST /v1/edges/munich/status HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {edge.token}\r\n"
                    f"Content-Length: {service.MOST_TOLD_BYTES + 1}\r\n\r\n".encode())  # fmt: skip
        assert raw.recv(100).startswith(b"HTTP/1.1 422")


def test_a_head_that_never_ends_is_cut_off(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_service, "HEAD_S", 0.3)
    with running_hub(hub) as url, socket.create_connection(tuple(url.removeprefix("http://").split(":"))) as raw:
        raw.settimeout(20)
        raw.sendall(b"GET /v1/health HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"live":true}'):
            answer += raw.recv(1000)
        raw.sendall(b"GET /v1/health HTTP/1.1\r\nHost:")
        assert raw.recv(1000) == b""


def test_beyond_the_loopback_tls_is_needed(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="in clear"):
        hub_server(hub, host="0.0.0.0", tls=None)
    with pytest.raises(NotConfigured, match="is not there"):
        hub_server(hub, host="0.0.0.0", tls=Tls(tmp_path / "no.pem", tmp_path / "no.key"))
    made, key = certificate(tmp_path)
    assert hub_server(hub, host="0.0.0.0", tls=Tls(made, key, made)).is_ssl


def test_bodies_that_are_no_json_are_told_so(edge: Client) -> None:
    for sent in (b"", b"[]", b"{", json.dumps({"models": [{}], "ts": ""}).encode()):
        assert edge.ask("POST", "/v1/edges/munich/status", data=sent).status_code == 422


def test_a_client_certificate_is_asked_for_beside_the_token(hub: Hub, tmp_path: Path) -> None:
    ours, theirs, others = (certificate(tmp_path / name) for name in ("hub", "edge", "other"))
    token = edges.add_edges(hub.store, [NewEdge("munich")])["munich"]
    with running_hub(hub, tls=Tls(*ours, client_ca=theirs[0])) as url:
        trusted = {"verify": str(ours[0]), "timeout": 20}
        known = trusted | {"cert": tuple(map(str, theirs))}
        bearer = {"Authorization": f"Bearer {token}"}
        path = f"{url}/v1/edges/munich/desired"
        assert requests.get(path, headers=bearer, **known).status_code == 200
        assert requests.get(path, **known).status_code == 401
        for shown in (trusted, trusted | {"cert": tuple(map(str, others))}):
            with pytest.raises(requests.ConnectionError):
                requests.get(path, headers=bearer, **shown)
        with pytest.raises(requests.exceptions.SSLError):  # a hub that another authority vouches for
            requests.get(path, headers=bearer, **known | {"verify": str(others[0])})


def test_a_compressed_body_is_not_unpacked(hub: Hub, edge: Client, asked: TrainingRound) -> None:
    bomb, packed = gzip.compress(bytes(64 << 20)), {"Content-Encoding": "gzip"}
    assert edge.ask("POST", "/v1/edges/munich/status", data=bomb, headers=packed).status_code == 422
    assert edge.ask("PUT", "/v1/rounds/digits-1/updates/munich", data=bomb, headers=packed).status_code == 422
    assert rounds.updates_of(hub.store, "digits-1")[0].size_bytes == len(bomb)


@pytest.mark.parametrize(("sent", "why"), [
    (b"Transfer-Encoding: chunked\r\n\r\n" + 3 * (b"32\r\n" + b" " * 50 + b"\r\n"), b"over 100 bytes"),
    (b"Content-Length: 90\r\n\r\n{", b"took more than"),
])  # fmt: skip
def test_a_body_that_grows_or_trickles_is_ended(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, sent: bytes, why: bytes
) -> None:
    monkeypatch.setattr(service, "MOST_TOLD_BYTES", 100)
    monkeypatch.setattr(service, "BODY_S", 0.5)
    token = edges.add_edges(hub.store, [NewEdge("munich")])["munich"]
    with running_hub(hub) as url, socket.create_connection(tuple(url.removeprefix("http://").split(":"))) as raw:
        raw.settimeout(20)
        raw.sendall(
            f"POST /v1/edges/munich/status HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n".encode() + sent
        )
        answer = b""
        while why not in answer and (more := raw.recv(1000)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 422")
    assert why in answer


@pytest.fixture
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_service, "BURST", 5.0)
    monkeypatch.setattr(http_service, "PER_S", 1e-3)


@pytest.mark.usefixtures("few_requests")
def test_a_token_that_asks_too_often_is_told_when_to_come_again_and_others_are_answered(hub: Hub, url: str) -> None:
    tokens = edges.add_edges(hub.store, [NewEdge("munich"), NewEdge("osaka")])
    munich, osaka = Client(url, tokens["munich"]), Client(url, tokens["osaka"])
    answers = [munich.ask("GET", "/v1/edges/munich/desired") for _ in range(7)]
    assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert osaka.ask("GET", "/v1/edges/osaka/desired").status_code == 200


@pytest.mark.usefixtures("few_requests")
def test_guessing_tokens_is_slowed_and_a_token_that_was_right_before_is_not(edge: Client) -> None:
    assert edge.ask("GET", "/v1/edges/munich/desired").status_code == 200
    guesses = [Client(edge.url, f"wrong-{number}").ask("GET", "/v1/edges/munich/desired") for number in range(7)]
    assert [each.status_code for each in guesses] == [401] * 5 + [429] * 2
    assert edge.ask("GET", "/v1/edges/munich/desired").status_code == 200
