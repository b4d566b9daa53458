"""Nodes that a cloud refuses are asked for in the pools that the inventory names as fallbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from blocks.fleet import Fleet
from blocks.inventory import save_fleet
from blocks.refusals import Refusal
from blocks.store.tables import State, Verdict
from blocks.store.undo import carry_out as carry_out_undo
from blocks.store.undo import undo_plan
from deployments.simulation import Simulation
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.fallback import shared_out
from tasks.scaling.pool_access import PoolAccess, open_pool
from tests.flows.actuators.scenes import carry_out, decide, look, run_of
from tests.flows.shortcuts import sizes, with_pool

pytestmark = pytest.mark.server

WEB, BATCH = "eu-eks/web", "eu-eks/batch"
GKE, AKS = "us-gke/web", "asia-aks/web"


@pytest.fixture
def short(fleet: Fleet, simulation: Simulation) -> Iterator[Any]:
    """Let a pool's machine type be out of stock."""
    made: list[str] = []

    def out_of_stock(subject: str) -> None:
        cluster, pool = subject.split("/")
        answer = simulation.add_fault({"kind": "cloud-capacity", "cluster": cluster, "pool": pool})
        made.append(next(iter(answer.get("faults", [answer])))["id"])

    yield out_of_stock
    simulation.lift_fault()
    simulation.advance(900)


def with_fallback(fleet: Fleet, subject: str, *names: str) -> Run:
    mine = with_pool(fleet, subject, fallbacks=list(names))
    save_fleet(mine, "default")
    return run_of(mine)


def test_a_pool_that_gets_no_machines_has_its_fallback_grow_and_undo_takes_both_back(
    fleet: Fleet, short: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolAccess, "boot_patience_s", lambda self: 8)
    run = with_fallback(fleet, WEB, "batch")
    short(WEB)
    batch = open_pool(fleet, BATCH).pools
    batch.wait(batch.set_desired("batch", 12), timeout_s=60)  # room for the others'
    before = sizes(fleet)
    decision = decide(run, WEB, min(before[WEB] + 2, 24))
    results = carry_out(run, decision)
    assert len(results) == 2, results
    refused, taken = results
    assert (refused.subject, refused.state, refused.refusal) == (WEB, State.FAILED, Refusal.CAPACITY), refused
    assert "InsufficientInstanceCapacity" in refused.detail
    assert (taken.subject, taken.state) == (BATCH, State.DONE), taken
    pools = {f"{cluster.name}/{pool.name}": pool for cluster, pool in fleet.pools()}
    lacking = decision.content["target"] - before[WEB]
    assert sizes(fleet)[BATCH] == before[BATCH] + shared_out(lacking, pools[WEB], pools[BATCH])
    assert run.store.decision(decision.id).state == Verdict.ACTED

    carry_out_undo(run.journal, undo_plan(run.journal, decision.id), act.APPLIERS)
    assert sizes(fleet)[BATCH] == before[BATCH]


def test_without_a_fallback_the_refusal_is_told_with_its_kind(fleet: Fleet, short: Any) -> None:
    run = run_of(fleet)
    short(AKS)
    decision = decide(run, AKS, sizes(fleet)[AKS] + 1)
    (refused,) = carry_out(run, decision)
    assert (refused.state, refused.refusal) == (State.UNDONE, Refusal.CAPACITY), refused


def test_a_fallback_that_is_full_or_not_ours_is_passed_over(fleet: Fleet, short: Any) -> None:
    run = with_fallback(fleet, GKE, "search")  # hands-off
    short(GKE)
    before = sizes(fleet)
    results = carry_out(run, decide(run, GKE, look(run, GKE)[0].state.desired + 1))
    assert [result.subject for result in results] == [GKE]
    assert sizes(fleet)["us-gke/search"] == before["us-gke/search"]
