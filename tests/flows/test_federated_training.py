"""Rounds over simulated edges that speak HTTP: trained, gated, published, replayed; dead and hostile edges; kills."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blocks.errors import InvalidInput, NotFound, Refused
from blocks.fleet import Fleet
from blocks.models import Registry
from blocks.store import Journal, Store
from blocks.store.edges import NewEdge, add_edges
from blocks.store.rounds import rounds
from blocks.store.tables import Mode
from deployments.edge.serving import open_model
from deployments.hub import Hub, running_hub
from deployments.local.edges import SimulatedEdge, Trainer, running_edges, trainer
from flows.federated_training import FederatedRequest, federated_training
from tasks.acting import looks
from tasks.federation.act import replayed
from tasks.federation.decide.models import Shape, Vector
from tasks.federation.decide.privacy import Privacy, epsilon_after
from tasks.federation.decide.wire import read_update, write_update
from tasks.federation.files import read_dataset
from tasks.federation.world import Asked, build_world

pytestmark = pytest.mark.server

DEVICES = 8
REQUEST = FederatedRequest(mode=Mode.ACT, rounds=2, fraction=0.5, deadline_s=30)


@pytest.fixture
def registry(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr("tasks.federation.act.LOOK_S", (0.01, 0.05))
    return Registry.open(Store.open())


@pytest.fixture
def edges(registry: Registry, tmp_path: Path) -> Iterator[list[SimulatedEdge]]:
    """Devices that hold digits, dealt by label; each has been heard of once."""
    tokens = add_edges(registry.store, [NewEdge(f"device-{n}", simulated=True) for n in range(DEVICES)])
    dataset = read_dataset("digits", "", [])
    world = build_world(dataset, Asked(devices=DEVICES))
    with running_hub(Hub(registry.store, registry)) as url:
        made = [
            SimulatedEdge(name, token, url, registry.key.public_key(), tmp_path / name,
                          trains=trainer(name, dataset.rows[part], dataset.labels[part]))
            for (name, token), part in zip(tokens.items(), world.parts, strict=True)
        ]  # fmt: skip
        with running_edges(made, pause_s=0.05):
            assert any(all(edge._told for edge in made) for _ in looks(60))
        yield made


def running(edges: list[SimulatedEdge]) -> AbstractContextManager[Any]:
    return running_edges(edges, pause_s=0.05)


def changed(trains: Trainer | None, change: Callable[[Vector], Vector]) -> Trainer:
    """A device that sends another update than it has learnt."""
    assert trains

    def train(asked: dict[str, Any], shape: Shape, base: Vector) -> bytes:
        sent = read_update(trains(asked, shape, base), shape)
        return write_update(shape, change(sent.delta), round_id=sent.round, edge=sent.edge, base=sent.base,
                            samples=sent.samples)  # fmt: skip

    return train


def decision_of(told: dict[str, Any]) -> dict[str, Any]:
    (decision,) = told["decisions"]
    return dict(decision)


def result_of(told: dict[str, Any]) -> dict[str, Any]:
    return dict(decision_of(told)["result"])


def test_shadow_says_how_many_and_asks_nobody(registry: Registry, edges: list[SimulatedEdge]) -> None:
    (told,) = federated_training(REQUEST.model_copy(update={"mode": Mode.SHADOW}))["decisions"]
    assert (told["action"], told["devices"], told["cohort"], told["rule"]) == ("train", DEVICES, 4, "mean")
    assert rounds(registry.store) == []


def test_without_edges_it_refuses(registry: Registry) -> None:
    (told,) = federated_training(REQUEST)["decisions"]
    assert (told["action"], told["result"]) == ("refuse", None)


def test_rounds_teach_are_published_and_give_the_same_digest_again(
    registry: Registry, edges: list[SimulatedEdge], tmp_path: Path
) -> None:
    with running(edges):
        told = result_of(federated_training(REQUEST))
    assert told["state"] == "done", told["detail"]
    second, first = rounds(registry.store, "digits")
    assert first.after["score"] < second.after["score"] > 0.7
    assert second.base == first.after["digest"]
    for row in (first, second):
        assert replayed(registry, row.id) == (row.after["digest"], row.after["digest"])
        assert len(row.content["selected"]) == 4 == sum(not each["refused"] for each in row.record["updates"])
    version = registry.version("digits")
    assert (version.version, set(version.metrics)) == ("round-2", {"accuracy", "gate"})
    manifest = registry.manifest(version.digest)
    for file in manifest.files:
        (tmp_path / file.path).write_bytes(registry.get(file.sha256))
    pytest.importorskip("onnxruntime")
    open_model(manifest, version.digest, tmp_path, ["CPUExecutionProvider"], 1)  # answers as NumPy does
    canary = json.loads((tmp_path / "canary.json").read_text())
    canary["outputs"][0]["data"][0] += 0.1
    (tmp_path / "canary.json").write_text(json.dumps(canary))
    with pytest.raises(Refused, match="canary"):
        open_model(manifest, version.digest, tmp_path, ["CPUExecutionProvider"], 1)


def test_a_dead_edge_holds_no_round_past_its_deadline(registry: Registry, edges: list[SimulatedEdge]) -> None:
    for edge in edges[:2]:
        edge.alive = False
    with running(edges):
        told = result_of(federated_training(REQUEST.model_copy(update={"fraction": 1.0, "rounds": 1, "deadline_s": 3})))
    assert told["state"] == "done"
    (row,) = rounds(registry.store, "digits")
    assert row.closed_at
    assert (row.closed_at - row.deadline).total_seconds() < 3
    assert (row.record["accepted"], len(row.record["updates"])) == (True, DEVICES - 2)


def test_bad_updates_are_refused_alone_and_told(registry: Registry, edges: list[SimulatedEdge]) -> None:
    edges[0].trains = changed(edges[0].trains, lambda delta: np.full_like(delta, np.nan))
    edges[1].trains = changed(edges[1].trains, lambda delta: 1000 * delta)
    with running(edges):
        federated_training(REQUEST.model_copy(update={"fraction": 1.0, "rounds": 1}))
    (row,) = rounds(registry.store, "digits")
    refused = {each["edge"]: each["refused"] for each in row.record["updates"] if each["refused"]}
    assert set(refused) == {"device-0", "device-1"}
    assert "not finite" in refused["device-0"]
    assert "much longer" in refused["device-1"]
    assert row.record["accepted"]
    assert replayed(registry, row.id) == (row.after["digest"],) * 2


def test_where_all_are_refused_the_model_stays(registry: Registry, edges: list[SimulatedEdge]) -> None:
    for edge in edges:
        edge.trains = changed(edge.trains, lambda delta: np.full_like(delta, np.inf))
    with running(edges):
        federated_training(REQUEST.model_copy(update={"rounds": 1}))
    (row,) = rounds(registry.store, "digits")
    assert (row.record["accepted"], row.record["why"], row.after["digest"]) == (False, "quorum", row.base)


def test_a_round_that_was_left_open_is_finished_first(registry: Registry, edges: list[SimulatedEdge]) -> None:
    one = REQUEST.model_copy(update={"rounds": 1})
    with running(edges), pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.federation.act.wait", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            federated_training(one)
    with running(edges):
        assert result_of(federated_training(one))["state"] == "done"
    assert [row.id for row in rounds(registry.store, "digits")] == ["digits-1"]


def test_what_a_round_was_made_of_is_needed_to_replay_it(registry: Registry, edges: list[SimulatedEdge]) -> None:
    with running(edges):
        federated_training(REQUEST.model_copy(update={"rounds": 1}))
    (row,) = rounds(registry.store, "digits")
    sent = next(each for each in row.record["updates"] if not each["refused"])
    file = Path(registry.root or "") / "updates" / sent["digest"]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Refused, match="not those that were written"):
        replayed(registry, row.id)
    file.unlink()
    with pytest.raises(NotFound):
        replayed(registry, row.id)
    with pytest.raises((NotFound, InvalidInput)):
        replayed(registry, "digits-9")


def test_a_freeze_stops_it_before_the_next_round(registry: Registry, edges: list[SimulatedEdge]) -> None:
    Journal(registry.store).freeze("digits")
    told = result_of(federated_training(REQUEST))
    assert told["state"] == "failed"
    assert "frozen" in told["detail"]
    assert rounds(registry.store) == []


def test_runs_share_a_privacy_budget_and_stop_when_it_is_spent(registry: Registry, edges: list[SimulatedEdge]) -> None:
    pytest.importorskip("dp_accounting")
    two = epsilon_after(2, Privacy(2.0, 1.0, 0.5, DEVICES, 1 / (50 * DEVICES)))
    private = REQUEST.model_copy(update={"dp_noise": 2.0, "rounds": 1, "publish": False})
    with running(edges):
        federated_training(private.model_copy(update={"epsilon_budget": 1.001 * two}))
        second = decision_of(federated_training(private.model_copy(update={"rounds": 5})))
    assert [reason["code"] for reason in second["reasons"]] == ["budget-ends", "few-for-privacy"]
    newest, oldest = rounds(registry.store, "digits")
    assert (newest.record["rule"], newest.content["step"]) == ("dp-fedavg", "average")
    assert oldest.content["epsilon"] < newest.content["epsilon"] == pytest.approx(two)
    assert replayed(registry, newest.id) == (newest.after["digest"],) * 2
    third = decision_of(federated_training(private))
    assert (third["action"], third["reasons"][0]["code"]) == ("refuse", "budget-spent")
    assert len(rounds(registry.store)) == 2


def test_two_runs_at_once_do_not_open_two_rounds(registry: Registry, edges: list[SimulatedEdge]) -> None:
    other = Journal(registry.store)
    other.acquire("federate/digits", 60)
    told = result_of(federated_training(REQUEST))
    assert told["state"] == "failed"
    assert rounds(registry.store) == []


@pytest.mark.parametrize("odd", [{"dp_noise": 0.1}, {"dp_noise": 1, "aggregator": "median"},
                                 {"dp_noise": 1, "assumed_hostile": 0.2}, {"dp_noise": 1, "carbon_weight": 1},
                                 {"assumed_hostile": 0.2, "data_weight": 1}])  # fmt: skip
def test_wishes_that_contradict_each_other_are_refused_at_the_form(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"dp_noise|data_weight"):
        FederatedRequest(**odd)
