"""Edges on both databases: tokens, what is wanted and reported, and an outbox whose items arrive once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from blocks.errors import Conflict, InvalidInput, NotFound, Unauthorized
from blocks.store import Store, edges
from blocks.store.edges import NewEdge
from blocks.store.tables import now

ITEM = {"kind": "metric", "ts": "2026-01-31T12:00:00Z", "body": {}}


def items(*seqs: int) -> list[dict[str, object]]:
    return [{"seq": seq, **ITEM} for seq in seqs]


def test_a_token_is_its_edges_alone_and_ends_with_it(store: Store) -> None:
    token = edges.add_edges(store, [NewEdge("munich")])["munich"]
    assert edges.edge_of(store, token).name == "munich"
    edges.remove_edge(store, "munich")
    with pytest.raises(Unauthorized):
        edges.edge_of(store, token)


def test_a_taken_name_lets_none_of_them_in(store: Store) -> None:
    edges.add_edges(store, [NewEdge("munich")])
    with pytest.raises(Conflict, match="there already"):
        edges.add_edges(store, [NewEdge("osaka"), NewEdge("munich")])
    assert [edge.name for edge in edges.edges(store)] == ["munich"]


@pytest.mark.parametrize("odd", [NewEdge("../munich"), NewEdge(""), NewEdge("munich", "moon")])
def test_odd_names_and_tiers_are_refused(store: Store, odd: NewEdge) -> None:
    with pytest.raises(InvalidInput):
        edges.add_edges(store, [odd])


def test_what_is_wanted_is_set_for_all_or_none(store: Store) -> None:
    edges.add_edges(store, [NewEdge("a"), NewEdge("b")])
    edges.set_wanted(store, "digits", {"a": "1" * 64, "b": "1" * 64})
    with pytest.raises(NotFound):
        edges.set_wanted(store, "digits", {"a": "2" * 64, "gone": "2" * 64})
    assert {row.wanted for row in edges.edges_with(store, "digits").values()} == {"1" * 64}


def test_a_report_leaves_what_is_wanted_alone_and_names_all_that_runs(store: Store) -> None:
    edges.add_edges(store, [NewEdge("a")])
    edges.set_wanted(store, "digits", {"a": "1" * 64})
    edges.report(store, "a", [{"name": "digits", "digest": "1" * 64, "state": "serving"}])
    edges.report(store, "a", [{"name": "faces", "digest": "3" * 64, "state": "serving"}])
    found = {row.model: (row.wanted, row.running) for row in edges.models_of(store, "a")}
    assert found == {"digits": ("1" * 64, ""), "faces": ("", "3" * 64)}


def test_a_gap_takes_nothing_and_a_repeat_nothing_twice(store: Store) -> None:
    edges.add_edges(store, [NewEdge("a")])
    assert edges.take_outbox(store, "a", "e", items(2, 3)) == 0
    assert edges.take_outbox(store, "a", "e", items(1, 2)) == 2
    assert edges.take_outbox(store, "a", "e", items(2, 3)) == 3
    assert [item.seq for item in edges.told_by(store, "metric", now() - timedelta(hours=1))] == [1, 2, 3]


def test_a_second_epoch_is_refused_until_the_edge_is_released(store: Store) -> None:
    edges.add_edges(store, [NewEdge("a")])
    edges.take_outbox(store, "a", "e", items(1))
    with pytest.raises(Conflict, match="another epoch"):
        edges.take_outbox(store, "a", "f", items(1))
    edges.release_edge(store, "a")
    assert edges.take_outbox(store, "a", "f", items(1)) == 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(1, 12), max_size=6, unique=True), max_size=8))
def test_whatever_is_sent_again_each_item_is_kept_once_in_order(store: Store, batches: list[list[int]]) -> None:
    name = f"edge-{len(edges.edges(store))}"
    edges.add_edges(store, [NewEdge(name)])
    cursor = 0
    for batch in batches:
        while cursor + 1 in batch:
            cursor += 1
        assert edges.take_outbox(store, name, "e", items(*batch)) == cursor
    kept = [item.seq for item in edges.told_by(store, "metric", now() - timedelta(hours=1)) if item.edge == name]
    assert kept == list(range(1, cursor + 1))


def test_edges_and_their_models_are_read_in_two_statements_however_many(store: Store) -> None:
    edges.add_edges(store, [NewEdge(f"edge-{n}") for n in range(9)])
    for model in ("digits", "ai4i"):
        edges.set_wanted(store, model, {f"edge-{n}": "d" for n in range(0, 9, 2)})
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    found = edges.edges_and_models(store)
    assert len([each for each in statements if each.startswith("SELECT")]) == 2
    assert [(edge.name, [each.model for each in models]) for edge, models in found] == [
        (f"edge-{n}", ["ai4i", "digits"] if n % 2 == 0 else []) for n in range(9)
    ]
