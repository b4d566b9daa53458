"""`kill -9` at every step of a change: no pool has a size nobody decided, and the journal says what is true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks import settings
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.backup import back_up, restore
from blocks.store.tables import UNFINISHED, Decision, Mode, State, Verdict, now
from deployments.simulation import ready, starting_simulation
from tasks.acting import actuator as base
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.pool_access import open_pool
from tests.faults.kill_in_act import decision_for, killed_at

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


def test_a_change_that_ended_after_the_store_was_copied_is_found_done_and_not_made_again(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.setattr(base, "CALL_S", 0.5)
    access = open_pool(fleet, "eu-eks/web")
    size, writes = access.state().desired, list[int]()
    target = size - 1 if size == access.state().max_nodes else size + 1
    store = Store.open()
    run = Run("one", "cluster-scaling", "default", fleet, store, Journal(store), Mode.ACT)
    decision = decision_for(run, "eu-eks/web", target, now(), {"current": size})
    set_desired, pools = type(access.pools).set_desired, type(access.pools)

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        back_up(store, tmp_path / "copy.gz")  # in the middle of it: the intent is started, nothing has been asked for
        writes.append(given[1])
        return set_desired(self, *given, **named)

    monkeypatch.setattr(pools, "set_desired", counted)
    (result,) = act.act_on.fn(run, [decision], disruption_ratio=0.5, fleet_nodes=100)
    assert (result.state, writes) == (State.DONE, [target])

    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path / "new"))
    restore(tmp_path / "copy.gz", settings.store_url())
    store = Store.open()
    again = Run("two", "cluster-scaling", "default", fleet, store, Journal(store), Mode.ACT)
    assert [row.state for row in store.proposals("one")] == [Verdict.EXPIRED]  # a resumed run acts on nothing
    (left,) = act.finish_left_over.fn(again)  # a look is enough, though acting is frozen
    assert (left.state, writes, access.state().desired) == (State.DONE, [target], target)
    assert store.decision(decision.id).state == Verdict.ACTED  # which is true
