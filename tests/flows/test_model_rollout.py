"""Versions brought to simulated edges over HTTP: waves, checks, back where a check fails, carried on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from blocks.fleet import Fleet
from blocks.models import Registry, public_pem
from blocks.store import Journal, Store
from blocks.store.edges import NewEdge, add_edges, set_wanted
from blocks.store.rollouts import rollouts
from blocks.store.tables import Mode
from deployments.command.journal import appliers, undo_decision
from deployments.edge.agent import Agent
from deployments.edge.config import read_config
from deployments.hub import Hub, running_hub
from deployments.local.edges import STEPS, SimulatedEdge, on_disks, running_edges
from flows.model_rollout import RolloutRequest, model_rollout
from tests.deployments.edge.small_hub import configuration, onnx_model

pytestmark = pytest.mark.server

MANY = 24
REQUEST = RolloutRequest(model="digits", mode=Mode.ACT, canary_percent=10, wave_edges=10, soak_s=0, patience_s=20)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.acting.actuator.POLL_S", (0.05, 0.2))


@pytest.fixture
def registry(fleet: Fleet) -> Registry:
    return Registry.open(Store.open())


@pytest.fixture
def edges(registry: Registry, tmp_path: Path) -> Iterator[list[SimulatedEdge]]:
    """Edges of two regions that run version 1."""
    names = [NewEdge(f"edge-{n:02}", ("near-edge", "far-edge")[n % 2], ("eu", "us")[n % 3 == 0], simulated=True)
             for n in range(MANY)]  # fmt: skip
    tokens = add_edges(registry.store, names)
    first = publish(registry, "1")
    set_wanted(registry.store, "digits", dict.fromkeys(tokens, first))
    with running_hub(Hub(registry.store, registry)) as url:
        made = [SimulatedEdge(name, token, url, registry.key.public_key(), tmp_path / name)
                for name, token in tokens.items()]  # fmt: skip
        with running_edges(made):
            wait_until(lambda: on_disks(made, "digits") == {first: MANY})
        yield made


def publish(registry: Registry, version: str) -> str:
    """Two files a version, so that a mixture of two versions would be seen."""
    return registry.publish("digits", version, {"model.onnx": version.encode() * 999, "labels.json": b"[]"}).digest


def wait_until(true: Callable[[], bool]) -> None:
    from tasks.acting import looks

    assert any(true() for _ in looks(60))


def decision_of(told: dict[str, Any]) -> dict[str, Any]:
    (decision,) = told["decisions"]
    return decision


def test_shadow_tells_the_waves_and_asks_no_edge(registry: Registry, edges: list[SimulatedEdge]) -> None:
    second = publish(registry, "2")
    told = decision_of(model_rollout(REQUEST.model_copy(update={"mode": Mode.SHADOW})))
    assert (told["action"], told["digest"], told["waves"][0]["name"]) == ("roll-out", second, "canary")
    with running_edges(edges):
        pass
    assert second not in on_disks(edges, "digits")


def test_act_brings_it_to_every_edge_and_undo_takes_it_back(
    registry: Registry, edges: list[SimulatedEdge]
) -> None:  # fmt: skip
    first, second = registry.version("digits", "1").digest, publish(registry, "2")
    with running_edges(edges):
        told = decision_of(model_rollout(REQUEST))
        assert told["result"]["state"] == "done"
        wait_until(lambda: on_disks(edges, "digits") == {second: MANY})
        assert decision_of(model_rollout(REQUEST))["action"] == "hold"
        undo_decision(registry.store, Journal(registry.store), told["id"], appliers(), force=False)
        wait_until(lambda: on_disks(edges, "digits") == {first: MANY})
    assert decision_of(model_rollout(REQUEST))["action"] == "refuse"


def test_a_version_that_the_canary_cannot_load_reaches_nobody_else(
    registry: Registry, edges: list[SimulatedEdge]
) -> None:
    first, second = registry.version("digits", "1").digest, publish(registry, "2")
    blob = Path(registry.root or "") / "blobs" / registry.manifest(second).files[0].sha256
    blob.write_bytes(blob.read_bytes()[:-1] + b"X")
    with running_edges(edges):
        told = model_rollout(REQUEST)
    assert on_disks(edges, "digits") == {first: MANY}
    assert {wave["name"] for wave in decision_of(told)["waves"][1:]} >= {"far-edge eu", "near-edge us"}
    assert rollouts(registry.store)[0].state == "rolled-back"
    assert decision_of(told)["result"]["state"] == "undone"
    assert "could not load it" in rollouts(registry.store)[0].detail
    assert decision_of(model_rollout(REQUEST))["action"] == "refuse"


def test_edges_that_die_do_not_stop_it_and_come_back_whole(registry: Registry, edges: list[SimulatedEdge]) -> None:
    second = publish(registry, "2")
    for edge, step in zip(edges[1::12], STEPS[1::2], strict=True):
        edge.dies_at = step
    with running_edges(edges):
        model_rollout(REQUEST)
        wait_until(lambda: on_disks(edges, "digits")[second] >= MANY - 2)
    assert on_disks(edges, "digits")["mixed"] == 0
    for edge in edges:
        if not edge.alive:
            edge.start_again()
    with running_edges(edges):
        wait_until(lambda: on_disks(edges, "digits") == {second: MANY})


def test_too_many_that_die_turn_it_round(registry: Registry, edges: list[SimulatedEdge]) -> None:
    first = registry.version("digits", "1").digest
    publish(registry, "2")
    for edge in edges[::2]:
        edge.dies_at = "files"
    with running_edges(edges):
        model_rollout(REQUEST.model_copy(update={"patience_s": 2, "silent_percent": 20}))
        wait_until(lambda: on_disks(edges, "digits") == {first: MANY})
    assert rollouts(registry.store)[0].state == "rolled-back"


def test_a_version_that_answers_worse_on_real_agents_own_rows_is_taken_back(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    made: list[Agent] = []
    rows = "a,b,c,d,label\n" + "1,2,3,4,0\n" * 45 + "1,2,3,4,1\n" * 5  # 45 of 50 are right where class 0 is answered
    tokens = add_edges(registry.store, [NewEdge(f"site-{n}") for n in range(3)])
    first = registry.publish("small", "1", {"model.onnx": onnx_model(1.0)}).digest
    set_wanted(registry.store, "small", dict.fromkeys(tokens, first))
    with running_hub(Hub(registry.store, registry)) as url, ThreadPoolExecutor(1) as thread:
        for name, token in tokens.items():
            path = configuration(url, tmp_path / name, edge=name, token=token, more='[training]\nrows = "rows.csv"')
            (path.parent / "hub.pem").write_text(public_pem(registry.key))
            (path.parent / "rows.csv").write_text(rows)
            made.append(Agent(read_config(path)))
        ended = Event()

        def work() -> None:
            hubs = [agent.hub() for agent in made]
            while not ended.wait(0.05):
                for agent, hub in zip(made, hubs, strict=True):
                    agent.converge(hub)

        running = thread.submit(work)
        wait_until(lambda: all("small" in agent.models for agent in made))
        registry.publish("small", "2", {"model.onnx": onnx_model(-1.0)})  # it loads, and answers another class
        told = decision_of(model_rollout(REQUEST.model_copy(update={"model": "small"})))
        wait_until(lambda: all(agent.models.get("small").digest == first for agent in made))
        good = registry.publish("small", "3", {"model.onnx": onnx_model(2.0)}).digest
        better = decision_of(model_rollout(REQUEST.model_copy(update={"model": "small"})))
        ended.set()
        running.result(20)
        for agent in made:
            agent.close()
    assert told["result"]["state"] == "undone"
    assert "5 of 50 are answered rightly, and 45 of 50 were by the version before" in rollouts(registry.store)[1].detail
    assert better["result"]["state"] == "done"
    assert {agent.models.get("small").digest for agent in made} == {good}
