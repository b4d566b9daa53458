"""Faults of the clouds: operations that fail, limits, machines that die."""

from __future__ import annotations

from deployments.local.simulation import Simulation

FAILS = {"kind": "cloud-operation-fails", "cluster": "eu-eks"}


def outcome(simulation: Simulation, pool: str = "web") -> str | None:
    """Error of an operation on a pool."""
    desired = simulation.node_pools.pool("eu-eks", pool).desired
    operation = simulation.node_pools.update("eu-eks", pool, {"desired": desired + 1})
    simulation.clock.advance(60)
    return operation.error


def test_the_next_operation_fails_and_no_other(simulation, faults):
    [fault] = faults.add([{**FAILS, "pool": "web", "error": "none left"}])
    assert outcome(simulation, "batch") is None
    assert outcome(simulation) == "none left"
    assert (fault.state, fault.struck) == ("ended", 1)
    assert outcome(simulation) is None


def test_a_failure_for_a_cluster_is_spent_by_any_of_its_pools(simulation, faults):
    faults.add([{**FAILS, "error": "none left"}])
    assert [outcome(simulation, pool) for pool in ("batch", "web", "batch")] == ["none left", None, None]


def test_failures_for_one_pool_are_spent_in_their_order(simulation, faults):
    faults.add([{**FAILS, "error": "first", "times": 2}, {**FAILS, "pool": "web", "error": "second"}])
    assert [outcome(simulation) for _ in range(4)] == ["first", "first", "second", None]


def test_a_failure_that_is_lifted_is_not_met(simulation, faults):
    faults.add([{**FAILS, "error": "none left", "for_s": 10}])
    simulation.clock.advance(10)
    assert outcome(simulation) is None


def test_the_smallest_of_several_quotas_holds_until_it_is_lifted(simulation, faults, monkeypatch):
    set_to = []
    monkeypatch.setattr(simulation.node_pools, "set_quota", lambda cluster, nodes: set_to.append((cluster, nodes)))
    for nodes in (12, 5):
        faults.add([{"kind": "cloud-quota", "cluster": "us-gke", "nodes": nodes}])
    faults.lift("f2")
    faults.lift("f1")
    assert set_to == [("us-gke", 12), ("us-gke", 5), ("us-gke", 12), ("us-gke", None)]


def test_a_shortage_lasts_as_long_as_any_fault_says_so(simulation, faults, monkeypatch):
    set_to = []
    monkeypatch.setattr(simulation.node_pools, "set_shortage", lambda *said: set_to.append(said))
    faults.add([{"kind": "cloud-capacity", "cluster": "us-gke", "pool": "web"}] * 2)
    faults.lift("f1")
    faults.lift("f2")
    assert set_to == [("us-gke", "web", True), ("us-gke", "web", False)]


def test_a_killed_edge_machine_comes_back_when_its_last_fault_ends(simulation, faults):
    kill = {"kind": "node-kill", "cluster": "edge-munich", "node": "edge-munich-edge-01"}
    faults.add([kill, kill])
    faults.lift("f1")
    assert simulation.node_pools.dead_nodes("edge-munich") == {"edge-munich-edge-01"}
    faults.lift("f2")
    assert simulation.node_pools.dead_nodes("edge-munich") == frozenset()


def test_a_cloud_replaces_a_killed_machine(simulation, faults):
    node = simulation.clusters["eu-eks"].list("nodes")[0]["metadata"]["name"]
    before = {pool: simulation.node_pools.ready("eu-eks", pool) for pool in ("web", "batch")}
    faults.add([{"kind": "node-kill", "cluster": "eu-eks", "node": node}])
    simulation.clock.advance(1800)
    assert node not in [each["metadata"]["name"] for each in simulation.clusters["eu-eks"].list("nodes")]
    assert {pool: simulation.node_pools.ready("eu-eks", pool) for pool in before} == before
