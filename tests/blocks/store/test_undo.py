"""Undo of a decision: the last act first, never over somebody's later act, never twice."""

from __future__ import annotations

import pytest

from blocks.errors import NotConfigured, NotFound, OperationFailed, Refused
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Intent, State, Verdict
from blocks.store.undo import carry_out, undo_plan


class Pools:
    """A world of pool sizes, and the applier that sets them."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = {name.replace("_", "/"): size for name, size in sizes.items()}
        self.calls: list[str] = []

    def apply(self, journal: Journal, intent: Intent) -> str:
        if intent.do["desired"] > 90:
            raise OperationFailed("quota exceeded", where=intent.subject)
        self.calls.append(intent.subject)
        self.sizes[intent.subject] = intent.do["desired"]
        return f"{intent.do['desired']} nodes"

    @property
    def appliers(self):
        return {"set_desired": self.apply}


def act(journal: Journal, pools: Pools, decision: str, subject: str, desired: int) -> Intent:
    intent = journal.plan(decision, subject, "set_desired", do={"desired": desired},
                          undo={"desired": pools.sizes[subject]}, planned_against={},
                          key=f"{decision}/{subject}/{desired}")  # fmt: skip
    return carry_out(journal, [intent], pools.appliers)[0]


def undo(journal: Journal, pools: Pools, decision: str, *, force: bool = False) -> list[Intent]:
    return carry_out(journal, undo_plan(journal, decision, force=force), pools.appliers)


def test_undo_restores_everything_the_last_act_first(journal: Journal) -> None:
    pools = Pools(a_web=3, b_web=4)
    first, second = act(journal, pools, "d", "a/web", 5), act(journal, pools, "d", "b/web", 9)
    pools.calls.clear()
    undone = undo(journal, pools, "d")
    assert (pools.sizes, pools.calls) == ({"a/web": 3, "b/web": 4}, ["b/web", "a/web"])
    assert [row.state for row in undone] == [State.DONE, State.DONE]
    assert [journal.intent(row.id).state for row in (first, second)] == [State.UNDONE, State.UNDONE]


def test_a_decision_is_undone_when_none_of_its_acts_stands(store: Store, journal: Journal) -> None:
    made = Decision(flow_run_id="r", flow="f", subject="fleet", action="set_desired", as_of=journal.clock(),
                    state=Verdict.ACTED)  # fmt: skip
    store.record_decisions([made])
    pools = Pools(a_web=3, b_web=4)
    act(journal, pools, made.id, "a/web", 5)
    act(journal, pools, made.id, "b/web", 9)
    first, second = undo_plan(journal, made.id)
    carry_out(journal, [first], pools.appliers)
    assert store.decision(made.id).state == Verdict.ACTED
    carry_out(journal, [second], pools.appliers)
    assert store.decision(made.id).state == Verdict.UNDONE


def test_undo_of_several_acts_on_one_subject_gives_the_first_state(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d", "a/web", 5)
    act(journal, pools, "d", "a/web", 8)
    undo(journal, pools, "d")
    assert pools.sizes == {"a/web": 3}


def test_planning_an_undo_twice_gives_the_same_intents(journal: Journal, other: Journal) -> None:
    act(journal, Pools(a_web=3), "d", "a/web", 5)
    assert [row.id for row in undo_plan(journal, "d")] == [row.id for row in undo_plan(other, "d")]


def test_a_decision_is_undone_only_once(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d", "a/web", 5)
    undo(journal, pools, "d")
    with pytest.raises(Refused, match="nothing left to undo: its acts are undone"):
        undo_plan(journal, "d")


def test_a_later_act_on_the_subject_refuses_the_undo_unless_forced(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d1", "a/web", 5)
    later = act(journal, pools, "d2", "a/web", 8)
    with pytest.raises(Refused, match=f"intent {later.id[:8]} .* has changed it since.*--force"):
        undo_plan(journal, "d1")
    undone = undo(journal, pools, "d1", force=True)
    assert pools.sizes == {"a/web": 3}
    assert undone[0].planned_against["force"] is True


def test_undoing_decisions_from_the_last_to_the_first_needs_no_force(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d1", "a/web", 5)
    act(journal, pools, "d2", "a/web", 8)
    undo(journal, pools, "d2")
    undo(journal, pools, "d1")
    assert pools.sizes == {"a/web": 3}


def test_a_forced_undo_of_an_earlier_act_stands_in_the_way_of_the_later_ones(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d1", "a/web", 5)
    act(journal, pools, "d2", "a/web", 8)
    undo(journal, pools, "d1", force=True)
    with pytest.raises(Refused, match="has changed it since"):
        undo_plan(journal, "d2")


def test_an_undo_that_failed_can_be_tried_again(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d", "a/web", 5)

    def broken(journal: Journal, intent: Intent) -> str:
        raise OperationFailed("quota exceeded", where=intent.subject)

    with pytest.raises(OperationFailed, match="quota"):
        carry_out(journal, undo_plan(journal, "d"), {"set_desired": broken})
    assert [row.detail for row in journal.intents(state=State.FAILED)] == ["a/web: quota exceeded"]
    undo(journal, pools, "d")
    assert pools.sizes == {"a/web": 3}


def test_an_unfinished_act_refuses_the_undo(journal: Journal) -> None:
    journal.start(journal.plan("d", "a/web", "set_desired", do={}, undo={"desired": 1}, planned_against={}, key="k"))
    with pytest.raises(Refused, match="of a/web is started"):
        undo_plan(journal, "d")


def test_an_act_that_left_no_undo_is_said(journal: Journal) -> None:
    journal.done(journal.start(journal.plan("d", "a/web", "evict", do={}, undo={}, planned_against={}, key="k")))
    with pytest.raises(Refused, match="evict cannot be undone"):
        undo_plan(journal, "d")


def test_a_decision_without_acts_is_not_found(journal: Journal) -> None:
    with pytest.raises(NotFound, match="nothing was done for it"):
        undo_plan(journal, "d")


def test_a_kind_that_nothing_carries_out_starts_nothing(journal: Journal) -> None:
    act(journal, Pools(a_web=3), "d", "a/web", 5)
    planned = undo_plan(journal, "d")
    with pytest.raises(NotConfigured, match="'set_desired'"):
        carry_out(journal, planned, {})
    assert journal.intent(planned[0].id).state == State.PLANNED


def test_a_freeze_holds_an_undo_too(journal: Journal) -> None:
    pools = Pools(a_web=3)
    act(journal, pools, "d", "a/web", 5)
    journal.freeze("a")
    with pytest.raises(Refused, match="frozen"):
        undo(journal, pools, "d")
    assert pools.sizes == {"a/web": 5}
