"""Edges: who may speak to the hub, what each is to run, what each says that it runs, and what it has told."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from blocks.errors import Conflict, InvalidInput, NotFound, Unauthorized
from blocks.fleet import Tier
from blocks.store.database import Database
from blocks.store.tables import Edge, EdgeModel, OutboxItem, now

SEEN_EVERY = timedelta(seconds=60)  # a sign of life is written no oftener: it would cost a commit a poll

RESTORED = -1
"""A cursor in a store that was restored: more may have arrived than it knows of, so an edge's next item is taken."""
SERVING, FAILED = "serving", "failed"  # how the states begin in which an edge runs a version, or could not load it
_CHUNK = 500

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class NewEdge:
    """An edge that is to be known."""

    name: str
    tier: str = Tier.FAR_EDGE
    region: str = ""
    simulated: bool = False


def add_edges(store: Database, edges: Iterable[NewEdge]) -> dict[str, str]:
    """Let edges speak to the hub; returns their tokens by name, which are not kept. All or none.

    Raises
    ------
    InvalidInput: an odd name or tier. Conflict: a name is taken.
    """
    tokens: dict[str, str] = {}
    rows = []
    for edge in edges:
        plain = edge.name.replace("-", "").replace(".", "").replace("_", "")
        if not (plain.isascii() and plain.isalnum()) or len(edge.name) > 128:
            raise InvalidInput("the name is no plain word", where=f"edge {edge.name[:40]!r}",
                               fix="use letters, digits, . _ - only")  # fmt: skip
        if edge.tier not in tuple(Tier):
            raise InvalidInput(f"there is no tier {edge.tier!r}", where=f"edge {edge.name}",
                               fix=f"use {', '.join(Tier)}")  # fmt: skip
        tokens[edge.name] = secrets.token_urlsafe(32)
        rows.append(Edge(name=edge.name, tier=edge.tier, region=edge.region, simulated=edge.simulated,
                         token_sha256=_digest(tokens[edge.name])))  # fmt: skip
    with store.write() as session:
        taken = _by_name(session, tokens)
        if taken or len(rows) > len(tokens):
            raise Conflict("there already, or named twice", where=f"edge {next(iter(taken), rows[0].name)}",
                           fix="remove it first, or take another name")  # fmt: skip
        session.add_all(rows)
    return tokens


def remove_edge(store: Database, name: str) -> None:
    """Take an edge's token back, and forget what it is to run; what it told stays. NotFound: none is called so."""
    with store.write() as session:
        session.execute(delete(EdgeModel).where(col(EdgeModel.edge) == name))
        gone: Any = session.execute(delete(Edge).where(col(Edge.name) == name))
        if not gone.rowcount:
            raise NotFound("no edge is called so", where=f"edge {name}", fix="see `continuum hub edges`")


def release_edge(store: Database, name: str) -> None:
    """Let an edge that was set up anew begin its outbox anew. NotFound: none is called so."""
    with store.write() as session:
        edge = _locked(session, name)
        edge.epoch, edge.cursor = "", 0
        session.add(edge)


def edges(store: Database) -> list[Edge]:
    """Every edge, by name."""
    with store.read() as session:
        return list(session.exec(select(Edge).order_by(col(Edge.name))))


def edge_of(store: Database, token: str) -> Edge:
    """The edge that a token belongs to. Unauthorized: it is nobody's."""
    with store.read() as session:  # looked up by digest: what the look takes tells nothing about a token
        found = session.exec(select(Edge).where(Edge.token_sha256 == _digest(token))).first()
    if found is None:
        raise Unauthorized("the token is no edge's", where="hub", fix="register the edge: continuum hub add NAME")
    return found


def models_of(store: Database, edge: str) -> list[EdgeModel]:
    """What an edge is to run and says that it runs, by model."""
    with store.read() as session:
        return list(session.exec(select(EdgeModel).where(EdgeModel.edge == edge).order_by(col(EdgeModel.model))))


def edges_and_models(store: Database) -> list[tuple[Edge, list[EdgeModel]]]:
    """Every edge by name, with what it is to run and says that it runs, by model: two statements for any number."""
    with store.read() as session:
        found: dict[str, list[EdgeModel]] = {}
        for row in session.exec(select(EdgeModel).order_by(col(EdgeModel.model))):
            found.setdefault(row.edge, []).append(row)
        return [(edge, found.get(edge.name, [])) for edge in session.exec(select(Edge).order_by(col(Edge.name)))]


def edges_with(store: Database, model: str) -> dict[str, EdgeModel]:
    """By edge, what is wanted and reported of a model; edges that never had it are absent."""
    with store.read() as session:
        return {row.edge: row for row in session.exec(select(EdgeModel).where(EdgeModel.model == model))}


