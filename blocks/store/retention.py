"""What the store forgets, and when: what was only looked at after weeks, what was done after a year."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from blocks.store.database import Database
from blocks.store.series import SeriesStore
from blocks.store.tables import (
    UNFINISHED,
    Approval,
    Decision,
    Disruption,
    ForecastRecord,
    Intent,
    IntentStep,
    OutboxItem,
    Outcome,
    Pass,
    Row,
    Scorecard,
    Section,
    Verdict,
)

# A statement deletes so many rows at most, in a transaction of its own: others get their turn in between.
CHUNK = 5000
CHANGED_NOTHING = (Verdict.RECORDED, Verdict.EXPIRED, Verdict.REJECTED)
NEVER = frozenset({"lease", "reservation", "disruption", "hold", "freeze", "approver", "model_version", "edge",
                   "edge_model", "rollout", "training_round", "round_update"})  # fmt: skip
"""Tables that do not grow with time: what lapses is replaced, or they grow with what people do."""


@dataclass(frozen=True)
class Keep:
    """Days.

    Attributes
    ----------
    looked: decisions that changed nothing, with their outcomes; reports, forecasts, what edges have told.
    done: what was done and undone, its history and who approved it; scores, passes; series.
    """

    looked: int = 35
    done: int = 400


def forget(store: Database, files: SeriesStore, at: datetime, keep: Keep, *, dry: bool = False) -> dict[str, int]:
    """Delete what is older than it is kept; rows by table, and files. `dry` only counts.

    Kept whatever their age: changes that are not finished, and what they undo; the newest report, and the newest pass,
    of each flow and fleet; forecasts whose files cannot be deleted now.
    """
    found: dict[str, int] = {}
    looked, done = at - timedelta(days=keep.looked), at - timedelta(days=keep.done)
    found["forecast"] = _forecasts(store, files, looked, dry=dry)
    for table, old in _old(looked, done):
        name = str(table.__tablename__)
        found[name] = found.get(name, 0) + (_count(store, table, old) if dry else _delete(store, table, old))
    found["series files"] = files.forget(done.date(), dry=dry)
    return found


def _old(looked: datetime, done: datetime) -> Iterator[tuple[Any, ColumnElement[bool]]]:
    """(table, what of it goes), those that point at others first."""
    nothing = col(Decision.state).in_(CHANGED_NOTHING) & (col(Decision.created_at) < looked)
    decided = nothing | (
        (col(Decision.created_at) < done) & col(Decision.state).not_in((Verdict.PROPOSED, Verdict.APPROVED))
    )
    undoing = aliased(Intent)
    ended = (
        (col(Intent.updated_at) < done) & col(Intent.state).not_in(UNFINISHED)
        & ~exists().where(col(undoing.undoes) == col(Intent.id))
        & ~exists().where(col(Disruption.intent_id) == col(Intent.id))
    )  # fmt: skip
    yield Outcome, col(Outcome.decision_id).in_(select(col(Decision.id)).where(decided))
    yield Decision, decided
    for _ in range(2):  # what undid goes first, then what it undid
        yield IntentStep, col(IntentStep.intent_id).in_(select(col(Intent.id)).where(ended))
        yield Intent, ended & ~exists().where(col(IntentStep.intent_id) == col(Intent.id))
    yield Approval, col(Approval.at) < done
    yield Scorecard, col(Scorecard.period_end) < done
    yield OutboxItem, col(OutboxItem.received_at) < looked
    later, newer = aliased(Section), aliased(Pass)
    yield Section, (col(Section.created_at) < looked) & exists().where(
        col(later.flow) == col(Section.flow), col(later.subject) == col(Section.subject),
        col(later.flow_run_id) != col(Section.flow_run_id),
        col(later.created_at) > col(Section.created_at))  # fmt: skip
    yield Pass, (col(Pass.ended_at) < done) & exists().where(
        col(newer.flow) == col(Pass.flow), col(newer.fleet) == col(Pass.fleet),
        col(newer.ended_at) > col(Pass.ended_at))  # fmt: skip


def _count(store: Database, table: type[Row], old: ColumnElement[bool]) -> int:
    with store.read() as session:
        return int(session.execute(select(func.count()).select_from(table).where(old)).scalar_one())


def _delete(store: Database, table: type[Row], old: ColumnElement[bool]) -> int:
    keys = list(table.__table__.primary_key.columns)  # type: ignore[attr-defined]
    count = 0
    while True:
        with store.write() as session:
            gone = _some(session, table, keys, old)
        count += gone
        if gone < CHUNK:
            return count


def _some(session: Session, table: type[Row], keys: list[Any], old: ColumnElement[bool]) -> int:
    rows = session.execute(select(*keys).where(old).limit(CHUNK)).all()
    if not rows:
        return 0
    if len(keys) == 1:
        which = keys[0].in_([row[0] for row in rows])
    else:
        from sqlalchemy import tuple_

        which = tuple_(*keys).in_([tuple(row) for row in rows])
    session.execute(delete(table).where(which), execution_options={"synchronize_session": False})
    return len(rows)


def _forecasts(store: Database, files: SeriesStore, before: datetime, *, dry: bool) -> int:
    """Files first: a row without its file is told as damaged, a file without its row is lost space."""
    old = col(ForecastRecord.as_of) < before
    if dry:
        return _count(store, ForecastRecord, old)
    with store.read() as session:
        for path in session.execute(select(col(ForecastRecord.path)).where(old)).scalars().all():
            files.remove(path)
    return _delete(store, ForecastRecord, old)
