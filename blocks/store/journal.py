"""The journal: every change to the world is an intent first, so that whatever is killed can be finished or undone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import delete, exc, update
from sqlmodel import Session, col, select

from blocks.errors import Conflict, NotFound, Refused, StoreUnavailable
from blocks.store.guards import Guards
from blocks.store.owner import is_gone
from blocks.store.tables import UNFINISHED, Decision, Disruption, Freeze, Intent, IntentStep, Lease, State, Verdict

logger = logging.getLogger(__name__)


class Journal(Guards):
    """Intents as one owner sees them: planned -> started -> done | undone | failed.

    Taking an intent is a compare-and-set on its row. Every method returns the row as it stands after the call; a row
    handed in is only used for its id (and, by `start` and `adopt`, for the version that was seen).
    """

    def plan(self, decision_id: str | None, subject: str, kind: str, *, do: dict[str, Any], undo: dict[str, Any],
             planned_against: dict[str, Any], key: str, undoes: str | None = None) -> Intent:  # fmt: skip
        """Write an intent down. The same key gives the intent that is already there, in whatever state it is.

        `subject` is what is changed (`eu-eks/web`), `kind` names the applier that can carry it out; `do` is that
        applier's payload and `undo` the one that takes it back (empty where nothing can). `planned_against` is the
        state that was seen (resourceVersion, etag, size), `key` e.g. "DECISION/SUBJECT/KIND", `undoes` the id of the
        intent that this one takes back, if any.

        Raises
        ------
        Conflict: the key belongs to an intent about another subject or of another kind.
        """
        present = self.clock()
        intent = Intent(key=key, decision_id=decision_id, subject=subject, kind=kind, do=do, undo=undo,
                        planned_against=planned_against, undoes=undoes, owner=self.owner, lease_until=self._until(),
                        created_at=present, updated_at=present)  # fmt: skip
        try:
            with self.store.write() as session:
                found = session.exec(select(Intent).where(Intent.key == key)).one_or_none()
                if found is None:
                    session.add(intent)
                    session.flush()
                    self._step(session, intent, State.PLANNED)
        except exc.IntegrityError:  # another process planned it between our look and our insert
            with self.store.read() as session:
                found = session.exec(select(Intent).where(Intent.key == key)).one()
        if found is not None and (found.subject, found.kind) != (subject, kind):
            raise Conflict(f"key {key} belongs to {found.kind} of {found.subject}", where=f"intent {found.id[:8]}",
                           fix="make the key of decision, subject and kind")  # fmt: skip
        return found or intent

    def start(self, intent: Intent) -> Intent:
        """Take the intent: from here on the world may be changed.

        Raises
        ------
        Refused: a freeze covers the subject, or another started intent holds it.
        Conflict: another owner got this intent first, or it is finished.
        """
        try:
            with self.store.write() as session:
                self._refuse_frozen(self._frozen(session, intent.subject), intent)
                return self._change(session, intent, State.STARTED, seen=State.PLANNED, version=intent.version)
        except exc.IntegrityError as error:
            raise self._held(intent) from error

    def proceed(self, intent: Intent) -> Intent:
        """Say, between two steps, whether acting may go on; extends the lease when it may.

        Raises
        ------
        Refused: a freeze covers the subject. Conflict: the intent, or its lease, is no longer ours.
        """
        with self.store.write() as session:
            self._refuse_frozen(self._frozen(session, intent.subject), intent)
            return self._change(session, intent, State.STARTED, event="")

    def note(self, intent: Intent, operation: dict[str, Any] | None = None, detail: str = "") -> Intent:
        """Add a line to a started intent's history; `operation` (what to poll after a crash) is kept on its row."""
        with self.store.write() as session:
            return self._change(session, intent, State.STARTED, event="noted", detail=detail, operation=operation)

    def done(self, intent: Intent, detail: str = "") -> Intent:
        """Finish: the world is as `do` says, and somebody looked. Marks what it undoes as undone, with its decision."""
        return self._finish(intent, State.DONE, detail)

    def undone(self, intent: Intent, detail: str = "") -> Intent:
        """Finish: the world is as before (or was never touched)."""
        return self._finish(intent, State.UNDONE, detail)

    def failed(self, intent: Intent, detail: str = "") -> Intent:
        """Finish: neither done nor undone; the detail tells a person what is left to mend."""
        return self._finish(intent, State.FAILED, detail)

    def renew(self) -> int:
        """Heartbeat: extend every unfinished intent, budget share and lease of this owner; returns how many."""
        present = self.clock()
        with self.store.write() as session:
            mine = update(Intent).where(col(Intent.owner) == self.owner, col(Intent.state).in_(UNFINISHED))
            count: int = session.execute(mine.values(lease_until=self._until())).rowcount  # type: ignore[attr-defined]
            shares = update(Disruption).where(col(Disruption.owner) == self.owner, col(Disruption.until) > present)
            count += session.execute(shares.values(until=self._until())).rowcount  # type: ignore[attr-defined]
            for lease in session.exec(select(Lease).where(Lease.owner == self.owner, Lease.until > present)):
                lease.until = self._until(lease.ttl_s)
                session.add(lease)
                count += 1
        return count

    @contextmanager
    def holding(self, every_s: float | None = None) -> Iterator[None]:
        """Renew in the background while the block runs, every `every_s` seconds (default: a third of the lease)."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(every_s or self.lease_s / 3):
                try:
                    self.renew()
                except StoreUnavailable as error:  # the next beat may succeed; if none does, the lease ends by itself
                    logger.warning("heartbeat of the journal missed: %s", error)

        thread = threading.Thread(target=beat, name="continuum-journal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def expired(self) -> list[Intent]:
        """Unfinished intents, oldest first, whose owner's lease has ended or whose owner's process is gone."""
        query = select(Intent).where(col(Intent.state).in_(UNFINISHED), Intent.owner != self.owner)
        with self.store.read() as session:
            rows = session.exec(query.order_by(col(Intent.created_at), col(Intent.id))).all()
        return [row for row in rows if self._is_expired(row)]

    def adopt(self, intent: Intent) -> Intent:
        """Take over an unfinished intent whose owner is gone; it keeps its state (`planned` or `started`).

        Raises
        ------
        Conflict: its owner is alive, somebody else adopted it first, or it is finished.
        """
        with self.store.write() as session:
            found = self._get(session, intent.id)
            if found.version != intent.version or found.state not in UNFINISHED or not self._is_expired(found):
                raise self._lost(found)
            # lease_until is compared too: a heartbeat between our look and our write means that the owner lives.
            taken = update(Intent).where(col(Intent.id) == found.id, col(Intent.version) == found.version,
                                         col(Intent.lease_until) == found.lease_until)  # fmt: skip
            values = {"owner": self.owner, "lease_until": self._until(), "version": found.version + 1,
                      "updated_at": self.clock()}  # fmt: skip
            if session.execute(taken.values(values)).rowcount != 1:  # type: ignore[attr-defined]
                raise self._lost(found)
            session.refresh(found)
            self._step(session, found, "adopted")
            return found

    def intent(self, intent_id: str) -> Intent:
        """The intent as it stands now. NotFound where there is none of that id."""
        with self.store.read() as session:
            return self._get(session, intent_id)

    def intents(self, *, state: str | None = None, subject: str | None = None, decision_id: str | None = None,
                limit: int | None = None) -> list[Intent]:  # fmt: skip
        """Intents, newest first; `subject` also gives what lies in it (`eu-eks` gives `eu-eks/web`)."""
        query = select(Intent).order_by(col(Intent.created_at).desc(), col(Intent.id)).limit(limit)
        if state:
            query = query.where(Intent.state == state)
        if subject:
            inside = col(Intent.subject).startswith(f"{subject}/", autoescape=True)
            query = query.where((col(Intent.subject) == subject) | inside)
        if decision_id:
            query = query.where(Intent.decision_id == decision_id)
        with self.store.read() as session:
            return list(session.exec(query))

    def steps(self, intent_id: str) -> list[IntentStep]:
        """An intent's history, oldest first."""
        with self.store.read() as session:
            return list(session.exec(select(IntentStep).where(IntentStep.intent_id == intent_id)
                                     .order_by(col(IntentStep.id))))  # fmt: skip

    def _is_expired(self, intent: Intent) -> bool:
        return intent.lease_until <= self.clock() or is_gone(intent.owner)

    def _finish(self, intent: Intent, state: State, detail: str) -> Intent:
        with self.store.write() as session:
            seen = None if state is not State.DONE else State.STARTED
            finished = self._change(session, intent, state, seen=seen, detail=detail)
            if state is not State.FAILED:  # after a failure nodes may still be out: their share ends with its lease
                session.execute(delete(Disruption).where(col(Disruption.intent_id) == intent.id))
            if state is State.DONE and finished.undoes:
                self._mark_undone(session, finished.undoes, by=finished)
            elif not finished.undoes and finished.decision_id:
                # In the same transaction: a crash cannot leave the decision saying something else than its act.
                verdict = Verdict.UNDONE if state is State.UNDONE else Verdict.ACTED
                of_it = update(Decision).where(col(Decision.id) == finished.decision_id)
                session.execute(of_it.values(state=verdict, detail=detail),
                                execution_options={"synchronize_session": False})  # fmt: skip
            return finished

    def _mark_undone(self, session: Session, act_id: str, *, by: Intent) -> None:
        """Mark an act as undone, and its decision once none of its acts stands any more."""
        act = self._get(session, act_id)
        act.state, act.version, act.updated_at = State.UNDONE, act.version + 1, self.clock()
        session.add(act)
        self._step(session, act, State.UNDONE, f"by intent {by.id}")
        standing = select(Intent.id).where(Intent.decision_id == act.decision_id, col(Intent.undoes).is_(None),
                                           Intent.state == State.DONE)  # fmt: skip
        if session.exec(standing).first() is None:
            decision = update(Decision).where(col(Decision.id) == act.decision_id)
            session.execute(decision.values(state=Verdict.UNDONE), execution_options={"synchronize_session": False})

    def _change(self, session: Session, intent: Intent, to: State, *, seen: State | None = State.STARTED,
                version: int | None = None, event: str | None = None, detail: str = "",
                operation: dict[str, Any] | None = None) -> Intent:  # fmt: skip
        """Compare-and-set the row to state `to`, and write the step that tells so (unless `event` is "")."""
        claim = update(Intent).where(col(Intent.id) == intent.id)
        claim = claim.where(col(Intent.state) == seen) if seen else claim.where(col(Intent.state).in_(UNFINISHED))
        # A planned intent is free to take as it was seen. A started one is its owner's until somebody adopts it: a
        # lease that ran out unnoticed loses nothing, as the same compare-and-set decides between owner and adopter.
        mine = col(Intent.owner) == self.owner
        claim = claim.where(mine if version is None else col(Intent.version) == version)
        values: dict[str, Any] = {"state": to, "version": Intent.version + 1, "updated_at": self.clock(),
                                  "owner": self.owner, "lease_until": self._until()}  # fmt: skip
        values |= {"detail": detail} if detail else {}
        values |= {"operation": operation} if operation is not None else {}
        changed = session.execute(claim.values(values), execution_options={"synchronize_session": False})
        found = self._get(session, intent.id)
        if changed.rowcount != 1:  # type: ignore[attr-defined]
            raise self._lost(found)
        if event != "":
            step = self._step(session, found, event or to, detail, operation)
            if to not in UNFINISHED:
                found.finished_step = step.id
                session.add(found)
        return found

    def _step(self, session: Session, intent: Intent, event: str, detail: str = "",
              operation: dict[str, Any] | None = None) -> IntentStep:  # fmt: skip
        step = IntentStep(intent_id=intent.id, at=self.clock(), owner=self.owner, event=event, detail=detail,
                          operation=operation or {})  # fmt: skip
        session.add(step)
        session.flush()
        return step

    def _get(self, session: Session, intent_id: str) -> Intent:
        found = session.get(Intent, intent_id, populate_existing=True)
        if found is None:
            raise NotFound("is not in the journal", where=f"intent {intent_id}", fix="see `continuum journal list`")
        return found

    def _refuse_frozen(self, freeze: Freeze | None, intent: Intent) -> None:
        if freeze is not None:
            end = f"until {freeze.until:%Y-%m-%d %H:%M} UTC" if freeze.until else "until it is thawed"
            why = f" ({freeze.reason})" if freeze.reason else ""
            raise Refused(f"acting is frozen by the freeze of {freeze.scope} {end}{why}", where=intent.subject,
                          fix=f"continuum thaw '{freeze.scope}'")  # fmt: skip

    def _held(self, intent: Intent) -> Refused:
        started = self.intents(state=State.STARTED, subject=intent.subject)
        holder = next((f"intent {row.id[:8]} ({row.kind})" for row in started if row.subject == intent.subject), "")
        return Refused(
            f"another unfinished change holds it: {holder or 'one that has just ended'}",
            where=intent.subject,
            fix="wait for it; `continuum journal show` tells where it stands",
        )

    def _lost(self, found: Intent) -> Conflict:
        whose = "of this owner" if found.owner == self.owner else f"of {found.owner}"
        return Conflict(
            f"is {found.state} {whose}, lease until {found.lease_until:%Y-%m-%d %H:%M:%S} UTC",
            where=f"intent {found.id[:8]} of {found.subject}",
            fix="leave it to its owner; when the owner is gone, the next run finishes or undoes it",
        )
