"""A copy of the whole store in one file, of any database, and back into any; with a journal older than the world.

The file is JSON lines, compressed: a head (release of the tables, when), a line a row, table by table, and a last line
with the number of rows. Series files and models are files already, and are copied as such.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, insert, select, text, update
from sqlalchemy.types import DateTime
from sqlmodel import col

from blocks.errors import InvalidInput, Refused
from blocks.store.database import connect
from blocks.store.edges import RESTORED
from blocks.store.journal import Journal
from blocks.store.migrate import HEAD, VERSION_TABLE, config, to_head
from blocks.store.records import Store
from blocks.store.tables import UNFINISHED, Decision, Edge, Intent, Lease, Row, Verdict, now

KIND = "continuum backup"
FORMAT = 1
TOKENS_LOST = 2**20
"""No lease was taken over so often since the copy was made: a restored token must be above all that were given."""

_CHUNK = 1000


@dataclass(frozen=True)
class Restored:
    """What came back: rows in all, when the copy was made, and what was open then and must be looked at."""

    made_at: datetime
    rows: int
    unfinished: int
    expired: int


def back_up(store: Store, path: Path) -> int:
    """Write every row of one moment into the file, whole or not at all; returns how many."""
    partial, count = path.with_name(f".{path.name}.partial"), 0
    try:
        with store.read() as session, gzip.open(partial, "wt", encoding="utf-8", compresslevel=6) as file:
            if not store.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            head = {"kind": KIND, "format": FORMAT, "revision": HEAD, "made_at": now().isoformat()}
            file.write(json.dumps(head) + "\n")
            for table in Row.metadata.sorted_tables:
                # what undoes is younger than what it undoes, and points at it
                order = [table.c.created_at] if "created_at" in table.c else list(table.primary_key)
                query = select(table).order_by(*order).execution_options(yield_per=_CHUNK)
                for row in session.execute(query).mappings():
                    file.write(json.dumps([table.name, {name: _plain(value) for name, value in row.items()}]) + "\n")
                    count += 1
            file.write(json.dumps({"rows": count}) + "\n")
        partial.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot be written ({error.strerror})", where=str(path), fix="give another file") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def restore(path: Path, url: str) -> Restored:
    """Fill the empty store at `url` from the file, all of it or nothing, and make it safe to go on with.

    What has happened since the copy was made is not in it. So: acting is frozen until a person thaws it; proposals and
    approvals lapse, as somebody may have acted on them since; changes that were open stay so, and the next run in act
    mode looks at the world and ends each by what it sees; leases have tokens above all that were given; edges may go on
    with an outbox of which the store knows less than they do.

    Raises
    ------
    InvalidInput: not such a file, or a damaged one. Refused: the store holds something, or the file is of a newer
    release.
    """
    head, rows = _read(path)
    if head["revision"] > HEAD:
        raise Refused(f"was made at revision {head['revision']}, this release knows revisions up to {HEAD}",
                      where=str(path), fix="install the newer release of continuum")  # fmt: skip
    engine = connect(url)
    made_at = datetime.fromisoformat(head["made_at"])
    from alembic import command

    to_head(engine)
    with engine.begin() as connection:
        if any(connection.execute(select(table).limit(1)).first() for table in Row.metadata.sorted_tables):
            raise Refused("the store is not empty", where=f"store {engine.url.render_as_string(hide_password=True)}",
                          fix="restore into a new one: another CONTINUUM_STORE_URL or CONTINUUM_HOME")  # fmt: skip
        if head["revision"] != HEAD:  # its rows fit the tables of then, and are brought up to date with them
            Row.metadata.drop_all(connection)
            connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))  # a constant  # nosec B608
            command.upgrade(config(connection), head["revision"])
        count = 0
        for name, chunk in _by_table(rows):
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(insert(table), [_typed(table, row) for row in chunk])
            count += len(chunk)
        if engine.dialect.name == "postgresql":
            _renumber(connection)
    to_head(engine)
    engine.dispose()
    return _made_safe(Store.open(url), made_at, count)


def _made_safe(store: Store, made_at: datetime, count: int) -> Restored:
    told = f"restored from the backup of {made_at:%Y-%m-%d %H:%M} UTC"
    journal = Journal(store)
    journal.freeze(
        "*", reason=f"{told}: look at `continuum journal list` and at the fleet first", by="continuum restore"
    )
    with store.write() as session:
        waits = col(Decision.state).in_((Verdict.PROPOSED, Verdict.APPROVED))
        lapsed = session.execute(update(Decision).where(waits).values(state=Verdict.EXPIRED, detail=told))
        # Whoever held something when the copy was made has gone on, or has ended: nobody holds it in this store.
        session.execute(update(Lease).values(owner="", until=now(), token=Lease.token + TOKENS_LOST))
        open_now = col(Intent.state).in_(UNFINISHED)
        left = session.execute(update(Intent).where(open_now).values(owner=f"restored:0:0:{made_at.timestamp():.0f}",
                                                                     lease_until=made_at))  # fmt: skip
        session.execute(update(Edge).values(epoch="", cursor=RESTORED))
    return Restored(made_at, count, left.rowcount, lapsed.rowcount)  # type: ignore[attr-defined]


def _read(path: Path) -> tuple[dict[str, Any], Iterator[list[Any]]]:
    """The head, and the rows; the whole file is looked through before a row is given."""
    damaged = InvalidInput("is damaged, or is no backup", where=str(path), fix="give a file of `continuum backup`")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = json.loads(file.readline() or "null")
            if not isinstance(head, dict) or head.get("kind") != KIND or head.get("format") != FORMAT:
                raise damaged
            count, last = -1, ""
            for line in file:
                count, last = count + 1, line
        if json.loads(last or "null") != {"rows": count}:
            raise damaged
    except FileNotFoundError as error:
        raise InvalidInput("there is no such file", where=str(path), fix="give a file of `continuum backup`") from error
    except (OSError, EOFError, ValueError) as error:
        raise damaged from error
    return head, _rows(path, count)


def _rows(path: Path, count: int) -> Iterator[list[Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, islice(file, 1, count + 1))


def _by_table(rows: Iterable[list[Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, group in groupby(rows, key=lambda row: str(row[0])):
        found = (row[1] for row in group)
        while chunk := list(islice(found, _CHUNK)):
            yield name, chunk


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _typed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    times = {column.name for column in table.columns if isinstance(column.type, DateTime)}
    return {name: datetime.fromisoformat(value) if name in times and value is not None else value
            for name, value in row.items()}  # fmt: skip


def _renumber(connection: Any) -> None:
    """Let PostgreSQL go on counting after the rows that came with their numbers."""
    connection.execute(text("SELECT setval(pg_get_serial_sequence('intent_step', 'id'), "
                            "coalesce((SELECT max(id) FROM intent_step), 0) + 1, false)"))  # fmt: skip
