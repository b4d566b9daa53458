"""`kill -9` at every step of a change: no pool has a size nobody decided, and the journal says what is true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, Decision, Mode, State, Verdict, now
from deployments.simulation import ready, starting_simulation
from tasks.acting import actuator as base
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.pool_access import open_pool
from tests.faults.kill_in_act import killed_at

# The steps of a change, in their order; each is cut off before or after.
CLOUD_STEPS = (
    "plan:before", "plan:after", "disrupt:after", "start:before", "start:after", "acquire_lease:after", "proceed:after",
    "set_desired:before", "set_desired:after", "note:after", "release_lease:after", "wait:after", "done:before",
    "done:after",
)  # fmt: skip
EDGE_STEPS = (
    "start:after", "proceed:after", "set_desired:before", "cordon:after", "drain:after", "set_desired:after",
    "note:after", "done:before", "done:after",
)  # fmt: skip
# The edge first, and at night: its pods must find room on the nodes that stay.
CASES = [("edge-munich/edge", step) for step in EDGE_STEPS] + [("eu-eks/web", step) for step in CLOUD_STEPS]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    state = tmp_path_factory.mktemp("simulated") / "local"
    with starting_simulation(state, speed=300, seed=7, start="2026-03-09T23:00:00+00:00") as child:
        yield load_fleet(ready(child).fleet_file)


@pytest.mark.parametrize(("subject", "step"), CASES)
def test_what_a_killed_run_leaves_is_finished_or_undone(
    fleet: Fleet, subject: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.setattr(base, "CALL_S", 0.5)  # nothing in here answers that late
    access = open_pool(fleet, subject)
    before = access.pools.describe(access.pool.name)
    # Up and down by turns, near the size that the demand needs: emptier nodes would not be allowed to drain.
    down = step.startswith(("disrupt", "cordon", "drain")) or before.desired == before.max_nodes
    target = before.desired + (-1 if down or before.desired % 2 else 1)
    killed_at(step, tmp_path, fleet, subject, before.desired, target)

    store = Store.open()
    journal = Journal(store)
    act.finish_left_over.fn(Run("next", "cluster-scaling", "default", fleet, store, journal, Mode.ACT))

    intents = journal.intents()
    assert not [intent for intent in intents if intent.state in UNFINISHED]
    size = access.pools.describe(access.pool.name).desired
    assert size in (before.desired, target)
    assert [intent.state for intent in intents] in ([], [State.DONE if size == target else State.UNDONE])
    assert access.ready() == size
    assert journal.disrupted() == 0


def test_a_freeze_is_heard_between_two_edge_nodes_and_the_rest_is_done_after_the_thaw(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    access = open_pool(fleet, "edge-munich/edge")
    access.pools.set_desired("edge", access.state().max_nodes)  # emptier nodes would wait for their pods' budget
    size = access.state().desired
    store = Store.open()
    journal = Journal(store)
    content = {"current": size, "target": size - 2}
    decision = Decision(
        flow_run_id="one", flow="cluster-scaling", subject="edge-munich/edge", action="down", mode=Mode.ACT,
        state=Verdict.APPROVED, as_of=now(), content=content,
    )  # fmt: skip
    store.record_decisions([decision])
    with monkeypatch.context() as freezing:
        drain = KubernetesApi.drain

        def drain_and_freeze(self: KubernetesApi, *given: Any, **named: Any) -> int:
            drained = drain(self, *given, **named)
            journal.freeze("edge-munich", reason="a release")
            return drained

        freezing.setattr(KubernetesApi, "drain", drain_and_freeze)
        run = Run("one", "cluster-scaling", "default", fleet, store, journal, Mode.ACT)
        (result,) = act.act_on.fn(run, [decision], disruption_ratio=0.5, fleet_nodes=100)
    assert (result.state, access.state().desired) == (State.STARTED, size - 1)
    assert "a release" in result.detail

    journal.thaw("edge-munich")
    later = Journal(store, clock=lambda: now() + timedelta(minutes=10))
    (finished,) = act.finish_left_over.fn(Run("two", "cluster-scaling", "default", fleet, store, later, Mode.ACT))
    assert (finished.state, access.state().desired) == (State.DONE, size - 2)
    assert store.decision(decision.id).state == Verdict.ACTED
