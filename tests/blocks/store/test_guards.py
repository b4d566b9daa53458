"""Leases, reservations, and a disruption budget that two flows can never exceed together."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from blocks.errors import Conflict, Refused
from blocks.store import Journal, Store
from blocks.store.tables import Intent


def started(journal: Journal, subject: str = "eu-eks/web") -> Intent:
    return journal.start(journal.plan(None, subject, "drain", do={}, undo={}, planned_against={}, key=subject))


def test_a_lease_has_one_holder_until_it_ends(journal: Journal, other: Journal, clock) -> None:
    first = journal.acquire("cluster/eu-eks", 30)
    with pytest.raises(Conflict, match="is held by"):
        other.acquire("cluster/eu-eks", 30)
    clock.advance(30)
    second = other.acquire("cluster/eu-eks", 30)
    assert second.token > first.token


def test_a_holder_extends_its_lease_under_the_same_token(journal: Journal, other: Journal, clock) -> None:
    token = journal.acquire("a", 30).token
    clock.advance(20)
    assert journal.acquire("a", 30).token == token
    clock.advance(20)
    journal.renew()
    clock.advance(20)
    with pytest.raises(Conflict):
        other.acquire("a", 30)


def test_a_released_lease_is_free_and_its_token_grows(journal: Journal, other: Journal) -> None:
    token = journal.acquire("a", 30).token
    other.release("a")  # not its own: nothing happens
    with pytest.raises(Conflict):
        other.acquire("a", 30)
    journal.release("a")
    assert other.acquire("a", 30).token == token + 1


def test_reservations_add_up_by_scope_until_they_end(journal: Journal, other: Journal, clock) -> None:
    soon, later = clock() + timedelta(seconds=10), clock() + timedelta(hours=1)
    journal.reserve("eu-eks", 2, "nodes", flow="migration", until=later)
    other.reserve("eu-eks", 3, "nodes", flow="migration", until=soon)
    held = other.reserve("us-gke", 4, "nodes", flow="scaling", until=later)
    other.reserve("eu-eks", 64, "cpu_cores", flow="scaling", until=later)
    assert journal.reserved("nodes") == {"eu-eks": 5, "us-gke": 4}
    assert journal.reserved("nodes", but_not_by="migration") == {"us-gke": 4}
    clock.advance(10)
    other.release_reservation(held.id)
    assert journal.reserved("nodes") == {"eu-eks": 2}


def test_the_budget_is_shared_and_given_back_with_the_intent(journal: Journal, other: Journal) -> None:
    intent = started(journal)
    journal.disrupt("eu-eks", 6, limit_ratio=0.1, fleet_nodes=80, intent=intent)
    with pytest.raises(Refused, match="would make 9, the fleet-wide budget is 8 nodes"):
        other.disrupt("us-gke", 3, limit_ratio=0.1, fleet_nodes=80)
    other.disrupt("us-gke", 2, limit_ratio=0.1, fleet_nodes=80)
    journal.done(intent)
    assert other.disrupted() == 2


def test_a_share_of_a_dead_owner_counts_until_its_intent_is_finished(journal: Journal, other: Journal, clock) -> None:
    intent = started(other)
    other.disrupt("eu-eks", 1, limit_ratio=0.1, fleet_nodes=10, intent=intent)
    clock.advance(3600)
    assert journal.disrupted() == 1
    with pytest.raises(Refused):
        journal.disrupt("us-gke", 1, limit_ratio=0.1, fleet_nodes=10)
    journal.undone(journal.adopt(intent))
    assert journal.disrupted() == 0


def test_after_a_failure_the_share_lasts_as_long_as_its_lease(journal: Journal, clock) -> None:
    intent = started(journal)
    journal.disrupt("eu-eks", 1, limit_ratio=0.1, fleet_nodes=10, intent=intent)
    journal.failed(intent, "drain timed out")
    assert journal.disrupted() == 1
    clock.advance(60)
    assert journal.disrupted() == 0


def test_a_share_without_an_intent_ends_unless_renewed(journal: Journal, clock) -> None:
    journal.disrupt("eu-eks", 2, limit_ratio=0.5, fleet_nodes=10)
    clock.advance(59)
    journal.renew()
    clock.advance(59)
    assert journal.disrupted() == 2
    clock.advance(1)
    assert journal.disrupted() == 0


def test_a_share_can_be_given_back(journal: Journal) -> None:
    journal.restore(journal.disrupt("eu-eks", 2, limit_ratio=0.5, fleet_nodes=10))
    assert journal.disrupted() == 0


@pytest.mark.parametrize(("ratio", "allowed"), [(0.1, 1), (0.0, 0), (0.25, 2)])
def test_a_small_fleet_may_still_disrupt_one_node_unless_nothing_is_allowed(
    journal: Journal, ratio: float, allowed: int
) -> None:
    for _ in range(allowed):
        journal.disrupt("edge", 1, limit_ratio=ratio, fleet_nodes=8)
    with pytest.raises(Refused):
        journal.disrupt("edge", 1, limit_ratio=ratio, fleet_nodes=8)


def test_processes_never_exceed_the_budget_together(store: Store) -> None:
    code = """
import sys
from blocks.errors import Refused
from blocks.store import Journal, Store
journal = Journal(Store.open(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
taken = 0
for _ in range(8):
    try:
        journal.disrupt("c", 1, limit_ratio=0.1, fleet_nodes=100, ttl_s=600)
        taken += 1
    except Refused:
        pass
print(taken)
"""
    url = store.engine.url.render_as_string(hide_password=False)
    children = [subprocess.Popen([sys.executable, "-c", code, url], stdin=subprocess.PIPE, text=True,
                                 stdout=subprocess.PIPE) for _ in range(3)]  # fmt: skip
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    assert sum(int(child.communicate(timeout=60)[0]) for child in children) == 10
    assert Journal(store).disrupted() == 10
