"""Which changes wait for one another."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from blocks.errors import Refused
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


def carried_out(run: Run, barrier: Barrier, *, apart: bool) -> list[str]:
    rows = [Decision(flow_run_id="one", flow="meetings", subject=f"eu-eks/{name}", action="meet", mode=Mode.ACT,
                     state=Verdict.APPROVED, as_of=datetime.now(UTC)) for name in "ab"]  # fmt: skip
    run.store.record_decisions(rows)
    change = Planned({"value": {"met": True}}, {"value": {"met": False}})
    return [end.state for end in carry_out_all(run, rows, lambda _: (Meeting(barrier), change), apart=apart)]


def test_changes_of_one_cluster_that_are_apart_go_side_by_side(run: Run) -> None:
    assert carried_out(run, Barrier(2, timeout=30), apart=True) == [State.DONE, State.DONE]


def test_others_go_one_at_a_time_and_would_wait_for_each_other_in_vain(run: Run) -> None:
    assert State.DONE not in carried_out(run, Barrier(2, timeout=0.3), apart=False)
