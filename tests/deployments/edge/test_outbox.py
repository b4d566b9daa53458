"""What an edge has to tell reaches the hub once, in order, whatever is killed, lost, restored or full."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import Conflict, ContinuumError, Refused, StoreUnavailable
from deployments.edge.outbox import Kept, Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def numbers(outbox: Outbox) -> list[int]:
    return [item["seq"] for item in outbox.batch(10_000)]


def sent_in_full(agent, hub) -> list[dict]:
    """All that the hub holds of this agent's epoch, once nothing waits."""
    connection = agent.hub()
    while agent.outbox.waiting():
        agent.send(connection)
    return hub.items["edge-1", agent.outbox.epoch]


def test_items_are_numbered_without_gaps_across_a_restart(path):
    first = Outbox(path)
    assert first.put("metrics", {"n": 1}, {"n": 2}) == 2
    first.close()
    again = Outbox(path)
    assert again.put("metrics", {"n": 3}) == 3
    assert again.epoch == first.epoch
    assert [item["body"]["n"] for item in again.batch()] == [1, 2, 3]


def test_what_is_acknowledged_is_not_sent_again_and_goes_in_the_end(path):
    outbox = Outbox(path, Kept(acked=2))
    outbox.put("metrics", *({"n": at} for at in range(10)))
    outbox.acknowledge(7)
    assert numbers(outbox) == [8, 9, 10]
    outbox.acknowledge(0)  # the hub was restored: what is still kept is sent again
    assert numbers(outbox) == [6, 7, 8, 9, 10]


def test_an_answer_beyond_what_was_ever_sent_is_not_believed(path):
    outbox = Outbox(path)
    outbox.put("metrics", {})
    outbox.acknowledge(99)
    outbox.put("metrics", {})
    assert numbers(outbox) == [2]


def test_a_lost_acknowledgement_makes_no_duplicate(hub, started):
    agent = started()
    agent.outbox.put("metrics", {"n": 1}, {"n": 2})
    connection = agent.hub()
    real, hub.answer = hub.answer, lambda *asked: (real(*asked), (502, {}, b""))[1]
    with pytest.raises(ContinuumError, match="502"):
        agent.send(connection)
    hub.answer = real
    assert [item["body"]["n"] for item in sent_in_full(agent, hub)] == [1, 2]


def test_a_hub_restored_from_a_backup_gets_again_what_it_lost(hub, started):
    agent = started()
    agent.outbox.put("metrics", *({"n": at} for at in range(20)))
    held = sent_in_full(agent, hub)
    del held[5:]
    agent.outbox.put("metrics", {"n": 20})
    assert [item["body"]["n"] for item in sent_in_full(agent, hub)] == list(range(21))


def test_a_hub_that_does_not_get_on_is_told_and_not_asked_in_a_circle(hub, started):
    agent = started()
    agent.outbox.put("metrics", {})
    hub.odd = lambda *_: (200, {}, b'{"acked": 0}')
    with pytest.raises(Refused, match="does not get beyond"):
        agent.send(agent.hub())


@pytest.mark.parametrize("body", [b"{}", b'{"acked": "3"}', b'{"acked": true}', b'{"acked": -1}', b"<html>"])
def test_a_200_that_acknowledges_nothing_changes_nothing(hub, started, body):
    agent = started()
    agent.outbox.put("metrics", {})
    hub.odd = lambda *_: (200, {}, body)
    with pytest.raises(ContinuumError):
        agent.send(agent.hub())
    hub.odd = lambda *_: None
    assert len(sent_in_full(agent, hub)) == 1


@settings(max_examples=25)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=30), st.integers(4, 20))
def test_a_full_outbox_sheds_the_oldest_says_so_and_loses_count_of_none(tmp_path_factory, batches, most):
    outbox = Outbox(tmp_path_factory.mktemp("outbox") / "o.sqlite", Kept(waiting=most))
    for count in batches:
        outbox.put("metrics", *({} for _ in range(count)))
    items = outbox.batch(10_000)
    assert [item["seq"] for item in items] == list(range(1, sum(batches) + 1))
    assert sum(item["kind"] == "metrics" for item in items) <= most
    assert [item["kind"] for item in items] == sorted(item["kind"] for item in items)
    assert outbox.waiting() <= most + 1
    outbox.close()


def test_a_day_offline_reaches_the_hub_with_its_gap(hub, started):
    agent = started()
    agent.outbox._kept = Kept(waiting=10)
    for at in range(25):
        agent.outbox.put("metrics", {"n": at})
    items = sent_in_full(agent, hub)
    assert [item["seq"] for item in items] == list(range(1, 26))
    assert items[0]["kind"] == "gap"
    assert items[-1]["body"] == {"n": 24}


def test_a_gap_is_gone_on_with_where_the_hub_stopped(path):
    outbox = Outbox(path, Kept(waiting=10))
    outbox.put("metrics", *({} for _ in range(30)))
    assert [item["seq"] for item in outbox.batch(4)] == [1, 2, 3, 4]
    outbox.acknowledge(4)
    assert [item["seq"] for item in outbox.batch(4)] == [5, 6, 7, 8]


def test_another_life_that_holds_the_name_is_told_and_nothing_is_lost(hub, started):
    agent = started()
    agent.outbox.put("metrics", {"n": 1})
    hub.odd = lambda *_: (409, {}, b'{"reason": "another epoch"}')
    with pytest.raises(Conflict, match="another epoch"):
        agent.send(agent.hub())
    hub.odd = lambda *_: None
    assert len(sent_in_full(agent, hub)) == 1


def test_another_life_of_the_edge_has_another_epoch(path):
    first = Outbox(path)
    first.close()
    path.unlink()
    assert Outbox(path).epoch != first.epoch


def test_a_spoilt_file_is_put_aside_and_told(path, hub, started):
    agent = started()
    agent.outbox.put("metrics", *({"n": "x" * 200} for _ in range(100)))
    file = agent.config.state / "outbox.sqlite"
    agent.close()
    file.write_bytes(b"no database" * 1000)
    again = started()
    assert again.outbox.epoch != agent.outbox.epoch
    assert sent_in_full(again, hub)[0]["kind"] == "alert"
    assert (file.parent / "outbox.sqlite.spoilt").exists()


def test_a_full_disk_is_told_and_keeps_what_was_there(path):
    outbox = Outbox(path)
    outbox.put("metrics", {"n": 1})
    outbox._db.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreUnavailable, match="full"):
        outbox.put("metrics", *({"n": "x" * 1000} for _ in range(1000)))
    assert numbers(outbox) == [1]


def test_killed_at_any_statement_an_item_is_kept_whole_or_not_at_all(path):
    """A child puts item after item and says so; killed at its n-th statement, every item it spoke of is there."""
    for step in range(1, 24):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            outbox, left = Outbox(path), step

            def count(_: str) -> None:
                nonlocal left
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

            outbox._db.set_trace_callback(count)
            while True:
                os.write(writing, bytes([outbox.put("metrics", {}, {})]))
        os.close(writing)
        os.waitpid(child, 0)
        said = os.read(reading, 1000)
        os.close(reading)
        outbox = Outbox(path)
        kept = numbers(outbox)
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) % 2 == 0
        assert len(kept) >= max(said, default=0)
        outbox.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
