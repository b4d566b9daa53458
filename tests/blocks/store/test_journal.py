"""Intents: one owner at a time, nothing lost when an owner dies, frozen where a person says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from blocks.errors import Conflict, NotFound, Refused, StoreUnavailable
from blocks.store import Journal, Store
from blocks.store.owner import is_gone, new_owner
from blocks.store.tables import Intent, State


def plan(journal: Journal, subject: str = "eu-eks/web", key: str = "k", **changes: object) -> Intent:
    values: dict[str, object] = {"do": {"desired": 5}, "undo": {"desired": 3}, "planned_against": {"version": "7"}}
    return journal.plan("decision", subject, "set_desired", key=key, **values | changes)  # type: ignore[arg-type]


def at_once(work: Callable[[int], object], count: int) -> list[object]:
    """Results (or the errors of our tree) of `count` threads that begin together."""
    barrier = threading.Barrier(count)

    def one(number: int) -> object:
        barrier.wait()
        try:
            return work(number)
        except (Conflict, Refused) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_an_intent_tells_its_history(journal: Journal) -> None:
    intent = journal.start(plan(journal))
    journal.note(intent, {"id": "op-1"}, "asked for 5 nodes")
    journal.done(intent, "5 nodes ready")
    steps = journal.steps(intent.id)
    assert [(step.event, step.detail) for step in steps] == [
        ("planned", ""), ("started", ""), ("noted", "asked for 5 nodes"), ("done", "5 nodes ready")]  # fmt: skip
    found = journal.intent(intent.id)
    assert (found.state, found.operation, found.planned_against) == (State.DONE, {"id": "op-1"}, {"version": "7"})


def test_the_same_key_gives_the_same_intent_in_whatever_state(journal: Journal, other: Journal) -> None:
    intent = journal.done(journal.start(plan(journal)))
    assert plan(other, do={"desired": 9}).model_dump() == intent.model_dump()


def test_a_key_of_another_subject_is_a_conflict(journal: Journal) -> None:
    plan(journal)
    with pytest.raises(Conflict, match="key k belongs to"):
        plan(journal, subject="eu-eks/batch")


def test_many_planners_of_one_key_make_one_intent(store: Store) -> None:
    assert len({row.id for row in at_once(lambda _: plan(Journal(store)), 6)}) == 1  # type: ignore[attr-defined]


def test_of_many_starters_exactly_one_wins(store: Store, journal: Journal) -> None:
    intent = plan(journal)
    results = at_once(lambda _: Journal(store).start(intent), 8)
    assert sum(isinstance(result, Intent) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert [step.event for step in journal.steps(intent.id)] == ["planned", "started"]


def test_of_many_intents_on_one_subject_exactly_one_is_started(store: Store, journal: Journal) -> None:
    intents = [plan(journal, key=f"k{number}") for number in range(8)]
    results = at_once(lambda number: Journal(store).start(intents[number]), 8)
    assert sum(isinstance(result, Intent) for result in results) == 1
    assert sum(isinstance(result, Refused) for result in results) == 7


def test_a_subject_is_free_again_when_its_intent_is_finished(journal: Journal, other: Journal) -> None:
    first, second = plan(journal, key="1"), plan(other, key="2")
    journal.start(first)
    with pytest.raises(Refused, match=f"another unfinished change holds it: intent {first.id[:8]}"):
        other.start(second)
    journal.failed(first, "quota")
    assert other.start(second).state == State.STARTED


@pytest.mark.parametrize("finish", ["done", "undone", "failed", "note", "proceed"])
def test_only_its_owner_goes_on_with_an_intent(journal: Journal, other: Journal, finish: str) -> None:
    intent = journal.start(plan(journal))
    with pytest.raises(Conflict, match="is started of"):
        getattr(other, finish)(intent)
    assert journal.intent(intent.id).state == State.STARTED


def test_a_finished_intent_stays_finished(journal: Journal) -> None:
    intent = journal.failed(journal.start(plan(journal)))
    for step in (journal.start, journal.done, journal.undone, journal.adopt):
        with pytest.raises(Conflict, match="is failed"):
            step(intent)


def test_an_intent_that_was_never_started_cannot_be_done(journal: Journal) -> None:
    intent = plan(journal)
    with pytest.raises(Conflict, match="is planned"):
        journal.done(intent)
    assert journal.undone(intent, "never started").state == State.UNDONE


def test_an_unknown_intent_is_not_found(journal: Journal) -> None:
    with pytest.raises(NotFound, match="not in the journal"):
        journal.intent("nothing")


def test_intents_of_a_cluster_are_those_of_its_pools(journal: Journal) -> None:
    for subject in ("eu-eks/web", "eu-eks/batch", "eu-eks-2/web"):
        plan(journal, subject, key=subject)
    assert {row.subject for row in journal.intents(subject="eu-eks")} == {"eu-eks/web", "eu-eks/batch"}
    assert len(journal.intents(limit=1)) == 1


# Owners that die


def test_an_intent_can_be_adopted_when_its_lease_has_ended(journal: Journal, other: Journal, clock) -> None:
    intent = other.start(plan(other))
    assert journal.expired() == []
    with pytest.raises(Conflict, match="is started of elsewhere"):
        journal.adopt(intent)
    clock.advance(60)
    assert [row.id for row in journal.expired()] == [intent.id]
    adopted = journal.adopt(intent)
    assert (adopted.owner, adopted.state) == (journal.owner, State.STARTED)
    with pytest.raises(Conflict):
        other.done(intent)
    assert journal.done(adopted).state == State.DONE


def test_a_heartbeat_keeps_an_intent(journal: Journal, other: Journal, clock) -> None:
    intent = other.start(plan(other))
    clock.advance(59)
    assert other.renew() == 1
    clock.advance(59)
    assert journal.expired() == []
    clock.advance(1)
    assert [row.id for row in journal.expired()] == [intent.id]


def test_a_heartbeat_after_the_look_defeats_the_adoption(journal: Journal, other: Journal, clock) -> None:
    other.start(plan(other))
    clock.advance(60)
    seen = journal.expired()[0]
    other.renew()
    with pytest.raises(Conflict):
        journal.adopt(seen)


def test_a_heartbeat_in_the_midst_of_the_adoption_defeats_it(
    journal: Journal, other: Journal, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if journal.store.is_sqlite:
        pytest.skip("SQLite has one writer at a time: no heartbeat can come between")
    intent = other.start(plan(other))
    clock.advance(60)
    monkeypatch.setattr(journal, "_is_expired", lambda _: other.renew() == 1)
    with pytest.raises(Conflict):
        journal.adopt(intent)
    assert journal.intent(intent.id).owner == other.owner


def test_of_many_adopters_exactly_one_wins(store: Store, other: Journal, clock) -> None:
    intent = other.start(plan(other))
    clock.advance(60)
    results = at_once(lambda _: Journal(store, clock=clock).adopt(intent), 8)
    assert sum(isinstance(result, Intent) for result in results) == 1


def test_an_owner_late_with_its_heartbeat_loses_nothing_that_nobody_took(other: Journal, clock) -> None:
    intent = other.start(plan(other))
    clock.advance(3600)
    assert other.done(intent).state == State.DONE


def test_a_planned_intent_of_a_dead_owner_is_found_too(journal: Journal, other: Journal, clock) -> None:
    plan(other)
    clock.advance(60)
    assert journal.undone(journal.adopt(journal.expired()[0]), "never started").state == State.UNDONE
    assert journal.expired() == []


def test_an_intent_of_a_killed_process_is_adopted_at_once(store: Store) -> None:
    code = """
