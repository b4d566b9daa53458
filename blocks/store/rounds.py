"""Rounds of federated training: open -> closing -> closed, and what edges have sent for each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from blocks.errors import Conflict, NotFound
from blocks.store.database import Database
from blocks.store.tables import RoundUpdate, TrainingRound, now

Clock = Callable[[], datetime]
OPEN, CLOSING, CLOSED = "open", "closing", "closed"


def open_round(store: Database, wanted: TrainingRound) -> TrainingRound:
    """Let a round begin.

    Raises
    ------
    Conflict: one of this model is not closed yet.
    """
    with store.write() as session:
        query = select(TrainingRound).where(TrainingRound.model == wanted.model, col(TrainingRound.state) != CLOSED)
        running = session.exec(query).first()
        if running is not None or session.get(TrainingRound, wanted.id) is not None:
            raise Conflict(f"round {running.id if running else wanted.id} is there already",
                           where=f"model {wanted.model}", fix="run the flow: it carries it on")  # fmt: skip
        session.add(wanted)
    return wanted


def round_of(store: Database, round_id: str) -> TrainingRound:
    """A round by its id. NotFound: there is none."""
    with store.read() as session:
        found = session.get(TrainingRound, round_id)
    if found is None:
        raise NotFound("there is no such round", where=f"round {round_id}", fix="see `continuum federate rounds`")
    return found


def rounds(store: Database, model: str | None = None, *, limit: int | None = None) -> list[TrainingRound]:
    """Rounds, newest first."""
    query = select(TrainingRound).order_by(col(TrainingRound.created_at).desc(), col(TrainingRound.number).desc())
    query = query if model is None else query.where(TrainingRound.model == model)
    with store.read() as session:
        return list(session.exec(query.limit(limit)))


def asked_of(store: Database, edge: str, clock: Clock = now) -> TrainingRound | None:
    """The open round that an edge is asked to train in and has not answered yet."""
    with store.read() as session:
        for row in session.exec(select(TrainingRound).where(TrainingRound.state == OPEN)):
            if edge in row.content["selected"] and clock() < row.deadline:
                answer = session.get(RoundUpdate, (row.id, edge))
                if answer is None or answer.refused:
                    return row
    return None


def take_update(store: Database, update: RoundUpdate, clock: Clock = now) -> None:
    """Keep what an edge sent; the same again changes nothing, and a good one takes the place of a refused one.

    Raises
    ------
    NotFound: no such round. Conflict: it takes no more, or the edge has sent something else before.
    """
    with store.write() as session:
        found = _locked(session, update.round_id)
        there = session.get(RoundUpdate, (update.round_id, update.edge))
        if there is not None and there.digest == update.digest:
            return
        if found.state != OPEN or clock() >= found.deadline:
            raise Conflict("takes no more updates", where=f"round {found.id}", fix="ask for the next round")
        if there is not None and not there.refused:
            if update.refused:
                return
            raise Conflict("has sent another update before", where=f"edge {update.edge} in round {found.id}",
                           fix="leave it at the first")  # fmt: skip
        session.merge(update)


def updates_of(store: Database, round_id: str) -> list[RoundUpdate]:
    """What has been sent for a round, by edge."""
    with store.read() as session:
        query = select(RoundUpdate).where(RoundUpdate.round_id == round_id)
        return list(session.exec(query.order_by(col(RoundUpdate.edge))))


def rows_told(store: Database, model: str) -> dict[str, int]:
    """By edge, the most rows that it has said it trained on."""
    query = (select(RoundUpdate.edge, func.max(RoundUpdate.samples))
             .join(TrainingRound, col(TrainingRound.id) == col(RoundUpdate.round_id))
             .where(TrainingRound.model == model, RoundUpdate.refused == "")
             .group_by(col(RoundUpdate.edge)))  # fmt: skip
    with store.read() as session:
        return dict(session.exec(query).all())


def stop_round(store: Database, round_id: str) -> TrainingRound:
    """From here on nothing more is taken: what is there is what the round is made of, however often it is closed."""
    with store.write() as session:
        found = _locked(session, round_id)
        if found.state == OPEN:
            found.state = CLOSING
            session.add(found)
        return found


def close_round(
    store: Database, round_id: str, record: dict[str, Any], after: dict[str, Any], clock: Clock = now
) -> TrainingRound:  # fmt: skip
    """Let the round's model stand; the one write that does. A round that is closed stays as it is."""
    with store.write() as session:
        found = _locked(session, round_id)
        if found.state != CLOSED:
            found.state, found.record, found.after, found.closed_at = CLOSED, record, after, clock()
            session.add(found)
        return found


def standing_before(store: Database, model: str, number: int) -> dict[str, Any]:
    """What stands after the last round before a number; empty where there was none."""
    query = select(TrainingRound).where(TrainingRound.model == model, TrainingRound.state == CLOSED,
                                        TrainingRound.number < number)  # fmt: skip
    with store.read() as session:
        found = session.exec(query.order_by(col(TrainingRound.number).desc()).limit(1)).first()
    return dict(found.after) if found else {}


def _locked(session: Session, round_id: str) -> TrainingRound:
    found = session.exec(select(TrainingRound).where(TrainingRound.id == round_id).with_for_update()).first()
    if found is None:
        raise NotFound("there is no such round", where=f"round {round_id}", fix="see `continuum federate rounds`")
    return found
