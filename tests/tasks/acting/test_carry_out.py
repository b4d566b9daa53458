"""Which changes wait for one another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from blocks.errors import Refused, Unauthorized
from blocks.store import Journal, Store
from blocks.store.tables import Decision, Intent, Mode, State, Verdict
from tasks.acting import Planned, Seen, SubjectActuator, carry_out_all
from tasks.run import Run


class Meeting(SubjectActuator):
    """A change that ends only while another one of its kind is made."""

    kind = "meet"

    def __init__(self, barrier: Barrier) -> None:
        self._barrier, self._met = barrier, False

    @property
    def where(self) -> str:
        return "a meeting"

    def look(self) -> Seen:
        return Seen({"met": self._met})

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        journal.proceed(intent)
        try:
            self._barrier.wait()
        except BrokenBarrierError:
            raise Refused("nobody came", where=self.where, fix="none") from None
        self._met = True

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        return ""

    def said(self, intent: Intent) -> str:
        return "they met"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    return Run("one", "meetings", "default", None, store, Journal(store), Mode.ACT)  # type: ignore[arg-type]


class Forbidden(Meeting):
    """A change that may not be made; it counts how often it is looked for."""

    def __init__(self) -> None:
        super().__init__(Barrier(1))
        self.looks = 0

    def look(self) -> Seen:
        self.looks += 1
        return super().look()

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        journal.proceed(intent)
        raise Unauthorized("403 Forbidden", where=self.where)


def carried_out(
    run: Run, new: Callable[[], SubjectActuator], *, subjects: str = "ab", apart: bool = False
) -> list[str]:
    rows = [Decision(flow_run_id="one", flow="meetings", subject=f"eu-eks/{name}", action="meet", mode=Mode.ACT,
                     state=Verdict.APPROVED, as_of=datetime.now(UTC)) for name in subjects]  # fmt: skip
    run.store.record_decisions(rows)
    change = Planned({"value": {"met": True}}, {"value": {"met": False}})
    return [end.state for end in carry_out_all(run, rows, lambda _: (new(), change), apart=apart)]


def test_changes_of_one_cluster_that_are_apart_go_side_by_side(run: Run) -> None:
    assert carried_out(run, partial(Meeting, Barrier(2, timeout=30)), apart=True) == [State.DONE, State.DONE]


def test_others_go_one_at_a_time_and_would_wait_for_each_other_in_vain(run: Run) -> None:
    assert State.DONE not in carried_out(run, partial(Meeting, Barrier(2, timeout=0.3)))


def test_who_is_refused_has_nothing_on_its_way_and_looks_once_more(run: Run) -> None:
    actuator = Forbidden()
    assert carried_out(run, lambda: actuator, subjects="a") == [State.UNDONE]
    assert actuator.looks == 3  # before the lease, under it, and after the refusal
