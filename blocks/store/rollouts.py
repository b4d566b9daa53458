"""Roll-outs: which version is, or was, on its way to the edges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlmodel import col, select

from blocks.errors import NotFound
from blocks.store.database import Database
from blocks.store.tables import Rollout, now

RUNNING, DONE, ROLLING_BACK, ROLLED_BACK, SUPERSEDED = "running", "done", "rolling-back", "rolled-back", "superseded"


def rollouts(store: Database, model: str | None = None) -> list[Rollout]:
    """Roll-outs, newest first."""
    query = select(Rollout).order_by(col(Rollout.created_at).desc())
    with store.read() as session:
        return list(session.exec(query if model is None else query.where(Rollout.model == model)))


def begin(store: Database, model: str, digest: str, decision_id: str) -> Rollout:
    """The running roll-out of this version, now carried by this decision too; those of other versions end."""
    with store.write() as session:
        query = select(Rollout).where(Rollout.model == model, Rollout.state == RUNNING)
        found = None
        for row in session.exec(query):
            if row.digest == digest:
                found = row
            else:
                row.state, row.detail, row.updated_at = SUPERSEDED, f"by {digest[:12]}", now()
                session.add(row)
        found = found or Rollout(model=model, digest=digest)
        if decision_id not in found.decisions:
            found.decisions = [*found.decisions, decision_id]
        session.add(found)
    return found


def settle(
    store: Database, rollout_id: str, state: str, detail: str = "", clock: Callable[[], datetime] = now
) -> Rollout:  # fmt: skip
    """Write down where a roll-out stands. NotFound: there is none of that id."""
    with store.write() as session:
        found = session.get(Rollout, rollout_id)
        if found is None:
            raise NotFound("there is no such roll-out", where=f"roll-out {rollout_id}", fix="see `continuum hub edges`")
        found.state, found.detail, found.updated_at = state, detail or found.detail, clock()
        session.add(found)
        return found
