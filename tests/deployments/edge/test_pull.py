"""Models reach the edge intact, or the old one stays and the hub is told why."""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocks.errors import ContinuumError, TimedOut, Unauthorized, Unreachable
from blocks.tensors import encode
from deployments.edge.http import Request, Response
from deployments.edge.keeper import Wanted
from deployments.edge.oip import Service
from tests.deployments.edge.small_hub import TOKEN, killed_at, onnx_model, sha256

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROW = {"rows": np.zeros((1, 4), np.float32)}


def serving(agent) -> str:
    """The digest in service, or nothing."""
    return next((each.digest for each in agent.models), "")


def told(hub) -> dict[str, str]:
    """Why each version is not in service, by the last status."""
    return {each["digest"].removeprefix("sha256:"): each["state"] for each in hub.statuses[-1]["models"]
            if each["state"].startswith(("failed: ", "fetching: "))}  # fmt: skip


def stepped(agent) -> None:
    """One pass, whatever comes of it."""
    with suppress(ContinuumError):
        agent.converge(agent.hub())


def test_a_wanted_version_is_served_and_told(hub, started):
    agent, digest = started(), hub.publish("1", bias=2.0)
    agent.converge(agent.hub())
    assert serving(agent) == digest
    assert hub.statuses[-1]["models"] == [{"name": "digits", "digest": f"sha256:{digest}", "state": "serving"}]
    answer = agent.models.get("digits").run(ROW)
    assert answer["label"].tolist() == [0]


def test_an_unchanged_wish_costs_one_304_and_no_blob(hub, started):
    agent = started()
    hub.publish("1")
    connection = agent.hub()
    agent.converge(connection)
    before = len(hub.asked)
    agent.converge(connection)
    assert hub.asked[before:] == ["GET /v1/edges/edge-1/desired"]
    assert hub.headers[-1]["if-none-match"]


def test_a_restart_serves_the_same_version_without_the_hub(hub, started):
    digest = hub.publish("1")
    stepped(started())
    hub.odd = lambda *_: (503, {}, b"")
    assert serving(started()) == digest


def test_the_version_before_is_kept_and_going_back_needs_no_blob(hub, started):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    hub.publish("2", bias=1.0)
    stepped(agent)
    before = len(hub.asked)
    hub.want(("digits", "1", first))
    stepped(agent)
    assert serving(agent) == first
    assert not [line for line in hub.asked[before:] if "blobs" in line or "manifests" in line]


def test_a_rotten_current_version_falls_back_to_the_one_before(hub, started):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", bias=1.0)
    stepped(agent)
    file = agent.library.folder(second) / "model.onnx"
    rotten = bytearray(file.read_bytes())
    rotten[100] ^= 1
    file.write_bytes(rotten)
    agent = started()
    assert serving(agent) == first
    stepped(agent)  # and is fetched anew
    assert serving(agent) == second


def flipped(body: bytes) -> bytes:
    return body[:50] + bytes([body[50] ^ 1]) + body[51:]


