"""Who may approve proposals, known by tokens of their own, and what was answered to the proposal of a flow run."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete
from sqlmodel import col, select

from blocks.errors import Conflict, InvalidInput, NotFound, Unauthorized
from blocks.store.database import Database
from blocks.store.tables import Approval, Approver


def add_approver(store: Database, name: str, scopes: Sequence[str]) -> str:
    """Let a person approve inside the scopes (`*`, a cluster, cluster/pool); returns the token, which is not kept.

    Raises
    ------
    InvalidInput: no name or no scope. Conflict: the name is taken.
    """
    if not name.strip() or not scopes:
        raise InvalidInput("a name and at least one scope are needed", where="approver",
                           fix="give NAME --clusters '*', or a list of clusters")  # fmt: skip
    token = secrets.token_urlsafe(32)
    with store.write() as session:
        if session.get(Approver, name) is not None:
            raise Conflict("there already", where=f"approver {name}", fix="remove it first, or take another name")
        session.add(Approver(name=name, token_sha256=_digest(token), scopes=sorted(set(scopes))))
    return token


def remove_approver(store: Database, name: str) -> None:
    """Take a person's right away; what they approved stays recorded. NotFound: nobody is called so."""
    with store.write() as session:
        gone: Any = session.execute(delete(Approver).where(col(Approver.name) == name))
    if not gone.rowcount:
        raise NotFound("nobody is called so", where=f"approver {name}", fix="see `continuum approvers list`")


def approvers(store: Database) -> list[Approver]:
    """Everybody who may approve, by name."""
    with store.read() as session:
        return list(session.exec(select(Approver).order_by(col(Approver.name))))


def who(store: Database, token: str) -> Approver:
    """The person whom a token belongs to. Unauthorized: it is nobody's."""
    with store.read() as session:  # looked up by digest: what the look takes tells nothing about a token
        found = session.exec(select(Approver).where(Approver.token_sha256 == _digest(token))).first()
    if found is None:
        fix = "set CONTINUUM_APPROVER_TOKEN to the token that `continuum approvers add` has printed"
        raise Unauthorized("the token is nobody's", where="approver", fix=fix)
    return found


def outside(person: Approver, subjects: Iterable[str]) -> list[str]:
    """The subjects that a person may not approve: those that lie in none of their scopes.

    >>> ada = Approver(name="ada", token_sha256="", scopes=["eu-eks", "us-gke/web"])
    >>> outside(ada, ["eu-eks/web", "us-gke/web", "us-gke/batch", "us-gke"])
    ['us-gke/batch', 'us-gke']
    """
    return [name for name in subjects if not any(scope in ("*", name) or name.startswith(f"{scope}/")
                                                 for scope in person.scopes)]  # fmt: skip


def keep_approval(store: Database, approval: Approval) -> None:
    """Keep what a person answered."""
    with store.write() as session:
        session.add(approval)


def forget_approval(store: Database, approval: Approval) -> None:
    """Take an answer back that its run has not taken."""
    with store.write() as session:
        session.execute(delete(Approval).where(col(Approval.id) == approval.id))


def same_answer(store: Database, given: Approval) -> Approval | None:
    """The answer that was kept before, if one says the same in the same name: the verified one where there are two."""
    with store.read() as session:
        kept = session.exec(select(Approval).where(Approval.flow_run_id == given.flow_run_id)
                            .order_by(col(Approval.verified).desc(), col(Approval.at))).all()  # fmt: skip
    same = ("person", "approve", "leave_out", "note")
    return next((row for row in kept if all(getattr(row, name) == getattr(given, name) for name in same)), None)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
