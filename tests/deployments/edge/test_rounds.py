"""An edge's part of a round: the arithmetic of `tasks/federation`, once a round, whatever is lost."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from blocks.errors import ContinuumError, InvalidInput
from deployments.edge.rounds import LocalData, Scaling, read_round, read_rows, seed_of, take_part
from tasks.federation.decide.models import Shape, first_model
from tasks.federation.decide.training import Training, train
from tasks.federation.decide.updates import Call, Update, pack, unpack, why_refused
from tasks.federation.decide.wire import model_bytes, read_update
from tests.deployments.edge.small_hub import killed_at, sha256

STEPS = frozenset({"execute", "executemany", "write", "sendall"})

DRAW = np.random.default_rng(3)
ROWS = DRAW.normal(size=(40, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(np.int64)
DATA = LocalData(ROWS, LABELS)


def asked_for(shape: Shape, blob: bytes, ahead_s: float = 60.0, **odd) -> dict:
    deadline = (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat()
    return {"id": "r1", "model": "m", "base": f"sha256:{sha256(blob)}", "seed": 7, "deadline": deadline, "epochs": 2,
            "batch": 8, "lr": 0.2, "kind": "mlp" if shape.hidden else "softmax", **odd}  # fmt: skip


@pytest.fixture
def ready(hub, started, tmp_path: Path):
    """An agent with rows, asked for a round from a base on the hub."""
    (tmp_path / "edge-1").mkdir()
    np.savez(tmp_path / "edge-1" / "rows.npz", rows=ROWS, labels=LABELS)

    def start(**odd):
        shape = Shape(4, 2)
        blob = model_bytes(shape, first_model(shape, 0))
        hub.blobs[sha256(blob)] = blob
        hub.desired["round"] = asked_for(shape, blob, **odd)
        agent = started(more='[training]\nrows = "rows.npz"')
        agent.converge(agent.hub())
        return agent

    return start


@pytest.mark.parametrize("shape", [Shape(4, 2), Shape(4, 2, 6)])
def test_an_update_is_what_the_simulation_would_train_within_a_step_of_int8(shape):
    base = first_model(shape, 5)
    blob = model_bytes(shape, base)
    asked = read_round(asked_for(shape, blob))
    sent = read_update(take_part("edge-1", asked, blob, DATA), shape)
    want = train(shape, base, ROWS, LABELS, Training(2, 0.2, 8), seed_of("edge-1", asked)) - base
    assert np.array_equal(sent.delta, unpack(shape, pack(shape, want)))
    assert np.abs(want).max() > 0.01
    assert (sent.round, sent.edge, sent.base, sent.samples) == ("r1", "edge-1", f"sha256:{sha256(blob)}", 40)
    assert sent.metrics["loss"] < sent.metrics["loss_before"]


def test_an_update_passes_the_checks_of_the_round():
    shape = Shape(4, 2)
    blob = model_bytes(shape, first_model(shape, 0))
    sent = read_update(take_part("edge-1", read_round(asked_for(shape, blob)), blob, DATA), shape)
    update = Update(3, 1, sent.base, sent.samples, sent.delta)
    assert why_refused(update, Call(1, f"sha256:{sha256(blob)}", (3,), shape.size), ()) == ""


def test_the_same_round_gives_the_same_bytes_and_another_edge_others():
    shape = Shape(4, 2)
    blob = model_bytes(shape, first_model(shape, 0))
    asked = read_round(asked_for(shape, blob))
    assert take_part("a", asked, blob, DATA) == take_part("a", asked, blob, DATA)
    assert (
        take_part("a", asked, blob, DATA).partition(b"\n")[2] != take_part("b", asked, blob, DATA).partition(b"\n")[2]
    )


def test_rows_are_scaled_as_the_round_says():
    scaling = Scaling(np.array([1, 0], np.float32), np.array([2, 1], np.float32), 3.0)
    assert scaling(np.array([[3, -9]], np.float32)).tolist() == [[1.0, -3.0]]


def test_an_agent_trains_once_and_sends_once(hub, ready):
    agent = ready()
    connection = agent.hub()
    agent.train(connection)
    body = hub.updates["r1", "edge-1"]
    agent.train(connection)
    assert [line for line in hub.asked if line.startswith("PUT")] == ["PUT /v1/rounds/r1/updates/edge-1"]
    assert read_update(body, Shape(4, 2)).samples == 40
    assert agent.outbox.batch()[-1]["body"] == {"round": "r1", "accepted": True, "reason": ""}


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes_after_a_restart(hub, ready, started):
    agent = ready()
    real, hub.answer = hub.answer, lambda *asked: (real(*asked), (502, {}, b""))[asked[0] == "PUT"]
    with pytest.raises(ContinuumError, match="502"):
        agent.train(agent.hub())
    hub.answer = real
    agent = started(more='[training]\nrows = "rows.npz"')
    agent.converge(agent.hub())
    agent.train(agent.hub())
    puts = [line for line in hub.asked if line.startswith("PUT")]
    assert len(puts) == 2
    assert agent.outbox.batch()[-1]["body"]["accepted"] is True


def test_killed_at_every_step_of_a_round_the_hub_gets_one_update_and_is_told_once(hub, ready, started, tmp_path):
    """Every write, statement and request is a step; each kill begins from the same disk."""
    settings = {"more": '[training]\nrows = "rows.npz"'}
    before = ready()
    before.close()
    state, kept = before.config.state, tmp_path / "kept"
    shutil.copytree(state, kept)
    asked = read_round(hub.desired["round"])
    expected = take_part("edge-1", asked, hub.blobs[asked.base], DATA)
    step, whole = 0, False
    while not whole:
        step += 1
        shutil.rmtree(state)
        shutil.copytree(kept, state)
        hub.updates.clear()
        agent = started(**settings)
        agent.converge(agent.hub())
        whole = not killed_at(step, STEPS, lambda agent=agent: agent.train(agent.hub()))
        agent = started(**settings)
        agent.converge(agent.hub())
        agent.train(agent.hub())
        assert hub.updates == {("r1", "edge-1"): expected}
        (told,) = agent.outbox.batch()
        assert told["body"] == {"round": "r1", "accepted": True, "reason": ""}
        agent.close()
    assert step > 15


@pytest.mark.parametrize("status", [409, 422])
def test_a_refused_update_is_told_and_not_sent_again(hub, ready, status):
    agent = ready()
    hub.odd = lambda method, *_: (
        (status, {}, b'{"accepted": false, "reason": "stale base"}') if method == "PUT" else None
    )
    agent.train(agent.hub())
    agent.train(agent.hub())
    assert len([line for line in hub.asked if line.startswith("PUT")]) == 1
    assert agent.outbox.batch()[-1]["body"] == {"round": "r1", "accepted": False, "reason": "stale base"}


def test_after_the_deadline_of_the_hubs_clock_nothing_is_trained(hub, ready):
    agent = ready(ahead_s=-5.0)
    agent.train(agent.hub())
    assert not hub.updates
    assert not [line for line in hub.asked if "blobs" in line]


def test_an_edge_whose_clock_lies_trains_by_the_hubs(hub, ready, started):
    agent = ready()
    agent._now_s = lambda: 4e9  # decades ahead: by it every round is over
    agent._etag = ""
    agent.converge(agent.hub())
    agent.train(agent.hub())
    assert hub.updates


def test_a_base_that_is_not_the_rounds_is_never_trained_from(hub, ready):
    agent = ready()
    digest = hub.desired["round"]["base"].removeprefix("sha256:")
    hub.blobs[digest] = hub.blobs[digest][:-1] + b"\x01"
    with pytest.raises(ContinuumError, match="sha256"):
        agent.train(agent.hub())
    assert not hub.updates


def test_a_round_that_does_not_fit_the_rows_is_told_once(hub, ready):
    agent = ready(scaling={"middle": [0.0], "spread": [1.0], "farthest": 5.0})
    agent.train(agent.hub())
    agent.train(agent.hub())
    (told,) = agent.outbox.batch()
    assert "scaling" in told["body"]["reason"]
    assert not hub.updates


@pytest.mark.parametrize(
    "odd",
    [{"base": "sha256:xyz"}, {"base": 3}, {"epochs": 0}, {"epochs": True}, {"lr": float("nan")}, {"lr": -1},
     {"batch": 1.5}, {"kind": "forest"}, {"seed": -1}, {"id": ""},
     {"scaling": {"middle": [0], "spread": [0], "farthest": 1}}],
)  # fmt: skip
def test_a_round_with_a_field_out_of_its_range_is_refused(odd):
    with pytest.raises(InvalidInput, match="round"):
        read_round(asked_for(Shape(4, 2), b"", **odd))


def test_a_bad_round_does_not_keep_models_out(hub, ready):
    agent = ready(epochs=-1)
    hub.publish("1")
    agent.converge(agent.hub())
    assert "digits" in agent.models


@pytest.mark.parametrize(
    "blob", [b"", b"continuum.model/1 4 0 2\n", b"continuum.model/1 4 3 2\n" + bytes(4 * 23), b"x" * 60]
)
def test_a_base_of_another_size_or_kind_is_refused(blob):
    with pytest.raises(InvalidInput, match="model"):
        take_part("e", read_round(asked_for(Shape(4, 2), blob)), blob, DATA)


def test_rows_from_csv_are_the_rows_of_npz(tmp_path):
    lines = [
        "a,b,label,c,d",
        *(f"{r[0]!r},{r[1]!r},{y},{r[2]!r},{r[3]!r}" for r, y in zip(ROWS.tolist(), LABELS, strict=True)),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    np.savez(tmp_path / "rows.npz", rows=ROWS, labels=LABELS)
    csv, npz = read_rows(tmp_path / "rows.csv"), read_rows(tmp_path / "rows.npz")
    assert np.array_equal(csv.rows, npz.rows)
    assert csv.labels.tolist() == npz.labels.tolist()


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2", "a,label\n1,x", "a,label\nnan,1", "a,label\n1,0.5", "a,label\n1,-1", "a,label"]
)
def test_a_file_of_rows_that_does_not_fit_is_named(tmp_path, text):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(InvalidInput, match=r"rows\.csv"):
        read_rows(tmp_path / "rows.csv")
