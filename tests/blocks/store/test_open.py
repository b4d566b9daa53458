"""Opening a store: tables at head, and one clear error for everything that can be wrong with it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Table, inspect, text
from sqlmodel import AutoString

from blocks.errors import InvalidInput, Refused, StoreUnavailable
from blocks.store import Store, database, migrate
from blocks.store.columns import UtcDateTime
from blocks.store.migrate import HEAD, VERSION_TABLE, draft_revision
from blocks.store.tables import Decision, Row

AS_OF = datetime(2026, 1, 31, 12, tzinfo=UTC)


def decision(**changes: object) -> Decision:
    values: dict[str, object] = {"flow_run_id": "run", "flow": "cluster-scaling", "subject": "eu-eks/web",
                                 "action": "set_desired", "as_of": AS_OF}  # fmt: skip
    return Decision(**values | changes)


def test_models_and_head_agree(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Row.metadata) == []


def test_the_known_head_is_the_only_head_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_heads() == [HEAD]


def test_a_drafted_revision_leads_from_head_to_the_models(tmp_path: Path) -> None:
    later = Table("later", Row.metadata, Column("id", AutoString(), primary_key=True), Column("at", UtcDateTime()))
    try:
        drafted = draft_revision("add later", tmp_path)
    finally:
        Row.metadata.remove(later)
    text = drafted.read_text()
    assert drafted.name == f"r{int(HEAD) + 1:04d}_add_later.py"
    assert f'down_revision = "{HEAD}"' in text.replace("'", '"')
    assert text.count("op.create_table") == 1
    assert "sa.String()" in text
    assert "sa.DateTime(timezone=True)" in text


def test_a_second_open_keeps_what_is_there(fresh_url: str) -> None:
    first = Store.open(fresh_url)
    first.record_decisions([decision()])
    assert [row.subject for row in Store.open(fresh_url).decisions()] == ["eu-eks/web"]


def test_processes_open_a_fresh_store_at_once(fresh_url: str) -> None:
    code = """
import sys
import alembic.command
from blocks.store import Store
print("ready", flush=True)
sys.stdin.readline()
print(Store.open(sys.argv[1]).decisions())
"""
    children = [subprocess.Popen([sys.executable, "-c", code, fresh_url], stdin=subprocess.PIPE, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]  # fmt: skip
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=60) for child in children]
    assert [answer for answer, _ in answers] == ["[]\n"] * 3, answers


def test_a_migration_that_breaks_leaves_nothing_behind(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = migrate.upgrade

    def broken(connection: Connection) -> None:
        upgrade(connection)
        raise StoreUnavailable("power cut")

    monkeypatch.setattr(migrate, "upgrade", broken)
    with pytest.raises(StoreUnavailable, match="power cut"):
        Store.open(fresh_url)
    with database.connect(fresh_url).connect() as connection:
        assert inspect(connection).get_table_names() == []
    monkeypatch.setattr(migrate, "upgrade", upgrade)
    assert Store.open(fresh_url).decisions() == []


def test_a_newer_store_is_refused_and_left_alone(fresh_url: str) -> None:
    store = Store.open(fresh_url)
    with store.write() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Refused, match=r"revision 9999.*install the newer release"):
        Store.open(fresh_url)


def test_a_locked_store_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked") as caught:
        store.record_decisions([decision()])
    assert caught.value.retryable
    holder.execute("ROLLBACK")
    store.record_decisions([decision()])


def test_who_waits_for_a_locked_store_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(database, "SILENT_S", 0.01)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.record_decisions([decision()])
    holder.close()
    assert "store.db is locked by another writer; waiting for it" in caplog.text


def test_a_full_disk_writes_nothing_of_the_step(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    with store.write() as session:
        session.execute(text("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.record_decisions([decision(content={"text": "x" * 1000}) for _ in range(1000)])
    assert store.decisions() == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is not a database file" * 100)
    with pytest.raises(StoreUnavailable, match=r"store\.db: the file is not a SQLite database"):
        Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store.open(f"postgresql://me:hunter2@/fleet?host={tmp_path}")
    assert "me:***@" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "no url"])
def test_a_url_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:///PATH"):
        Store.open(url)


def test_the_default_is_a_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTINUUM_STORE_URL", raising=False)
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path / "made" / "when needed"))
    Store.open()
    assert (tmp_path / "made" / "when needed" / "store.db").exists()


def test_sqlite_journal_writes_are_on_the_disk_when_committed(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}").read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2


def test_times_come_back_timezone_aware_in_utc(store: Store) -> None:
    store.record_decisions([decision(as_of=AS_OF.astimezone(timezone(timedelta(hours=9))))])
    found = store.decisions()[0].as_of
    assert (found, found.tzinfo) == (AS_OF, UTC)


@pytest.mark.parametrize("change", [{"as_of": datetime(2026, 1, 31)}, {"content": {"cores": float("nan")}}])  # noqa: DTZ001
def test_a_naive_time_or_a_nan_is_refused(store: Store, change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="cannot be stored"):
        store.record_decisions([decision(**change)])
    assert store.decisions() == []


def test_a_forked_child_uses_connections_of_its_own(store: Store) -> None:
    code = """
import os, sys
from blocks.store import Store
store = Store.open(sys.argv[1])
assert store.engine.pool.checkedin() > 0
child = os.fork()
if child == 0:
    os._exit(0 if store.engine.pool.checkedin() == 0 and store.decisions() == [] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(store.decisions())
"""
    url = store.engine.url.render_as_string(hide_password=False)  # apart from the threads of other tests
    answer = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout == "[]\n", answer.stderr


def test_a_store_that_is_opened_again_compiles_nothing_anew(new_database: Callable[[], str]) -> None:
    url = new_database()
    first = Store.open(url)
    first.close()
    again = Store.open(url)
    assert again.engine is first.engine
    assert again.decisions() == []


def test_a_database_shared_with_other_tables_keeps_them(new_database: Callable[[], str]) -> None:
    url = new_database()
    engine = database.connect(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('prefects-own')"))
    Store.open(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["prefects-own"]
