"""The agent and the project's own hub, over a real socket: a version, what is told of it, a round, the outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from blocks.errors import Conflict, ContinuumError
from blocks.models import Registry, public_pem
from blocks.store import Store, edges, rounds
from blocks.store.edges import NewEdge
from blocks.store.tables import TrainingRound, now
from deployments.edge.agent import Agent
from deployments.edge.config import read_config
from deployments.hub import Hub, running_hub
from tasks.federation.decide.models import Shape, first_model
from tasks.federation.decide.wire import model_bytes
from tests.deployments.edge.small_hub import configuration, onnx_model

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture
def hub() -> Hub:
    store = Store.open()
    return Hub(store, Registry.open(store))


@pytest.fixture
def agent(hub: Hub, tmp_path: Path) -> Iterator[Agent]:
    token = edges.add_edges(hub.store, [NewEdge("munich")])["munich"]
    np.savez(tmp_path / "rows.npz", rows=np.eye(4, dtype=np.float32), labels=[0, 1, 0, 1])
    with running_hub(hub) as url:
        path = configuration(url, tmp_path, more='[training]\nrows = "rows.npz"', edge="munich", token=token)
        (tmp_path / "hub.pem").write_text(public_pem(hub.registry.key))
        made = Agent(read_config(path))
        yield made
        made.close()


def test_a_published_version_is_served_and_the_store_knows(hub, agent):
    first = hub.registry.publish("digits", "1", {"model.onnx": onnx_model(1.0)}).digest
    edges.set_wanted(hub.store, "digits", {"munich": first})
    connection = agent.hub()
    agent.converge(connection)
    assert agent.models.get("digits").digest == first
    (row,) = edges.models_of(hub.store, "munich")
    assert (row.wanted, row.running.removeprefix("sha256:"), row.state) == (first, first, "serving; right 2/4")
    second = hub.registry.publish("digits", "2", {"model.onnx": onnx_model(2.0)}).digest
    edges.set_wanted(hub.store, "digits", {"munich": second})
    agent.converge(connection)
    agent.converge(connection)  # which the hub answers with 304
    assert agent.models.get("digits").digest == second


def test_what_could_not_be_loaded_is_known_with_its_reason(hub, agent):
    bad = hub.registry.publish("digits", "1", {"model.onnx": b"no model"}).digest
    edges.set_wanted(hub.store, "digits", {"munich": bad})
    agent.converge(agent.hub())
    (row,) = edges.models_of(hub.store, "munich")
    assert row.state.startswith("failed: ")


def test_a_round_is_trained_and_taken_once(hub, agent):
    shape = Shape(4, 2)
    base = hub.registry.put(model_bytes(shape, first_model(shape, 0)))
    content = {"selected": ["munich"], "shape": [4, 2, 0], "seed": 7, "epochs": 5, "batch": 2, "lr": 0.2,
               "kind": "softmax", "scaling": {"middle": [0.5] * 4, "spread": [0.5] * 4, "farthest": 5.0}}  # fmt: skip
    ends = now() + timedelta(hours=1)
    asked = TrainingRound(id="r-1", model="digits", number=1, base=base, deadline=ends, content=content)
    rounds.open_round(hub.store, asked)
    connection = agent.hub()
    agent.converge(connection)
    agent.train(connection)
    (update,) = rounds.updates_of(hub.store, "r-1")
    assert (update.edge, update.samples, update.refused) == ("munich", 4, "")
    assert update.metrics["loss"] < update.metrics["loss_before"]
    assert np.abs(hub.registry.numbers(update.digest)).max() > 0.01
    agent.converge(connection)
    agent.train(connection)
    assert not agent.outbox.updates()
    assert not agent.outbox.batch()


def test_the_outbox_arrives_once_with_its_gaps(hub, agent):
    agent.outbox._kept = agent.outbox._kept._replace(waiting=10)
    begin = now()
    for at in range(30):
        agent.outbox.put("metrics", {"n": at})
    connection = agent.hub()
    while agent.outbox.waiting():
        agent.send(connection)
    told = [item.body["n"] for item in edges.told_by(hub.store, "metrics", begin)]
    gone = len(edges.told_by(hub.store, "gap", begin))
    assert told == list(range(gone, 30))
    assert 0 < gone < 30


def test_a_second_life_of_an_edge_waits_until_it_is_released(hub, agent):
    agent.outbox.put("metrics", {})
    agent.send(agent.hub())
    agent.close()
    (agent.config.state / "outbox.sqlite").unlink()
    again = Agent(agent.config)
    again.outbox.put("metrics", {"n": 1})
    with pytest.raises(Conflict, match="epoch"):
        again.send(again.hub())
    edges.release_edge(hub.store, "munich")
    again.send(again.hub())
    assert again.outbox.waiting() == 0
    again.close()


def test_a_removed_edge_keeps_serving_and_keeps_what_it_has_to_tell(hub, agent):
    digest = hub.registry.publish("digits", "1", {"model.onnx": onnx_model()}).digest
    edges.set_wanted(hub.store, "digits", {"munich": digest})
    agent.converge(agent.hub())
    edges.remove_edge(hub.store, "munich")
    agent.outbox.put("metrics", {})
    for step in (agent.converge, agent.send):
        with pytest.raises(ContinuumError, match="token"):
            step(agent.hub())
    assert agent.models.get("digits").digest == digest
    assert agent.outbox.waiting() == 1


def test_a_hub_restored_from_an_older_backup_gets_again_what_it_lost_and_nothing_twice(hub, agent, tmp_path):
    file = Path(hub.store.engine.url.database)
    first = hub.registry.publish("digits", "1", {"model.onnx": onnx_model(1.0)}).digest
    edges.set_wanted(hub.store, "digits", {"munich": first})
    begin, connection = now(), agent.hub()

    def tell(*numbers: int) -> None:
        agent.outbox.put("metrics", *({"n": number} for number in numbers))
        agent.send(connection)

    tell(1, 2, 3)
    with sqlite3.connect(file) as live, sqlite3.connect(tmp_path / "backup.db") as backup:
        live.backup(backup)
    tell(4, 5)
    second = hub.registry.publish("digits", "2", {"model.onnx": onnx_model(2.0)}).digest
    edges.set_wanted(hub.store, "digits", {"munich": second})
    agent.converge(connection)
    with sqlite3.connect(tmp_path / "backup.db") as backup, sqlite3.connect(file) as live:
        backup.backup(live)
    tell(6)
    while agent.outbox.waiting():
        agent.send(connection)
    assert [item.body["n"] for item in edges.told_by(hub.store, "metrics", begin)] == [1, 2, 3, 4, 5, 6]
    agent.converge(connection)
    assert agent.models.get("digits").digest == first  # what the restored hub wants, whole, from its own disk
