"""A flow whose act shows when it is done twice: each run appends one line to a ledger, through the journal."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from blocks.fleet import Fleet
from blocks.store.journal import Journal
from blocks.store.tables import Decision, Intent, Mode, now
from tasks.acting import (
    Planned,
    Seen,
    SubjectActuator,
    approve,
    carry_out_all,
    decided_before,
    keep_decisions,
    settle_left_over,
)
from tasks.acting.carry_out import Result
from tasks.run import Run, open_run


class Entry(SubjectActuator):
    """One line of a ledger. Writing it is no idempotent call, and takes a while after it was done."""

    kind = "ledger-entry"
    noun = "entry"

    def __init__(self, file: Path, name: str, takes_s: float = 0.0) -> None:
        self._file, self._name, self._takes_s = file, name, takes_s

    @property
    def where(self) -> str:
        return f"entry {self._name}"

    def look(self) -> Seen:
        lines = self._file.read_text().split() if self._file.exists() else []
        return Seen({"entered": self._name in lines})

    def put(self, journal: Journal, intent: Intent, seen: Seen, value: dict[str, Any]) -> None:
        journal.proceed(intent)
        with self._file.open("a") as ledger:
            ledger.write(f"{self._name}\n")
        time.sleep(self._takes_s)
        journal.note(intent, {"pid": os.getpid()}, "entered")

    def missing(self, intent: Intent, *, patience_s: float) -> str:
        return ""

    def said(self, intent: Intent) -> str:
        return "it is there"


@task(cache_policy=NO_CACHE, persist_result=False)
def act_on(run: Run, approved: Sequence[Decision], ledger: str, takes_s: float) -> list[Result]:
    """Enter what was approved."""
    file = Path(ledger)

    def change_of(decision: Decision) -> tuple[SubjectActuator, Planned]:
        entry = Entry(file, decision.subject, takes_s)
        return entry, Planned({"value": {"entered": True}}, {"value": dict(entry.look().value)})

    return carry_out_all(run, approved, change_of)


@flow(name="ledger")
def enter(number: int, ledger: str, takes_s: float = 0.0) -> list[str]:
    """Observe, decide, act: the same way as every flow that changes the world."""
    run = open_run("ledger", "default", Mode.ACT)

    def opener(_fleet: Fleet, subject: str, _kind: str) -> SubjectActuator:
        return Entry(Path(ledger), subject)

    settle_left_over(run, {Entry.kind}, opener)
    as_of = now()
    rows = decided_before(run) or keep_decisions(
        run, [{"unique_id": f"entry-{number}", "action": "enter", "reasons": []}], as_of=as_of, ttl_s=3600,
        changes={"enter"},
    )  # fmt: skip
    approved = approve(run, rows, as_of=as_of, timeout_s=60, plan=lambda changes: str(len(changes)),
                       check=lambda changes: {})  # fmt: skip
    return [result.state for result in act_on(run, approved, ledger, takes_s)]