ANSWERS = {
    "flipped byte": (lambda body: (200, {}, flipped(body)), "sha256"),
    "truncated": (lambda body: (200, {"Content-Length": str(len(body))}, body[:-10]), "cut off"),
    "short": (lambda body: (200, {}, body[:-10]), "cut off"),
    "oversized": (lambda body: (200, {}, body + b"x" * 1000), "longer than"),
    "zip bomb": (lambda body: (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(10**6))), "compressed"),
    "404": (lambda body: (404, {}, b"{}"), "404"),
    "page of a proxy": (lambda body: (200, {}, b"<html>sign in</html>" + bytes(len(body) - 20)), "sha256"),
    "redirect": (lambda body: (302, {"Location": "http://127.0.0.1:1/"}, b""), "302"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_spoilt_file_is_refused_told_and_replaced_by_a_good_one(hub, started, case):
    spoil, reason = ANSWERS[case]
    agent, first = started(), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", bias=1.0)
    blob = sha256(onnx_model(1.0))
    hub.odd = lambda _, path, __: spoil(hub.blobs[blob]) if path.endswith(f"blobs/sha256:{blob}") else None
    stepped(agent)
    assert serving(agent) == first
    assert reason in told(hub)[second]
    hub.odd = lambda *_: None
    agent.keeper._clock = lambda: 10**9  # its pause is over
    stepped(agent)
    assert serving(agent) == second
    assert not told(hub)


def test_a_cut_file_is_gone_on_with_where_it_was_cut(hub, started):
    agent, digest = started(), hub.publish("1")
    blob = sha256(onnx_model())
    body = hub.blobs[blob]
    cut = iter([(200, {"Content-Length": str(len(body))}, body[:200])])
    hub.odd = lambda _, path, __: next(cut, None) if blob in path else None
    with pytest.raises(Unreachable, match="cut off after 200"):
        agent.converge(agent.hub())
    agent.converge(agent.hub())
    assert serving(agent) == digest
    assert hub.headers[[at for at, line in enumerate(hub.asked) if blob in line][-1]]["range"] == "bytes=200-"


def test_a_full_disk_keeps_the_old_version_and_is_told(hub, started):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", bias=1.0, more={"weights.bin": bytes(200_000)})
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (100_000, allowed[1])
    )  # the system then refuses to write more, as a full disk
    try:
        stepped(agent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert serving(agent) == first
    assert "weights.bin: cannot be written" in told(hub)[second]
    agent.keeper._clock = lambda: 10**9
    stepped(agent)
    assert serving(agent) == second


def test_a_blob_that_trickles_is_given_up(hub, started):
    agent, digest = started(), hub.publish("1")
    connection = agent.hub()
    connection._clock = iter(range(0, 10**6, 100)).__next__  # 100 s pass between two looks at the clock
    with pytest.raises(TimedOut, match="trickles"):
        agent.keeper.converge(connection, [Wanted("digits", "1", digest)])
    assert serving(agent) == ""


def test_each_request_is_answered_by_one_version_whole_while_versions_flip(hub, started):
    agent = started()
    digests = [hub.publish(str(at), bias=float(at)) for at in range(4)]
    agent.converge(agent.hub())
    share = {str(at): float(np.exp(at) / (np.exp(at) + 2)) for at in range(4)}
    body, headers = encode(ROW, "1", binary=False)
    request = Request("POST", "/v2/models/digits/infer", headers, body)
    service, seen, ended = Service(agent.models, agent.keeper, agent.meters), set(), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            found = service(request)
            said = json.loads((found if isinstance(found, Response) else found()).body)
            version, values = said["model_version"], {each["name"]: each["data"] for each in said["outputs"]}
            seen.add((version, values["probabilities"][0] == pytest.approx(share[version], rel=1e-5)))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in (0, 1, 2, 3) * 5:
        hub.want(("digits", str(at), digests[at]))
        agent.converge(agent.hub())
    ended.set()
    for thread in threads:
        thread.join()
    assert {right for _, right in seen} == {True}
    assert len(seen) > 1


def test_a_signature_by_another_key_is_refused_before_any_file_is_asked_for(hub, started):
    agent = started()
    digest = hub.publish("1", key=Ed25519PrivateKey.from_private_bytes(bytes(32)))
    stepped(agent)
    assert "signature" in told(hub)[digest]
    assert not [line for line in hub.asked if "blobs" in line]


def test_a_path_that_climbs_out_is_refused_and_writes_nothing(hub, started, tmp_path):
    agent, digest = started(), hub.publish("1")
    hub.manifests[digest] = hub.manifests[digest].replace(b"model.onnx", b"../../evil")
    stepped(agent)
    assert "no plain name" in told(hub)[digest] or "not a signed manifest" in told(hub)[digest]
    assert not list(tmp_path.rglob("*evil*"))


def test_a_manifest_of_another_version_is_refused(hub, started):
    agent = started()
    first, second = hub.publish("1"), hub.publish("2", bias=1.0)
    hub.manifests[second] = hub.manifests[first]
    stepped(agent)
    assert "another version" in told(hub)[second]


def test_an_oversized_manifest_is_refused(hub, started):
    agent, digest = started(), hub.publish("1")
    hub.manifests[digest] += b" " * 2**20
    stepped(agent)
    assert "more than" in told(hub)[digest]


def canary(bias: float) -> bytes:
    rows = {"name": "rows", "shape": [1, 4], "datatype": "FP32", "data": [0, 0, 0, 0]}
    share = float(np.exp(bias) / (np.exp(bias) + 2))
    said = [share, (1 - share) / 2, (1 - share) / 2]
    outputs = [{"name": "probabilities", "shape": [1, 3], "datatype": "FP32", "data": said}]
    return json.dumps({"inputs": [rows], "outputs": outputs, "tolerance": 1e-5}).encode()


def test_a_canary_that_answers_alike_lets_the_version_in(hub, started):
    agent, digest = started(), hub.publish("1", bias=1.0, more={"canary.json": canary(1.0)})
    stepped(agent)
    assert serving(agent) == digest


@pytest.mark.parametrize("spoilt", [canary(2.0), b"[]", b'{"inputs": [], "outputs": []}', b"\xff"])
def test_a_canary_that_answers_differently_keeps_the_old_version(hub, started, spoilt):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", bias=1.0, more={"canary.json": spoilt})
    stepped(agent)
    assert serving(agent) == first
    assert "canary" in told(hub)[second]


def test_a_file_that_is_no_model_is_refused(hub, started):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", more={"model.onnx": b"no model"})
    stepped(agent)
    assert serving(agent) == first
    assert told(hub)[second]


def test_one_bad_model_does_not_keep_the_others_out(hub, started):
    agent = started()
    bad = hub.publish("1", name="bad", more={"model.onnx": b"no model"})
    good = hub.publish("1", name="good")
    hub.want(("bad", "1", bad), ("good", "1", good))
    hub.desired["models"].insert(0, {"name": "../x"})
    stepped(agent)
    assert [each.name for each in agent.models] == ["good"]


def test_a_refused_version_is_not_fetched_again_at_every_pass(hub, started):
    agent = started()
    hub.publish("1", more={"model.onnx": b"no model"})
    stepped(agent)
    before = len(hub.asked)
    stepped(agent)
    assert not [line for line in hub.asked[before:] if "blobs" in line]


def test_the_cache_keeps_within_its_bytes_and_never_drops_what_is_in_use(hub, started):
    agent = started(models="cache_bytes = 4000")
    digests = []
    for at in range(5):
        digests.append(hub.publish(str(at), bias=float(at)))
        stepped(agent)
        assert serving(agent) == digests[at]
        kept = {folder.name for folder in agent.library.folder("x").parent.iterdir()}
        assert sum(file.stat().st_size for digest in kept for file in agent.library.folder(digest).iterdir()) <= 4000
        assert set(digests[-2:]) <= kept
    assert digests[0] not in kept


def test_a_model_in_service_is_not_evicted_though_it_was_loaded_longest_ago(hub, started):
    agent = started(models="cache_bytes = 4500")
    steady = hub.publish("1", name="steady")
    for at in range(4):
        other = hub.publish(str(at), bias=float(at))
        hub.want(("steady", "1", steady), ("digits", str(at), other))
        stepped(agent)
        assert {each.digest for each in agent.models} == {steady, other}
        agent.library.verified(steady)


def test_a_version_that_does_not_fit_beside_those_in_use_is_refused(hub, started):
    agent, first = started(models="cache_bytes = 4000"), hub.publish("1")
    stepped(agent)
    second = hub.publish("2", bias=1.0, more={"weights.bin": bytes(4000)})
    stepped(agent)
    assert serving(agent) == first
    assert "do not fit" in told(hub)[second]


def test_a_model_that_is_no_longer_wanted_is_dropped_but_an_empty_list_drops_nothing(hub, started):
    agent = started()
    a, b = hub.publish("1", name="a"), hub.publish("1", name="b")
    hub.want(("a", "1", a), ("b", "1", b))
    stepped(agent)
    hub.want()
    stepped(agent)
    assert {each.name for each in agent.models} == {"a", "b"}
    hub.want(("b", "1", b))
    stepped(agent)
    assert {each.name for each in agent.models} == {"b"}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "no"}', b'{"models": {}}', b"[" * 10**5])
