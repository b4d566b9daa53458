"""Clouds that fail, hang, answer late or storm, autoscalers and people that fight back, nodes that never come."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.store.tables import State
from deployments.local.nodes import node_name
from deployments.simulation import Simulation
from tasks.acting import REFUSED
from tasks.run import Run
from tasks.scaling import act
from tasks.scaling.actuators.size import SetSize
from tasks.scaling.pool_access import PoolAccess, open_pool
from tests.faults.laws import Laws
from tests.faults.scenes import a_pass, forecast_of_now, run_of
from tests.flows.actuators.scenes import carry_out, decide

EKS, GKE, AKS = "eu-eks/web", "us-gke/web", "asia-aks/web"
CLOUDS = [EKS, GKE, AKS]
WRITES = {EKS: "eks", GKE: "gke", AKS: "aks"}
EDGE = "edge-munich/edge"


def size(run: Run, subject: str) -> int:
    return open_pool(run.fleet, subject).state().desired


def one_more(run: Run, subject: str) -> int:
    access = open_pool(run.fleet, subject)
    return access.state().desired + (1 if access.state().desired < access.pool.max_nodes else -1)


@pytest.mark.parametrize("subject", CLOUDS)
def test_an_operation_that_the_cloud_fails_leaves_the_size_and_tells_the_clouds_words(
    run: Run, simulation: Simulation, laws: Laws, subject: str
) -> None:
    cluster, pool = subject.split("/")
    before = size(run, subject)
    simulation.add_fault({"kind": "cloud-operation-fails", "cluster": cluster, "pool": pool, "error": "no luck today"})
    (result,) = carry_out(run, decide(run, subject, one_more(run, subject)))
    assert (result.state, "no luck today" in result.detail) == (State.UNDONE, True), result
    assert size(run, subject) == before
    laws.check()


@pytest.mark.parametrize("subject", CLOUDS)
def test_an_operation_that_hangs_stays_started_and_is_done_when_it_succeeds_after_our_time_out(
    run: Run, simulation: Simulation, laws: Laws, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolAccess, "patience_s", lambda self: 0.3)
    decision = decide(run, subject, one_more(run, subject))
    simulation.set_speed(0)
    (hanging,) = carry_out(run, decision)
    assert (hanging.state, "a later run looks again" in hanging.detail) == (State.STARTED, True), hanging
    again = decide(run, subject, int(decision.content["target"]))
    (refused,) = carry_out(run, again)  # no second change on top of one that nobody knows the end of
    assert refused.state == REFUSED, refused

    simulation.advance(1200)
    (late,) = act.finish_left_over.fn(run_of(run.fleet, "next", later=True))
    assert (late.state, size(run, subject)) == (State.DONE, decision.content["target"]), late
    laws.check()


@pytest.mark.parametrize("subject", CLOUDS)
def test_a_change_whose_answer_is_lost_is_found_done_and_never_asked_for_twice(
    run: Run, simulation: Simulation, laws: Laws, subject: str
) -> None:
    method = {EKS: "POST", GKE: "POST", AKS: "PUT"}[subject]
    simulation.add_fault({"kind": "api", "api": WRITES[subject], "method": method, "effect": "reset", "times": 1,
                          "work_done": True})  # fmt: skip
    target = one_more(run, subject)
    (result,) = carry_out(run, decide(run, subject, target))
    if result.state == State.STARTED:  # a cloud that calls it done only when the nodes are there
        simulation.advance(1200)
        (result,) = act.finish_left_over.fn(run_of(run.fleet, "next", later=True))
    assert (result.state, size(run, subject)) == (State.DONE, target), result
    laws.check()


@pytest.mark.parametrize(("subject", "status"), [(EKS, 500), (GKE, 429), (AKS, 409)])
def test_a_storm_of_refusals_changes_nothing_and_a_calm_sea_lets_the_next_pass_through(
    run: Run, simulation: Simulation, laws: Laws, subject: str, status: int
) -> None:
    before, target = size(run, subject), one_more(run, subject)
    first, second = (decide(run, subject, target) for _ in range(2))
    simulation.add_fault({"kind": "api", "api": WRITES[subject], "path": "web", "effect": "error", "status": status,
                          "retry_after_s": 0})  # fmt: skip
    (refused,) = carry_out(run, first)
    assert refused.state in (REFUSED, State.UNDONE, State.STARTED), refused
    simulation.lift_fault()
    assert size(run, subject) == before
    act.finish_left_over.fn(run_of(run.fleet, "next", later=True))
    (done,) = carry_out(run, second)
    assert done.state == State.DONE, done
    laws.check()


def test_somebody_who_always_sets_the_size_back_is_asked_once_a_pass_and_never_overwritten_in_flight(
    run: Run, laws: Laws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolAccess, "boot_patience_s", lambda self: 0.3)
    theirs, wait = 20, SetSize.wait
    laws.somebody_set(EKS, theirs)

    def fights_back(self: SetSize, *given: Any) -> None:
        wait(self, *given)
        laws.somebody_set(EKS, theirs)

    monkeypatch.setattr(SetSize, "wait", fights_back)
    for target in (theirs - 1, theirs - 1):
        (result,) = carry_out(run, decide(run, EKS, target))
        assert result.state in (State.FAILED, State.UNDONE), result
        assert size(run, EKS) == theirs
    assert len(run.journal.intents()) == 2
    laws.check()


def test_an_autoscaler_takes_idle_nodes_down_to_our_floor_and_no_further(
    run: Run, simulation: Simulation, laws: Laws
) -> None:
    access = open_pool(run.fleet, "asia-aks/jobs")
    target = min(access.state().desired + 3, access.pool.max_nodes)
    (result,) = carry_out(run, decide(run, "asia-aks/jobs", target))
    assert result.state == State.DONE, result
    simulation.advance(1800)  # the autoscaler takes what is idle for ten minutes
    assert size(run, "asia-aks/jobs") >= target
    laws.check()
    simulation.advance(3600)
    told = a_pass(run, ["asia-aks/jobs"])
    assert [each.state for each in told.left_over] == [State.DONE]  # the hold has expired: it is theirs again
    assert len(run.journal.intents(subject="asia-aks/jobs")) - len(told.results) == 2
    laws.check()


@pytest.fixture
def never_met(run: Run) -> Any:
    """Let the budget of a pool's pods allow no eviction at all."""
    changed: list[str] = []

    def set_budget(subject: str, most: Any = 0) -> None:
        name = subject.split("/")[1]
        body = {"spec": {"maxUnavailable": most}}
        place = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        open_pool(run.fleet, subject).api.patch_at(place, name, body)
        changed.append(subject)

    yield set_budget
    for subject in changed.copy():
        set_budget(subject, "25%")


