"""A copy of the store: of one database into another, and what it makes of a journal that is older than the world."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from blocks.errors import InvalidInput, Refused
from blocks.store import Journal, Store
from blocks.store.backup import back_up, restore
from blocks.store.edges import NewEdge, add_edges, take_outbox
from blocks.store.records import Store as Records
from blocks.store.tables import Decision, Intent, Row, Scorecard, State, Verdict, now

AT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


def filled(store: Store) -> Intent:
    """A store with a decision that waits, one that was acted upon, a change under way, a lease and an edge."""
    rows = [Decision(flow_run_id="r", flow="cluster-scaling", subject=f"eu/{state}", action="up", as_of=AT, state=state,
                     content={"a": [1, None, "ü"]}, expires_at=now() + timedelta(days=1))
            for state in (Verdict.PROPOSED, Verdict.APPROVED, Verdict.ACTED)]  # fmt: skip
    store.record_decisions(rows)
    store.save_scorecards(
        [Scorecard(flow="f", subject="s", method="m", period_start=AT, period_end=AT, scores={"x": 0.1})]
    )
    journal = Journal(store)
    journal.acquire("migration", 600)
    add_edges(store, [NewEdge("munich")])
    take_outbox(store, "munich", "epoch", [{"seq": seq, "kind": "k", "ts": "t", "body": {}} for seq in (1, 2, 3)])
    act = journal.plan(None, "us/web", "k", do={}, undo={}, planned_against={}, key="act")
    journal.done(journal.start(act))
    back = journal.plan(None, "us/web", "k", do={}, undo={}, planned_against={}, key="back", undoes=act.id)
    journal.done(journal.start(back))
    planned = journal.plan(rows[2].id, "eu/acted", "set-desired", do={"desired": 5}, undo={"desired": 3},
                           planned_against={}, key="k")  # fmt: skip
    return journal.start(planned)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    store, file = Store.open(f"sqlite:///{tmp_path / 'old.db'}"), tmp_path / "copy.gz"
    filled(store)
    back_up(store, file)
    store.close()
    return file


@pytest.fixture
def new_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'new.db'}"


def test_every_row_comes_back_in_another_database(store: Store, fresh_url: str, tmp_path: Path) -> None:
    filled(store)
    assert back_up(store, tmp_path / "copy.gz") == 21
    fresh_url = fresh_url.replace("store.db", "other.db")
    told = restore(tmp_path / "copy.gz", fresh_url)
    assert (told.rows, told.unfinished, told.expired) == (21, 1, 2)
    there = Records.open(fresh_url)
    untouched = {"decision", "intent", "lease", "edge", "freeze"}
    for table in Row.metadata.sorted_tables:
        if table.name not in untouched:
            with store.read() as one, there.read() as other:
                assert one.execute(table.select()).all() == other.execute(table.select()).all(), table.name
    states = {row.subject: (row.state, row.content) for row in there.decisions()}
    assert states["eu/acted"] == (Verdict.ACTED, {"a": [1, None, "ü"]})
    there.close()


def test_nothing_acts_before_a_person_has_thawed_it_and_what_waited_has_lapsed(new_url: str, copy: Path) -> None:
    restore(copy, new_url)
    there = Store.open(new_url)
    journal = Journal(there)
    states = {row.subject: row.state for row in there.decisions()}
    assert {states["eu/proposed"], states["eu/approved"]} == {Verdict.EXPIRED}
    new = journal.plan(None, "us/web", "set-desired", do={}, undo={}, planned_against={}, key="new")
    with pytest.raises(Refused, match="restored from the backup"):
        journal.start(new)
    journal.thaw("*")
    assert journal.start(new).state == State.STARTED
    there.close()


def test_what_was_open_is_left_for_the_next_run_though_its_owner_lives(new_url: str, copy: Path) -> None:
    restore(copy, new_url)
    there = Store.open(new_url)
    journal = Journal(there)
    (left,) = journal.expired()
    assert journal.adopt(left).state == State.STARTED
    assert journal.acquire("migration", 60).token > 2**20  # it was held by an owner that lives


def test_a_copy_of_an_earlier_release_comes_back_at_this_one(new_url: str, copy: Path) -> None:
    lines = gzip.decompress(copy.read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    rows[0]["revision"] = "0005"
    for name, row in rows[1:-1]:
        if name == "decision":
            del row["fleet"]
    copy.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    restore(copy, new_url)
    there = Store.open(new_url)
    assert len(there.decisions(fleet="any")) == 3
    with there.read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"  # many may write
    there.close()


def test_an_edge_whose_outbox_is_further_on_goes_on(new_url: str, copy: Path) -> None:
    restore(copy, new_url)
    there = Store.open(new_url)

    def send(*numbers: int) -> int:
        items = [{"seq": seq, "kind": "k", "ts": "t", "body": {}} for seq in numbers]
        return take_outbox(there, "munich", "epoch", items)

    assert send(3, 4) == 4  # the third had arrived before the copy was made
    assert send(6) == 4
    there.close()


def test_a_store_that_holds_something_is_not_written_over(tmp_path: Path, copy: Path) -> None:
    with pytest.raises(Refused, match="not empty"):
        restore(copy, f"sqlite:///{tmp_path / 'old.db'}")


def test_a_file_that_is_cut_off_or_of_something_else_is_refused_and_nothing_written(
    tmp_path: Path, new_url: str, copy: Path
) -> None:
    whole = gzip.decompress(copy.read_bytes())
    for content in (copy.read_bytes()[:-20], gzip.compress(whole[: len(whole) // 2]), gzip.compress(b"{}\n"), b"text"):
        copy.write_bytes(content)
        with pytest.raises(InvalidInput, match="damaged, or is no backup"):
            restore(copy, new_url)
    assert not (tmp_path / "new.db").exists()
