"""A store that is locked or full, two runs at once, hosts whose clocks disagree: one change, and it is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from blocks.errors import StoreUnavailable
from blocks.fleet import Fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store, database
from blocks.store.tables import Mode, State, now
from deployments.simulation import Simulation
from tasks.acting import REFUSED, Result
from tasks.run import Run
from tasks.scaling import act, pool_access
from tasks.scaling.pool_access import open_pool
from tests.faults.laws import Laws
from tests.faults.scenes import run_of
from tests.flows.actuators.scenes import carry_out, decide

WEB = "eu-eks/web"
Trouble = Callable[[Store], Any]


@contextmanager
def locked(store: Store) -> Iterator[None]:
    """Another process writes, and does not come to an end."""
    with closing(
        sqlite3.connect(str(store.engine.url.database), isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(store: Store) -> Iterator[None]:
    """The disk has no room for another page: what SQLite says then, at the first statement that writes."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            raise sqlite3.OperationalError("database or disk is full")

    event.listen(store.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(store.engine, "before_cursor_execute", refuse)


@pytest.fixture
def run(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that does not wait long for a locked store."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    return run_of(fleet)


@pytest.fixture
def size(run: Run, laws: Laws) -> int:
    laws.somebody_set(WEB, 22)
    return 22


def sized(run: Run) -> int:
    return open_pool(run.fleet, WEB).state().desired


LOCKED, FULL = (locked, "holds the store locked"), (full, "the disk is full")


@pytest.mark.parametrize(("trouble", "words"), [LOCKED, FULL])
def test_without_a_journal_nothing_is_changed_and_the_run_ends_in_one_line(
    run: Run, laws: Laws, size: int, trouble: Trouble, words: str
) -> None:
    decision = decide(run, WEB, size + 1)
    with trouble(run.store), pytest.raises(StoreUnavailable, match=words):
        carry_out(run, decision)
    assert (sized(run), run.journal.intents()) == (size, [])
    laws.check()


@pytest.mark.parametrize(
    ("trouble", "words", "step"), [(*LOCKED, "note"), (*LOCKED, "done"), (*FULL, "proceed"), (*FULL, "note")]
)
def test_a_store_that_fails_in_mid_change_leaves_an_intent_that_the_next_run_settles(
    run: Run, simulation: Simulation, laws: Laws, size: int, trouble: Trouble, words: str, step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    decision, verb = decide(run, WEB, size + 1), getattr(Journal, step)
    with ExitStack() as broken, monkeypatch.context() as failing:

        def in_trouble(self: Journal, *given: Any, **named: Any) -> Any:
            broken.close()
            broken.enter_context(trouble(run.store))
            return verb(self, *given, **named)

        failing.setattr(Journal, step, in_trouble)
        (result,) = carry_out(run, decision)
        assert (result.state, words in result.detail) == (State.STARTED, True), result
    assert [intent.state for intent in run.journal.intents()] == [State.STARTED]

    simulation.advance(900)
    (settled,) = act.finish_left_over.fn(run_of(run.fleet, "next", later=True))
    asked = step != "proceed"
    assert (settled.state, sized(run)) == ((State.DONE, size + 1) if asked else (State.UNDONE, size)), settled
    laws.check()


def test_of_two_runs_at_once_one_changes_the_pool_and_the_other_leaves(run: Run, laws: Laws, size: int) -> None:
    other = run_of(run.fleet, "two")
    runs, decisions = [run, other], [decide(run, WEB, size + 1), decide(other, WEB, size + 2)]
    with ThreadPoolExecutor(2) as threads:
        results = [done for (done,) in threads.map(carry_out, runs, decisions)]
    states = sorted(result.state for result in results)
    assert states in ([State.DONE, REFUSED], [State.DONE, State.FAILED]), results
    won = [row for row, result in zip(decisions, results, strict=True) if result.state == State.DONE]
    assert [row.content["target"] for row in won] == [sized(run)], results
    laws.check()


def test_of_two_installations_at_once_one_waits_for_the_lease_and_then_leaves_what_it_finds(
    run: Run, simulation: Simulation, size: int, tmp_path: Path
) -> None:
    other = run_of(run.fleet, "two", store=Store.open(f"sqlite:///{tmp_path / 'other.db'}"))
    laws = Laws(simulation, run.fleet, run.journal, other.journal)
    runs, decisions = [run, other], [decide(run, WEB, size + 1), decide(other, WEB, size + 2)]
    with ThreadPoolExecutor(2) as threads:
        results = [done for (done,) in threads.map(carry_out, runs, decisions)]
    won = [row for row, result in zip(decisions, results, strict=True) if result.state == State.DONE]
    assert [row.content["target"] for row in won] == [sized(run)], results
    assert sum(len(each.journal.intents(state=State.STARTED)) for each in runs) == 0
    laws.check()


@pytest.mark.parametrize("ahead_s", [-60, 60])
def test_a_lease_of_a_live_run_holds_against_a_host_whose_clock_is_a_minute_off(
    run: Run, laws: Laws, size: int, ahead_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_access, "LEASE_WAIT_S", 0)
    api = open_pool(run.fleet, WEB).api
    theirs = KubernetesApi(api.name, api._client, now=lambda: now() + timedelta(seconds=ahead_s))
    held = theirs.acquire_lease("continuum-eu-eks", "elsewhere:1:1:alive", 120)
    (result,) = carry_out(run, decide(run, WEB, size + 1))
    theirs.release_lease(held)
    assert (result.state, "held by elsewhere" in result.detail) == (State.UNDONE, True), result
    assert sized(run) == size
    laws.check()


@pytest.mark.parametrize("ahead_s", [-3600, 60, 3600])
def test_a_run_on_a_host_whose_clock_is_off_takes_no_change_that_is_under_way_twice(
    run: Run, simulation: Simulation, laws: Laws, size: int, ahead_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, proceed = Store.open(), Journal.proceed
    journal = Journal(store, clock=lambda: now() + timedelta(seconds=ahead_s))
    other = Run("two", run.flow, run.fleet_name, run.fleet, store, journal, Mode.ACT)
    adopted: list[Result] = []

    def meanwhile(self: Journal, *given: Any) -> Any:
        if self is run.journal:
            adopted.extend(act.finish_left_over.fn(other))
        return proceed(self, *given)

    monkeypatch.setattr(Journal, "proceed", meanwhile)
    (result,) = carry_out(run, decide(run, WEB, size + 1))
    if ahead_s < 120:  # within the lease
        assert (result.state, adopted, sized(run)) == (State.DONE, [], size + 1), result
    else:  # its owner finds that the change is no longer its own, and does not call the cloud
        assert [each.state for each in adopted] == [State.UNDONE]
        assert sized(run) == size
    assert run.journal.intents(state=State.STARTED) == []
    laws.check()