@pytest.mark.parametrize("subject", [EDGE, *CLOUDS])
def test_a_scale_down_that_a_budget_can_never_allow_is_refused_before_it_starts(
    run: Run, laws: Laws, subject: str, never_met: Any
) -> None:
    access = open_pool(run.fleet, subject)
    laws.somebody_set(subject, access.state().max_nodes)
    before, closed = size(run, subject), len(access.node_objects()) - access.ready()
    decision = decide(run, subject, before - 1)
    never_met(subject)  # between decision and act
    (result,) = carry_out(run, decision)
    assert (result.state, f"default/{access.pool.name} can never be met" in result.detail) == (REFUSED, True), result
    assert run.journal.intents() == []
    assert (size(run, subject), len(access.node_objects()) - access.ready()) == (before, closed)
    laws.check()


def test_a_pass_does_not_decide_what_a_budget_can_never_allow(run: Run, laws: Laws, never_met: Any) -> None:
    laws.somebody_set(GKE, open_pool(run.fleet, GKE).pool.max_nodes)
    never_met(GKE)
    forecast_of_now(run)
    told = a_pass(run, [GKE])
    assert (told.of(GKE).action, "pod-disruption-budget" in told.codes(GKE)) == ("refuse", True), told.words(GKE)
    assert told.results == []
    laws.check()


def test_a_node_that_never_becomes_ready_ends_the_change_and_nothing_shrinks_meanwhile(
    run: Run, simulation: Simulation, laws: Laws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolAccess, "boot_patience_s", lambda self: 3.0)
    access = open_pool(run.fleet, EKS)
    laws.somebody_set(EKS, 20)
    there = {node["metadata"]["name"] for node in access.node_objects()}
    coming = {node_name(access.cluster, access.pool, number) for number in range(80)} - there
    simulation.add_fault({"faults": [
        {"kind": "node-freeze", "cluster": "eu-eks", "node": node, "after_s": 1} for node in sorted(coming)
    ]})  # fmt: skip
    before = size(run, EKS)
    (result,) = carry_out(run, decide(run, EKS, before + 1))
    assert (result.state, "nodes are Ready after" in result.detail) == (State.FAILED, True), result
    forecast_of_now(run)
    told = a_pass(run, [EKS])
    assert told.of(EKS).action != "down"
    assert {"booting", "nodes-not-ready"} & told.codes(EKS)
    laws.check()
