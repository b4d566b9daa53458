"""`kill -9` at every step of a roll-out to edges of which some die: each runs the version or the old one, whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.models import Registry
from blocks.settings import home
from blocks.store import Store
from blocks.store.edges import NewEdge, add_edges, set_wanted
from blocks.store.rollouts import rollouts
from blocks.store.tables import UNFINISHED, Mode, State
from deployments.hub import Hub, running_hub
from deployments.local.edges import STEPS, SimulatedEdge, on_disks, running_edges
from tasks.acting import actuator, looks
from tasks.rollout import act
from tests.faults.kill_in_rollout import PACE, decided, killed_at, run_of

MANY, DYING = 12, 1
KILLS = ("plan:1:after", "start:1:after", "set_wanted:1:before", "set_wanted:1:after", "done:2:before",
         "set_wanted:3:after", "settle:1:before", "settle:1:after")  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actuator, "CALL_S", 0.5)  # nothing in here answers that late
    monkeypatch.setattr(actuator, "POLL_S", (0.05, 0.2))


@pytest.fixture
def registry() -> Registry:
    return Registry.open(Store.open())


@pytest.fixture
def edges(registry: Registry, tmp_path: Path) -> Iterator[list[SimulatedEdge]]:
    names = [NewEdge(f"edge-{n:02}", "far-edge", ("eu", "us")[n % 2], simulated=True) for n in range(MANY)]
    tokens = add_edges(registry.store, names)
    set_wanted(registry.store, "digits", dict.fromkeys(tokens, publish(registry, "1")))
    with running_hub(Hub(registry.store, registry)) as url:
        made = [SimulatedEdge(name, token, url, registry.key.public_key(), tmp_path / name)
                for name, token in tokens.items()]  # fmt: skip
        with running_edges(made):
            wait_until(lambda: on_disks(made, "digits") == {registry.version("digits").digest: MANY})
        yield made


def publish(registry: Registry, version: str) -> str:
    return registry.publish("digits", version, {"model.onnx": version.encode() * 999, "labels.json": b"[]"}).digest


def wait_until(true: Callable[[], bool]) -> None:
    assert any(true() for _ in looks(60))


@pytest.mark.parametrize("step", KILLS)
def test_a_killed_roll_out_is_carried_on(
    registry: Registry, edges: list[SimulatedEdge], step: str
) -> None:  # fmt: skip
    first, second = registry.version("digits").digest, publish(registry, "2")
    edges[5].dies_at = STEPS[1 + KILLS.index(step) % 4]
    with running_edges(edges):
        killed_at(step, home(), "digits")
        assert set(on_disks(edges, "digits")) <= {first, second}
        run = run_of("next")
        act.finish_left_over.fn(run)
        assert not [each for each in run.journal.intents() if each.state in UNFINISHED]
        decision = decided(run, "digits")
        if step != "settle:1:after":
            results = act.roll_out(run, decision, PACE)
            assert {each.state for each in results} <= {State.DONE}, results
            assert rollouts(registry.store)[0].state == "done", rollouts(registry.store)[0].detail
        wait_until(lambda: on_disks(edges, "digits")[second] >= MANY - DYING)
    assert set(on_disks(edges, "digits")) <= {first, second}
    assert rollouts(registry.store)[0].state == "done"


def test_a_roll_out_that_is_killed_while_it_is_taken_back_is_not_carried_on_forwards(
    registry: Registry, edges: list[SimulatedEdge], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = registry.version("digits").digest, publish(registry, "2")
    for edge in edges:
        edge.spoils = lambda content: content[:-1] + b"X" if content.startswith(b"2") else content
    monkeypatch.setattr("tasks.rollout.act.APPLIERS", {act.SetWanted.kind: _undo})
    with running_edges(edges):
        killed_at("settle:1:after", home(), "digits")
        run = run_of("next")
        assert decided(run, "digits").action == "refuse"
        assert rollouts(registry.store)[0].state == "rolling-back"
        act.finish_left_over.fn(run_of("shadow", Mode.SHADOW))
        assert rollouts(registry.store)[0].state == "rolling-back"
        act.finish_left_over.fn(run)
        wait_until(lambda: {row.wanted for row in act.edges_with(registry.store, "digits").values()} == {first})
    assert rollouts(registry.store)[0].state == "rolled-back"
    assert on_disks(edges, "digits") == {first: MANY}
    assert second not in on_disks(edges, "digits")


def _undo(journal: act.Journal, intent: act.Intent) -> str:
    """`undo_with` without the inventory, which is a block of a Prefect server."""
    return act.open_wave(run_of("undo").fleet, intent.subject, intent.kind).make_so(journal, intent)
