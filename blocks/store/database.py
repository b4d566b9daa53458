"""The connection: SQLite in WAL mode or PostgreSQL, one short transaction at a time, errors in our own tree."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy import exc as sa
from sqlmodel import Session

from blocks import settings
from blocks.errors import ContinuumError, InvalidInput, NotConfigured, StoreUnavailable

BUSY_TIMEOUT_S = 60
SILENT_S = 3.0  # then it is told that another writer is waited for
POOL_SIZE = 32  # connections kept: a pass works on 16 clusters at once, each with a heartbeat beside it
_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
_VALUE_FIX = "give plain finite numbers, and times with a time zone"
_URL_FIX = "give sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"

logger = logging.getLogger(__name__)

# What SQLite says -> (what we say, how to mend it). First match wins.
_SQLITE_TROUBLE = (
    ("locked", "another process holds the store locked", "try again; with many writers use PostgreSQL"),
    ("full", "the disk is full; nothing of this step was written", "free space on the disk of the store"),
    ("malformed", "the file is damaged", "move it away and restore a copy"),
    ("not a database", "the file is not a SQLite database", "move it away, or set CONTINUUM_STORE_URL to another file"),
    ("readonly", "the file cannot be written", "give this user write access to the file and its folder"),
    ("unable to open", "the file cannot be opened", "check that its folder exists and this user may write there"),
    ("disk i/o", "the disk reports an I/O error", "check the disk, then try again"),
)  # fmt: skip


def _reconnect_after_fork() -> None:
    """Let a forked child drop its copies: a connection in two processes corrupts SQLite and confuses PostgreSQL."""
    for engine in _ENGINES:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_reconnect_after_fork)


class Database:
    """An open store. Safe to share between threads; a forked child gets its own connections."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.url.render_as_string(hide_password=True)
        self._writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        _ENGINES.add(engine)

    @classmethod
    def open(cls, url: str | None = None) -> Self:
        """Open the store at `url` (default: `settings.store_url()`) and bring its tables to head.

        Raises
        ------
        StoreUnavailable: locked, full, damaged or unreachable. Refused: it was written by a newer release.
        InvalidInput: not a URL of SQLite or PostgreSQL. NotConfigured: the driver is not installed.
        """
        from blocks.store.migrate import to_head

        engine = _engine(url or settings.store_url())
        engine.dispose()  # what is idle may be of a file that has been put in this one's place
        database = cls(engine)
        with database.translated():
            to_head(database.engine)
        return database

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only look at one moment of the store."""
        with self.translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, or nothing of it on any error."""
        with self.translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's failures into our tree.

        An IntegrityError passes, its meaning is the caller's; so does a ProgrammingError, which is a fault of ours.
        """
        try:
            yield
        except (sa.IntegrityError, sa.ProgrammingError):
            raise
        except sa.StatementError as error:
            raise _explained(error, self.name) from error
        except sqlite3.Error as error:  # of the raw connection, before SQLAlchemy has a hand in it
            raise _explained(sa.DBAPIError("", None, error), self.name) from error
        except sa.TimeoutError as error:  # of the connection pool: its other users wait for a lock
            raise StoreUnavailable("every connection is in use", where=f"store {self.name}",
                                   fix="try again; with many writers use PostgreSQL") from error  # fmt: skip

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def size_bytes(self) -> int:
        """What the store takes on its disk, its log included."""
        if self.is_sqlite:
            files = [Path(f"{self.engine.url.database}{end}") for end in ("", "-wal")]
            return sum(file.stat().st_size for file in files if file.exists())
        with self.read() as session:
            return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the single-file store."""
        return self.engine.dialect.name == "sqlite"


@lru_cache(maxsize=16)
def _engine(url: str) -> Engine:
    """One engine for each store and process: what SQLAlchemy compiles for an engine, its mappers keep after it."""
    return connect(url)


def connect(url: str) -> Engine:
    """Engine of a store URL; touches neither disk (beyond the folder of a SQLite file) nor network."""
    try:
        parsed = make_url(url)
    except sa.ArgumentError as error:
        raise InvalidInput("this is not a database URL", where="CONTINUUM_STORE_URL", fix=_URL_FIX) from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        try:
            return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=POOL_SIZE,
                                 json_serializer=_serialized, connect_args={"connect_timeout": 10})  # fmt: skip
        except ModuleNotFoundError as error:
            raise NotConfigured("the PostgreSQL driver is not installed", where="CONTINUUM_STORE_URL",
                                fix="pip install 'continuum-fleet[postgres]'") from error  # fmt: skip
    raise InvalidInput(f"stores of kind {parsed.get_backend_name()!r} are not supported",
                       where="CONTINUUM_STORE_URL", fix=_URL_FIX)  # fmt: skip


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidInput("a store in memory would forget its journal", where="CONTINUUM_STORE_URL",
                           fix="give a file: sqlite:///PATH")  # fmt: skip
    file = Path(url.database)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"its folder cannot be made ({error.strerror})", where=str(file),
                               fix="set CONTINUUM_HOME to a folder that this user may write") from error  # fmt: skip
    options = {"timeout": BUSY_TIMEOUT_S}
    engine = create_engine(url, json_serializer=_serialized, pool_size=POOL_SIZE, connect_args=options)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL: an intent must be on the disk before the world is touched. A pass makes tens of commits, not thousands.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE for writers: a read lock that must become a write lock fails at once instead of waiting its turn.
        begin = connection.get_execution_options().get("sqlite_begin")
        with _told_when_slow(file) if begin else nullcontext():  # a reader waits for nobody
            connection.exec_driver_sql(begin or "BEGIN")

    return engine


@contextmanager
def _told_when_slow(file: Path) -> Iterator[None]:
    """Say what is waited for: SQLite itself waits for another writer without a word."""
    words = "store %s is locked by another writer; waiting for it, at most %d s"
    timer = threading.Timer(SILENT_S, logger.warning, (words, file, BUSY_TIMEOUT_S))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _serialized(value: Any) -> str:
    """JSON text of a value; what JSON cannot say (NaN, a NumPy scalar) is refused here, alike on every database."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"a value cannot be stored: {error}", where="store", fix=_VALUE_FIX) from error


def _explained(error: sa.StatementError, name: str) -> ContinuumError:
    """Our error for a failed statement."""
    cause = error.orig
    if isinstance(cause, ContinuumError):
        return cause
    if isinstance(error, sa.DBAPIError) and not isinstance(error, sa.DataError):
        said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        for sign, what, fix in _SQLITE_TROUBLE if isinstance(cause, sqlite3.Error) else ():
            if sign in said.lower():
                return StoreUnavailable(what, where=f"store {name}", fix=fix)
        return StoreUnavailable(f"the database said: {said}", where=f"store {name}",
                                fix="check that it runs and can be reached, then try again")  # fmt: skip
    return InvalidInput(
        f"a value cannot be stored: {cause}", where=f"store {name}", fix="give finite numbers and UTC times"
    )