def test_a_200_that_is_no_wish_changes_nothing(hub, started, body):
    agent, digest = started(), hub.publish("1")
    stepped(agent)
    hub.odd = lambda _, path, __: (200, {}, body) if path.endswith("desired") else None
    stepped(agent)
    assert serving(agent) == digest


def test_a_revoked_token_is_told_as_such(hub, started, tmp_path):
    agent = started()
    (tmp_path / "edge-1" / "token").write_text("other")
    with pytest.raises(Unauthorized, match="token"):
        agent.converge(agent.hub())
    (tmp_path / "edge-1" / "token").write_text(TOKEN)  # and a new one needs no restart
    agent.converge(agent.hub())


STEPS = frozenset({"write", "fsync", "replace", "rename", "mkdir", "unlink", "utime", "sendall", "run"})


def test_killed_at_every_step_of_a_pull_the_edge_is_on_one_version_or_the_other(hub, started, tmp_path):
    """Every call that changes a file, every request and inference is a step; each kill begins from the same disk."""
    first = hub.publish("1")
    before = started()
    stepped(before)
    before.close()
    state, kept = before.config.state, tmp_path / "kept"
    shutil.copytree(state, kept)
    second = hub.publish("2", bias=1.0, more={"canary.json": canary(1.0)})
    expected = {first: ("1", 1 / 3), second: ("2", float(np.e / (np.e + 2)))}
    seen, whole = [], False
    while not whole:
        shutil.rmtree(state)
        shutil.copytree(kept, state)
        whole = not killed_at(len(seen) + 1, STEPS, lambda agent=started(): stepped(agent))
        agent = started()  # as it comes up without having asked the hub
        found = serving(agent)
        served = agent.models.get("digits")
        share = served.run(ROW)["probabilities"][0, 0]
        assert (served.version, share) == (expected[found][0], pytest.approx(expected[found][1]))
        agent.library.verified(found)
        stepped(agent)  # and what was begun is gone on with
        assert serving(agent) == second
        agent.close()
        seen.append(found)
    assert len(seen) > 20
    assert seen == sorted(seen, key=[first, second].index)
    assert {first, second} == set(seen)


def test_what_a_killed_pull_left_is_cleaned_once_nobody_wants_it(hub, started, tmp_path: Path):
    agent, first = started(), hub.publish("1")
    stepped(agent)
    hub.publish("2", bias=1.0)
    hub.odd = lambda _, path, __: (500, {}, b"") if "blobs" in path else None
    stepped(agent)
    incoming = tmp_path / "edge-1" / "state" / "incoming"
    assert list(incoming.iterdir())
    hub.want(("digits", "1", first))
    stepped(agent)
    assert not list(incoming.iterdir())


def test_a_second_agent_on_the_same_folder_is_refused(hub, started):
    from deployments.edge.agent import Agent

    agent = started()
    with pytest.raises(ContinuumError, match="another agent"):
        Agent(agent.config)
