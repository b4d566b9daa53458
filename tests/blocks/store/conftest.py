"""One store a test, on SQLite and on a real PostgreSQL server of our own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from blocks.store import Journal, Store, migrate
from blocks.store.database import connect
from blocks.store.tables import Row
from tests.blocks.store.postgres_server import postgres_server

_numbers = count(1)


@pytest.fixture(autouse=True)
def _made_by_their_revisions(ready_made_stores: Callable[[Engine], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "to_head", ready_made_stores)


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.present = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.present

    def advance(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server that listens on a socket in its own folder only."""
    with postgres_server() as url:
        if url is None:
            pytest.skip("no PostgreSQL server on this machine (initdb, pg_ctl), or nobody but root to run it")
        yield url


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Callable[[], str]:
    """Makes an empty database on the PostgreSQL server; gives its URL."""

    def make() -> str:
        name = f"store_{next(_numbers)}"
        engine = connect(postgres).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
        engine.dispose()
        return postgres.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a store that nobody has opened yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_database")
    return make()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store at head, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "store.db"
    Store.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture(scope="session")
def migrated_database(new_database: Callable[[], str]) -> str:
    """A PostgreSQL store at head, to be emptied."""
    url = new_database()
    Store.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store at head."""
    if request.param == "sqlite":
        file = tmp_path / "store.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        store = Store.open(f"sqlite:///{file}")
    else:
        store = Store.open(request.getfixturevalue("migrated_database"))
        with store.write() as session:
            names = ", ".join(f'"{table.name}"' for table in Row.metadata.sorted_tables)
            session.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(store: Store, clock: Clock) -> Journal:
    return Journal(store, clock=clock, lease_s=60)


@pytest.fixture
def other(store: Store, clock: Clock) -> Journal:
    """The journal of another owner, on another host."""
    return Journal(store, "elsewhere:1:1:other", clock=clock, lease_s=60)


@pytest.fixture
def third(store: Store, clock: Clock) -> Journal:
    return Journal(store, "elsewhere:2:2:third", clock=clock, lease_s=60)