def set_wanted(store: Database, model: str, wanted: Mapping[str, str]) -> None:
    """Say which version each of these edges is to run ("": none): all of them in one transaction.

    Raises
    ------
    NotFound: an edge is gone.
    """
    with store.write() as session:
        absent = set(wanted) - set(_by_name(session, wanted))
        if absent:
            raise NotFound("no such edge any more", where=f"edge {min(absent)}", fix="decide anew: run the flow again")
        there = {row.edge: row for row in session.exec(select(EdgeModel).where(EdgeModel.model == model))}
        for edge, digest in wanted.items():
            row = there.get(edge) or EdgeModel(edge=edge, model=model)
            row.wanted = digest
            session.add(row)


def report(store: Database, name: str, models: Sequence[Mapping[str, str]], clock: Clock = now) -> None:
    """Keep what an edge says of its models; what it does not name it no longer runs.

    models: each with `name`, `digest` and `state`: `serving` names what it runs, `failed` what it could not load.
    """
    with store.write() as session:
        edge = _locked(session, name)
        edge.seen_at = clock()
        session.add(edge)
        told: dict[str, dict[str, str]] = {}
        for each in models:
            said = told.setdefault(each["name"], {"state": each["state"][:200]})
            if each["state"].startswith(SERVING):
                said["running"] = each["digest"]
            elif each["state"].startswith(FAILED):
                said |= {"failed": each["digest"], "state": each["state"][:200]}
        there = {row.model: row for row in session.exec(select(EdgeModel).where(EdgeModel.edge == name))}
        for model in there.keys() | told.keys():
            row, said = there.get(model) or EdgeModel(edge=name, model=model), told.get(model, {})
            row.running, row.failed = said.get("running", ""), said.get("failed", "")
            row.state = said.get("state", "")
            row.reported_at = clock()
            session.add(row)


def seen(store: Database, edge: Edge, clock: Clock = now) -> None:
    """Write down a sign of life, where the last one is older than `SEEN_EVERY`."""
    if edge.seen_at is None or clock() - edge.seen_at > SEEN_EVERY:
        with store.write() as session:
            row = _locked(session, edge.name)
            row.seen_at = clock()
            session.add(row)


def take_outbox(store: Database, name: str, epoch: str, items: Sequence[Mapping[str, Any]], clock: Clock = now) -> int:
    """Keep what an edge sends, and up to which `seq` it has arrived, in one transaction; returns that `seq`.

    What has arrived before is skipped; after a gap nothing is taken. So an edge may send again whatever it likes, and
    each item is kept once.

    Raises
    ------
    Conflict: another epoch than the edge's: it was set up anew, or its image was copied.
    """
    with store.write() as session:
        edge = _locked(session, name)
        if edge.epoch and edge.epoch != epoch:
            raise Conflict("its outbox has another epoch than before", where=f"edge {name}",
                           fix=f"continuum hub release {name}, unless two edges share this name")  # fmt: skip
        in_order = sorted(items, key=lambda each: int(each["seq"]))
        if edge.cursor == RESTORED and in_order:
            edge.cursor = int(in_order[0]["seq"]) - 1
        edge.epoch = epoch
        for item in in_order:
            if item["seq"] > edge.cursor + 1:
                break
            if item["seq"] == edge.cursor + 1:
                session.merge(OutboxItem(edge=name, epoch=epoch, seq=item["seq"], kind=item["kind"], ts=item["ts"],
                                         body=item["body"], received_at=clock()))  # fmt: skip
                edge.cursor += 1
        session.add(edge)
        return edge.cursor


def told_by(store: Database, kind: str, since: datetime, *, newest: int | None = None) -> list[OutboxItem]:
    """What edges have told of a kind since a time, in the order of its arrival; with `newest` the last so many."""
    query = select(OutboxItem).where(OutboxItem.kind == kind, OutboxItem.received_at >= since)
    order = [col(each).desc() for each in (OutboxItem.received_at, OutboxItem.edge, OutboxItem.seq)]
    with store.read() as session:
        return list(reversed(session.exec(query.order_by(*order).limit(newest)).all()))


def _by_name(session: Session, names: Iterable[str]) -> dict[str, Edge]:
    wanted = list(names)
    found: dict[str, Edge] = {}
    for at in range(0, len(wanted), _CHUNK):
        rows = session.exec(select(Edge).where(col(Edge.name).in_(wanted[at : at + _CHUNK])))
        found |= {row.name: row for row in rows}
    return found


def _locked(session: Session, name: str) -> Edge:
    found = session.exec(select(Edge).where(Edge.name == name).with_for_update()).first()
    if found is None:
        raise NotFound("no edge is called so", where=f"edge {name}", fix="see `continuum hub edges`")
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
