"""`kill -9` at every step of a floor and of headroom: nothing is set that nobody decided, and no hold is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, Hold, Mode, State, now
from deployments.simulation import ready, starting_simulation
from tasks.acting import actuator as base
from tasks.pools.observe import read_pools
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.actuators import BY_ACTUATOR, open_actuator
from tasks.scaling.actuators.floor import SetFloor
from tasks.scaling.find import find_actuators
from tasks.scaling.reaper import reap
from tests.faults.kill_in_act import killed_at

COMMON = (
    "plan:before", "plan:after", "start:before", "start:after", "announce:after", "acquire_lease:after",
    "proceed:after", "note:after", "release_lease:after", "done:before", "done:after", "conclude:before",
)  # fmt: skip
FLOOR = ("set_bounds:before", "set_bounds:after", "wait:after")
HEADROOM = ("create:before", "create:after")  # of the PriorityClass, which comes first
CASES = [("asia-aks/jobs", step) for step in COMMON + FLOOR] + [("eu-eks/burst", step) for step in COMMON + HEADROOM]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    state = tmp_path_factory.mktemp("simulated") / "local"
    # Midnight in Singapore, and evening in Frankfurt whose turn comes hours later: neither pool is near its maximum.
    with starting_simulation(state, speed=300, seed=7, start="2026-03-10T16:00:00+00:00") as child:
        yield load_fleet(ready(child).fleet_file)


@pytest.mark.parametrize(("subject", "step"), CASES)
def test_what_a_killed_run_leaves_is_settled_and_can_be_taken_back(
    fleet: Fleet, subject: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    monkeypatch.setattr(base, "CALL_S", 0.5)  # nothing in here answers that late
    cluster = next(each for each in fleet.clusters if each.name == subject.split("/", maxsplit=1)[0])
    readings = [r for r in read_pools(fleet.model_copy(update={"clusters": [cluster]}))[0] if r.subject == subject]
    found, _ = find_actuators(fleet, [], readings)
    kind, setting = BY_ACTUATOR[found.kind[0]].kind, int(found.setting_nodes[0])
    actuator = open_actuator(fleet, subject, kind)
    before = actuator.look().value
    about = {"actuator": found.kind[0].value, "actuator_why": found.why[0].value,
             "seen": found.seen[0]}  # fmt: skip
    ready_now = readings[0].ready
    # A floor below the size needs no node, so that the autoscaler, which may be taking one at this moment, decides
    # nothing here; that a raised floor brings nodes is shown in tests/flows/actuators.
    target = max(setting + 1, ready_now - 3) if kind == SetFloor.kind else max(setting, ready_now) + 2
    target = min(target, readings[0].pool.max_nodes)
    killed_at(step, tmp_path, fleet, subject, setting, target, about)

    store = Store.open()
    run = Run("next", "cluster-scaling", "default", fleet, store, Journal(store), Mode.ACT)
    act.finish_left_over.fn(run)
    intents = run.journal.intents()
    assert not [intent for intent in intents if intent.state in UNFINISHED]
    there = actuator.look().value
    if intents:
        decided = intents[0].do["value"]
        assert there in (before, decided)
        assert intents[0].state == (State.DONE if there == decided else State.UNDONE), intents[0].detail
    holds = run.journal.holds("default")
    assert [hold.value for hold in holds] == ([there] if there != before else [])

    for hold in holds:
        run.journal.keep_hold(Hold(**hold.model_dump() | {"until": now() - timedelta(days=400)}))
    assert all(result.state == State.DONE for result in reap.fn(run))
    assert actuator.look().value == before
    assert run.journal.holds("default") == []
