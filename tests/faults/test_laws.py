"""The two laws see what they are to see: else every test that holds them would be worth nothing."""

from __future__ import annotations

from deployments.simulation import Simulation
from tasks.run import Run
from tasks.scaling.pool_access import open_pool
from tests.faults.laws import Laws
from tests.flows.actuators.scenes import carry_out, decide

WEB = "eu-eks/web"


def test_a_size_that_somebody_slipped_in_is_seen_and_one_that_was_decided_is_not(run: Run, laws: Laws) -> None:
    size = open_pool(run.fleet, WEB).state().desired
    (result,) = carry_out(run, decide(run, WEB, size + 1))
    assert result.state == "done", result
    laws.check()
    open_pool(run.fleet, WEB).pools.set_desired("web", size)
    (told,) = laws.undecided()
    assert told.startswith(f"{WEB}: set_desired {size + 1} -> {size} was decided by nobody")


def test_an_edge_node_that_somebody_closed_is_seen(run: Run, laws: Laws) -> None:
    access = open_pool(run.fleet, "edge-dallas/edge")
    size = access.state().desired
    (node, *_) = access.node_objects()
    access.api.cordon(node["metadata"]["name"])
    assert laws.undecided() == [f"edge-dallas/edge: has {size - 1} nodes, where [{size}] were decided"]


def test_pods_that_go_without_asking_their_budget_are_seen(run: Run, simulation: Simulation, laws: Laws) -> None:
    simulation.set_speed(0)
    access = open_pool(run.fleet, "us-gke/web")
    for pod in access.api.pods(label_selector="app=web"):
        access.api.delete_at("/api/v1/namespaces/default/pods", pod["metadata"]["name"])
    assert any(line.startswith("us-gke/web: ") for line in laws.lost())
    assert laws.lost() == []  # each is told once
