"""Bring a store's tables to head, safely when several processes open a fresh store at once."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, inspect, text

from blocks.errors import Refused

if TYPE_CHECKING:  # imported where it is used: opening a store at head must not pay for it
    from alembic.config import Config

# The newest revision of this release; a test holds it against the scripts. Known here, a store that is up to date
# opens without importing Alembic (0.4 s).
HEAD = "0007"
VERSION_TABLE = "continuum_version"  # of its own, so that a database shared with Prefect keeps both
SCRIPTS = Path(__file__).parent / "migrations"
_POSTGRES_LOCK = 0x636F6E74696E7575  # any constant 64-bit number


def to_head(engine: Engine) -> None:
    """Run the missing revisions under a lock; do nothing at head; refuse a store that is newer than the code."""
    if _at_head(engine):
        return
    with _alone(engine), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Outside of a transaction; WAL stays set in the file.
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.execute("PRAGMA journal_mode = WAL")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
            upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Run Alembic to head inside the caller's transaction."""
    from alembic import command

    command.upgrade(config(connection), "head")


def draft_revision(message: str, folder: Path = SCRIPTS / "versions") -> Path:
    """Write the revision that leads from head to the models into `folder`; a person then reads it and moves HEAD on.

    Run: `python -c "from blocks.store.migrate import draft_revision as d; print(d('add ...'))"`.
    """
    from alembic import command

    with TemporaryDirectory() as scratch:
        engine = create_engine(f"sqlite:///{scratch}/store.db")
        with engine.begin() as connection:
            upgrade(connection)
            number = f"{int(HEAD) + 1:04d}"
            made = command.revision(
                config(connection, folder), message, autogenerate=True, rev_id=number, version_path=str(folder)
            )
        engine.dispose()
    return Path(made.path)  # type: ignore[union-attr]


def config(connection: Connection, *folders: Path) -> Config:
    """Alembic's configuration; `folders` are places of revisions beside our own."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    made.set_main_option("path_separator", "newline")
    places = dict.fromkeys(str(place).replace("%", "%%") for place in (SCRIPTS / "versions", *folders))
    made.set_main_option("version_locations", "\n".join(places))
    made.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    made.attributes["connection"] = connection
    return made


def _at_head(engine: Engine) -> bool:
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return False
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # a constant  # nosec B608
    if found is not None and found > HEAD:
        raise Refused(
            f"the store is at revision {found}, this release knows revisions up to {HEAD}; nothing was changed",
            where=f"store {engine.url.render_as_string(hide_password=True)}",
            fix="install the newer release of continuum, or point CONTINUUM_STORE_URL at another store",
        )
    return found == HEAD


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold other processes of this machine back while a SQLite file is made: switching to WAL waits for no lock."""
    if engine.dialect.name != "sqlite":
        yield
        return
    with Path(f"{engine.url.database}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
