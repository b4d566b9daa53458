"""Undo of a whole decision: new intents made from the stored undo payloads, carried out like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlmodel import col, select

from blocks.errors import Conflict, ContinuumError, NotConfigured, NotFound, Refused
from blocks.store.journal import Journal
from blocks.store.tables import UNFINISHED, Intent, State

# Makes the world as `intent.do` says, noting operations on the way; returns one line for people.
# It raises an error of our tree where it cannot.
Applier = Callable[[Journal, Intent], str]


def undo_plan(journal: Journal, decision_id: str, *, force: bool = False) -> list[Intent]:
    """Plan one new intent for each done intent of the decision, the last act first.

    Each has the kind of the old one, the old `undo` as its `do` and the old `do` as its `undo`. Planning twice gives
    the same intents. `force` also undoes what a later act has changed since; the applier sees it in `planned_against`.

    Raises
    ------
    NotFound: no act of this decision is in the journal.
    Refused: it is undone already, not finished, cannot be undone, or a later act changed the same subject.
    """
    where = f"decision {decision_id[:8]}"
    acts = [act for act in journal.intents(decision_id=decision_id) if act.undoes is None]
    if not acts:
        raise NotFound("nothing was done for it", where=where, fix="see `continuum journal list` for what was")
    for act in acts:
        if act.state in UNFINISHED:
            raise Refused(
                f"intent {act.id[:8]} of {act.subject} is {act.state}",
                where=where,
                fix="wait until it is finished; the next run of its flow mends one whose owner is gone",
            )
    done = sorted((act for act in acts if act.state == State.DONE), key=_order, reverse=True)
    if not done:
        states = ", ".join(sorted({str(act.state) for act in acts}))
        raise Refused(f"there is nothing left to undo: its acts are {states}", where=where,
                      fix="decide anew: run the flow that made it")  # fmt: skip
    for act in done:
        _refuse(journal, act, force=force)
    return [_plan(journal, act, force=force) for act in done]


def carry_out(journal: Journal, intents: Sequence[Intent], appliers: Mapping[str, Applier]) -> list[Intent]:
    """Start, apply and finish each intent in order; stops at the first that fails, after marking it failed.

    Raises
    ------
    NotConfigured: no applier for one of the kinds; nothing was started.
    Refused, Conflict: one could not be started (frozen, held, taken). Any other: what its applier raised.
    """
    for intent in intents:
        if intent.kind not in appliers:
            raise NotConfigured(f"nothing here can carry out {intent.kind!r}", where=f"intent {intent.id[:8]}",
                                fix="use the release of continuum that made it")  # fmt: skip
    finished: list[Intent] = []
    for planned in intents:
        try:
            started = journal.start(planned)
        except ContinuumError as error:
            if journal.intent(planned.id).state == State.PLANNED:
                journal.undone(planned, f"nothing was changed: {error}")
            raise
        try:
            detail = appliers[started.kind](journal, started)
        except ContinuumError as error:
            journal.failed(started, str(error))
            raise
        finished.append(journal.done(started, detail))
    return finished


def _superseded_by(journal: Journal, act: Intent) -> Intent | None:
    """The latest done intent that changed the act's subject after it. An act and its own undo cancel out."""
    query = select(Intent).where(
        Intent.subject == act.subject, Intent.state == State.DONE, col(Intent.finished_step) > _order(act)
    )
    with journal.store.read() as session:
        later = session.exec(query.order_by(col(Intent.finished_step).desc())).all()
        for other in later:
            undone = session.get(Intent, other.undoes) if other.undoes else None
            if other.decision_id != act.decision_id and (undone is None or _order(undone) < _order(act)):
                return other
    return None


def _order(intent: Intent) -> int:
    return intent.finished_step or 0


def _refuse(journal: Journal, act: Intent, *, force: bool) -> None:
    where = f"intent {act.id[:8]} of {act.subject}"
    if not act.undo:
        raise Refused(f"{act.kind} cannot be undone: it left no undo", where=where, fix="mend it by hand")
    later = None if force else _superseded_by(journal, act)
    if later is not None:
        raise Refused(
            f"intent {later.id[:8]} ({later.kind}) has changed it since, {later.updated_at:%Y-%m-%d %H:%M} UTC",
            where=where,
            fix="undo that decision first, or repeat with --force",
        )


def _plan(journal: Journal, act: Intent, *, force: bool) -> Intent:
    """The undo of one act; after an attempt that failed, the next attempt is a new intent."""
    with journal.store.read() as session:
        earlier = session.exec(select(Intent).where(Intent.undoes == act.id)).all()
    if any(attempt.state == State.STARTED for attempt in earlier):
        raise Conflict("its undo is already under way", where=f"intent {act.id[:8]} of {act.subject}",
                       fix="wait until it is finished")  # fmt: skip
    ended = sum(attempt.state not in UNFINISHED for attempt in earlier)
    return journal.plan(act.decision_id, act.subject, act.kind, do=act.undo, undo=act.do,
                        planned_against={"intent": act.id, "done": act.do, "force": force},
                        key=f"undo/{act.id}/{ended}" + ("/force" if force else ""), undoes=act.id)  # fmt: skip