import sys
from blocks.store import Journal, Store
journal = Journal(Store.open(sys.argv[1]), lease_s=3600)
intent = journal.plan(None, "c/p", "resize", do={"desired": 5}, undo={"desired": 3}, planned_against={}, key="k")
journal.note(journal.start(intent), {"id": "op-1"})
print(intent.id, flush=True)
sys.stdin.read()
"""
    url = store.engine.url.render_as_string(hide_password=False)
    child = subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    intent_id = child.stdout.readline().strip()
    journal = Journal(store)
    assert journal.expired() == []
    child.kill()
    child.communicate(timeout=60)
    intent = journal.adopt(journal.expired()[0])
    assert (intent.id, intent.operation) == (intent_id, {"id": "op-1"})
    assert journal.undone(intent, "back to 3 nodes").state == State.UNDONE


def test_a_living_process_is_not_gone_and_a_reused_pid_is() -> None:
    owner = new_owner()
    host, pid, start, secret = owner.split(":")
    assert not is_gone(owner)
    assert is_gone(f"{host}:{pid}:{start}1:{secret}")
    assert not is_gone(f"elsewhere:{pid}:{start}1:{secret}")


def test_two_journals_of_one_process_are_two_owners(store: Store) -> None:
    assert Journal(store).owner != Journal(store).owner


def test_holding_renews_in_the_background(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    beats = threading.Semaphore(0)
    calls = iter([StoreUnavailable("locked"), 1])

    def renew() -> int:
        beats.release()
        result = next(calls, 1)
        if isinstance(result, StoreUnavailable):
            raise result
        return result

    monkeypatch.setattr(journal, "renew", renew)
    with journal.holding(every_s=0.001):
        assert all(beats.acquire(timeout=10) for _ in range(3))  # a missed beat does not end it
    assert not any(thread.name == "continuum-journal" for thread in threading.enumerate())


# Freezes


@pytest.mark.parametrize("scope", ["*", "eu-eks", "eu-eks/web"])
def test_a_freeze_refuses_the_start_and_stops_a_run_between_its_steps(
    journal: Journal, other: Journal, scope: str
) -> None:
    running = journal.start(plan(journal))
    journal.proceed(running)
    other.freeze(scope, reason="audit")
    with pytest.raises(Refused, match=r"frozen by the freeze of .*\(audit\)"):
        journal.proceed(running)
    journal.note(running, {"id": "op-1"})
    journal.undone(running, "stopped")
    with pytest.raises(Refused, match="continuum thaw"):
        journal.start(plan(journal, key="next"))
    other.thaw(scope)
    assert journal.start(plan(journal, key="next")).state == State.STARTED


def test_a_freeze_ends_by_itself(journal: Journal, clock) -> None:
    journal.freeze("eu-eks", clock() + timedelta(hours=2))
    assert journal.frozen("eu-eks/web") is not None
    clock.advance(7200)
    assert journal.frozen("eu-eks/web") is None
    assert journal.freezes() == []


def test_a_freeze_leaves_its_neighbours_alone(journal: Journal) -> None:
    journal.freeze("eu-eks/web")
    assert journal.frozen("eu-eks/batch") is None
    assert journal.frozen("eu-eks-2") is None
    journal.freeze("us-gke")
    assert journal.frozen("us-gke-2/web") is None
    assert journal.frozen("eu-eks") is not None  # acting on the whole cluster would touch the frozen pool


def test_thawing_what_is_not_frozen_is_said(journal: Journal) -> None:
    journal.freeze("eu-eks")
    with pytest.raises(NotFound, match="is not frozen"):
        journal.thaw("*")
