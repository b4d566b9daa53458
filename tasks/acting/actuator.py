"""What all actuators share: look, refuse what has changed, apply, wait, verify, and end an intent by what is seen."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from blocks.errors import CloudRefused, Conflict, ContinuumError, OperationFailed, Refused, TimedOut, Unauthorized
from blocks.store.journal import Journal
from blocks.store.tables import Intent

POLL_S = (0.2, 5.0)  # first and longest wait between two looks at a subject
PATIENCE_S = 60.0
CALL_S = 40.0  # longer than any call's time-out: after it, a request that was cut off no longer arrives
# Whose call has been answered, and had it been sent before, would have been answered alike: nothing is on its way.
ANSWERS = (CloudRefused, Refused, Unauthorized)

Value = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """An actuator's setting as it is now.

    Attributes
    ----------
    value: in its own terms.
    version: changes when somebody writes it; None where the API has none.
    busy: the operation that is running on it, or None.
    """

    value: Value
    version: str | None = None
    busy: str | None = None


@dataclass(frozen=True)
class Planned:
    """A change as its intent keeps it: what to do, what takes it back, the state it was planned against.

    `disrupts` is the number of nodes that we take out of service ourselves.
    """

    do: dict[str, Any]
    undo: dict[str, Any]
    against: dict[str, Any] = field(default_factory=dict)
    disrupts: int = 0


class SubjectActuator(ABC):
    """One way to change one subject (a node pool, a workload, a cache). Its verbs work on intents; only `put` writes.

    Every write can be undone: `Planned.undo` has the same form as `Planned.do`, and `make_so` carries out either.
    """

    kind: ClassVar[str]
    noun: ClassVar[str] = "subject"
    after_time_out: ClassVar[str] = "look at it"

    @property
    @abstractmethod
    def where(self) -> str:
        """How messages name the subject."""

    @abstractmethod
    def look(self) -> Seen:
        """The setting as it is now."""

    @abstractmethod
    def put(self, journal: Journal, intent: Intent, seen: Seen, value: Value) -> None:
        """Write the setting, step by step: `journal.proceed` before each call, `journal.note` after it.

        Raises
        ------
        Conflict: somebody wrote it since `seen`.
        """

    @abstractmethod
    def missing(self, intent: Intent, *, patience_s: float) -> str:
        """What the setting was to bring and has not brought yet, in words; "" as soon as nothing is missing."""

    @abstractmethod
    def said(self, intent: Intent) -> str:
        """What there is when the intent is done, in words."""

    def lease(self, owner: str) -> AbstractContextManager[None]:
        """Keep others away while the setting is written: the second guard, beside the journal. By default nothing."""
        del owner
        return nullcontext()

    def patience_s(self) -> float:
        """How long an operation may take."""
        return PATIENCE_S

    def arrival_s(self) -> float:
        """How long what was asked for may take to come true after that."""
        return PATIENCE_S

    def announce(self, journal: Journal, intent: Intent) -> None:
        """Before a change: write down what it is going to leave behind. By default nothing."""
        del journal, intent

    def conclude(self, journal: Journal, intent: Intent, *, done: bool) -> None:
        """After a change: write down what is left of it. By default nothing."""
        del journal, intent, done

    def told(self, value: Value) -> str:
        """A setting in words."""
        return told(value)

    def value(self, payload: Mapping[str, Any]) -> Value:
        """The setting of a `do` or an `undo`."""
        return dict(payload["value"])

    def wait(self, operation: Mapping[str, Any], patience_s: float) -> None:
        """Wait for the end of the operation that `put` has noted; nothing where a write is over when it returns."""
        del operation, patience_s

    def resumes(self, before: Value, value: Value, target: Value) -> bool:
        """Whether a setting on the way from one to the other is a change of ours that was cut off."""
        del before, value, target
        return False

    def finish(self, journal: Journal, intent: Intent, seen: Seen) -> None:
        """Go on with what was cut off; nothing where the setting says that it was written."""
        del journal, intent, seen

    def make_so(self, journal: Journal, intent: Intent) -> str:
        """Write what a started intent asks for, and stay until it has come true; what was seen then.

        Raises
        ------
        Conflict: somebody else changed it since. Any other of our tree: the API, or a freeze, said no.
        """
        target = self.value(intent.do)
        seen = self.look()
        self._refuse_changed(seen, intent)
        if seen.value != target:
            with self.lease(journal.owner):
                seen = self.look()  # whoever held the lease before may have written it
                self._refuse_changed(seen, intent)
                self.put(journal, intent, seen, target)
            self.wait(journal.intent(intent.id).operation, self.patience_s())
        missing = self.missing(intent, patience_s=self.arrival_s())
        if missing:
            raise TimedOut(missing, where=self.where, fix=self.after_time_out)
        return self.said(intent)

    def settle(self, journal: Journal, intent: Intent, because: ContinuumError | None = None) -> Intent:
        """End a started intent by what is seen, never by what a call has answered.

        Raises
        ------
        Refused: a freeze covers it. Any other of our tree: it cannot be looked at. The intent stays started.
        """
        target, before, why = self.value(intent.do), self.value(intent.undo), f": {because}" if because else ""
        seen = self._when_idle(journal, intent, patience_s=0 if isinstance(because, TimedOut) else None,
                               answered=isinstance(because, ANSWERS))  # fmt: skip
        if seen.value == before:
            return journal.undone(intent, f"the {self.noun} still has {self.told(before)}{why}")
        if seen.value != target and not self.resumes(before, seen.value, target):
            there = f"the {self.noun} has {self.told(seen.value)}, which was never asked for; left alone{why}"
            return journal.failed(intent, there)
        self.finish(journal, intent, seen)
        missing = self.missing(intent, patience_s=0 if because else self.arrival_s())
        if missing:
            return journal.failed(intent, f"{missing}; it was left as it is{why}")
        return journal.done(intent, self.said(intent))

    def _refuse_changed(self, seen: Seen, intent: Intent) -> None:
        known = (self.value(intent.undo), self.value(intent.do))
        if seen.value not in known and not intent.planned_against.get("force"):
            was = f"was changed to {self.told(seen.value)} by somebody else"
            raise Conflict(was, where=self.where, fix="decide anew: run the flow again")

    def _when_idle(self, journal: Journal, intent: Intent, *, patience_s: float | None, answered: bool) -> Seen:
        """The setting once no operation runs on it, and no call of ours can still be on its way."""
        patience_s = self.patience_s() if patience_s is None else patience_s
        operation, before, since = dict(intent.operation), self.value(intent.undo), intent.updated_at
        for _ in looks(max(patience_s, CALL_S)):
            seen = self.look()
            answered = answered or bool(intent.operation) or (journal.clock() - since).total_seconds() > CALL_S
            if not seen.busy and (answered or seen.value != before):
                return seen
            if seen.busy and operation and patience_s:
                asked, operation = operation, {}  # asked once; what it left is read from the subject
                with suppress(OperationFailed):
                    self.wait(asked, patience_s)
        raise TimedOut(f"an operation still runs after {max(patience_s, CALL_S):.0f} s", where=self.where)


def refuse_busy(seen: Seen, where: str) -> None:
    """Refuse a change of a subject on which an operation is running.

    Raises
    ------
    Conflict: it is.
    """
    if seen.busy:
        raise Conflict(f"is busy with operation {seen.busy}", where=where, fix="the next pass looks again")


def told(value: Mapping[str, Any]) -> str:
    """A setting in words.

    >>> told({"min_nodes": 1, "max_nodes": 9})
    'min_nodes 1, max_nodes 9'
    """
    return ", ".join(f"{name} {number}" for name, number in sorted(value.items(), reverse=True))


def looks(patience_s: float) -> Iterator[None]:
    """Look once, then again and again with growing pauses until patience ends."""
    begin, pause_s = time.monotonic(), POLL_S[0]
    yield
    while time.monotonic() - begin + pause_s <= patience_s:
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, POLL_S[1])
        yield
