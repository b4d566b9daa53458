"""Law: whatever three owners do in whatever order, the journal agrees with a plain model of its rules."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from blocks.errors import Conflict, Refused
from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, Intent, State

LEASE_S = 60
OWNERS = st.integers(0, 2)
SUBJECTS = st.sampled_from(["a/web", "a/batch", "b/web"])


class JournalMachine(RuleBasedStateMachine):
    """The model: per intent its state, owner and lease end; per subject at most one started intent."""

    migrated: Path
    clock_type: type

    @initialize()
    def open_store(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        shutil.copy(self.migrated, self.folder / "store.db")
        self.store = Store.open(f"sqlite:///{self.folder / 'store.db'}")
        self.clock = self.clock_type()
        self.journals = [Journal(self.store, f"elsewhere:{n}:0:x", clock=self.clock, lease_s=LEASE_S) for n in range(3)]
        self.model: dict[str, dict[str, object]] = {}
        self.rows: dict[str, Intent] = {}
        self.frozen: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def pick(self, number: int) -> tuple[str, dict[str, object]]:
        key = sorted(self.model)[number % len(self.model)]
        return key, self.model[key]

    def attempt(self, allowed: bool, work, key: str, **changes: object) -> None:
        """Do it where the model allows it; else it must be refused and change nothing."""
        if not allowed:
            with pytest.raises((Conflict, Refused)):
                work()
            return
        self.rows[key] = work()
        self.model[key] |= changes

    @property
    def now(self) -> float:
        return self.clock().timestamp()

    def is_frozen(self, subject: str) -> bool:
        return any(scope in ("*", subject, subject.partition("/")[0]) for scope in self.frozen)

    @rule(owner=OWNERS, subject=SUBJECTS, number=st.integers(0, 1))
    def plan(self, owner: int, subject: str, number: int) -> None:
        key = f"{subject}/{number}"
        self.rows[key] = self.journals[owner].plan("d", subject, "k", do={}, undo={}, planned_against={}, key=key)
        self.model.setdefault(
            key, {"subject": subject, "state": "planned", "owner": owner, "until": self.now + LEASE_S}
        )

    @precondition(lambda self: self.model)
    @rule(owner=OWNERS, number=st.integers(0, 5))
    def start(self, owner: int, number: int) -> None:
        key, row = self.pick(number)
        held = any(other["state"] == "started" and other["subject"] == row["subject"] for other in self.model.values())
        self.attempt(row["state"] == "planned" and not held and not self.is_frozen(str(row["subject"])),
                     lambda: self.journals[owner].start(self.rows[key]), key,
                     state="started", owner=owner, until=self.now + LEASE_S)  # fmt: skip

    @precondition(lambda self: self.model)
    @rule(owner=OWNERS, number=st.integers(0, 5), state=st.sampled_from(["done", "undone", "failed"]))
    def finish(self, owner: int, number: int, state: str) -> None:
        key, row = self.pick(number)
        before = ("started",) if state == "done" else ("planned", "started")
        self.attempt(row["state"] in before and row["owner"] == owner,
                     lambda: getattr(self.journals[owner], state)(self.rows[key]), key, state=state)  # fmt: skip

    @precondition(lambda self: self.model)
    @rule(owner=OWNERS, number=st.integers(0, 5), step=st.sampled_from(["note", "proceed"]))
    def go_on(self, owner: int, number: int, step: str) -> None:
        key, row = self.pick(number)
        stopped = step == "proceed" and self.is_frozen(str(row["subject"]))
        allowed = row["state"] == "started" and row["owner"] == owner and not stopped
        self.attempt(
            allowed, lambda: getattr(self.journals[owner], step)(self.rows[key]), key, until=self.now + LEASE_S
        )

    @precondition(lambda self: self.model)
    @rule(owner=OWNERS, number=st.integers(0, 5))
    def adopt(self, owner: int, number: int) -> None:
        key, row = self.pick(number)
        self.attempt(row["state"] in ("planned", "started") and row["until"] <= self.now,
                     lambda: self.journals[owner].adopt(self.journals[owner].intent(self.rows[key].id)), key,
                     owner=owner, until=self.now + LEASE_S)  # fmt: skip

    @rule(owner=OWNERS)
    def renew(self, owner: int) -> None:
        self.journals[owner].renew()
        for row in self.model.values():
            if row["owner"] == owner and row["state"] in ("planned", "started"):
                row["until"] = self.now + LEASE_S

    @rule(seconds=st.sampled_from([1, 30, 60]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(scope=st.sampled_from(["*", "a", "a/web"]))
    def freeze_or_thaw(self, scope: str) -> None:
        journal = self.journals[0]
        journal.thaw(scope) if scope in self.frozen else journal.freeze(scope)
        self.frozen ^= {scope}

    @invariant()
    def the_journal_agrees_with_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = {row.key: row for row in self.journals[0].intents()}
        assert {key: (row.state, row.owner) for key, row in rows.items()} == {
            key: (row["state"], f"elsewhere:{row['owner']}:0:x") for key, row in self.model.items()
        }
        started = [row.subject for row in rows.values() if row.state == State.STARTED]
        assert len(started) == len(set(started))
        for number, journal in enumerate(self.journals):
            assert {row.key for row in journal.expired()} == {
                key for key, row in self.model.items()
                if row["state"] in UNFINISHED and row["owner"] != number and row["until"] <= self.now}  # fmt: skip


def test_the_journal_agrees_with_a_model_of_its_rules(migrated_file: Path, clock) -> None:
    JournalMachine.migrated, JournalMachine.clock_type = migrated_file, type(clock)
    run_state_machine_as_test(
        JournalMachine, settings=settings(max_examples=25, stateful_step_count=25)
    )  # fmt: skip
