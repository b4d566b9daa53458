"""When faults begin and end, what they add up to, and that all of it can be saved and played again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput, NotFound
from deployments.local.faults.schedule import Faults
from deployments.local.kubernetes.outages import NOTHING_OFF, Outages
from deployments.local.simulation import Simulation

MUNICH = {"cluster": "edge-munich", "node": "edge-munich-edge-01"}


def off(simulation: Simulation, cluster: str = "edge-munich") -> Outages:
    return simulation.clusters[cluster].backend.outages


def restored(simulation: Simulation) -> Simulation:
    saved = json.loads(json.dumps(simulation.snapshot()))
    return Simulation.restored(simulation.fleet, saved, saved["now_s"])


def staying(simulation: Simulation) -> list[str]:
    """Pods of eu-eks/web that nobody has deleted."""
    pods = simulation.clusters["eu-eks"].list("pods", "default", "app=web")
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def states(faults: Faults) -> list[str]:
    return [fault.state for fault in faults]


def test_a_fault_begins_and_ends_in_simulated_time(simulation, faults):
    faults.add([{"kind": "node-freeze", **MUNICH, "after_s": 60, "for_s": 30}])
    seen = []
    for seconds in (59, 1, 29, 1):
        simulation.clock.advance(seconds)
        seen.append((states(faults)[0], bool(off(simulation).silent_nodes)))
    assert seen == [("scheduled", False), ("active", True), ("active", True), ("ended", False)]


def test_ids_are_counted(faults):
    made = faults.add([{"kind": "cluster-freeze", "cluster": "eu-eks"}] * 2)
    assert [fault.id for fault in made] == ["f1", "f2"]
    assert faults.add([{"kind": "node-freeze", **MUNICH}])[0].id == "f3"


def test_of_two_faults_that_overlap_the_other_stays_when_one_is_lifted(simulation, faults):
    faults.add([{"kind": "site-kill", "site": "munich"}, {"kind": "cluster-freeze", "cluster": "edge-munich"},
                {"kind": "node-freeze", **MUNICH}])  # fmt: skip
    assert off(simulation).halted
    assert len(off(simulation).silent_nodes) == 8
    faults.lift("f1")
    assert off(simulation) == Outages(halted=True, silent_nodes=frozenset({MUNICH["node"]}))
    assert off(simulation, "edge-two") == NOTHING_OFF
    faults.lift("f2")
    assert off(simulation) == Outages(silent_nodes=frozenset({MUNICH["node"]}))
    faults.lift_all()
    assert off(simulation) == NOTHING_OFF


def test_disks_and_pods_of_all_active_faults_are_named(simulation, faults):
    unready = {"kind": "pod-never-ready", "cluster": "edge-munich"}
    faults.add(
        [{"kind": "disk-full", **MUNICH}, {**unready, "name": "edge-*"}, {**unready, "namespace": "x", "name": "a"}]
    )
    assert off(simulation).full_disks == {MUNICH["node"]}
    assert off(simulation).unready_pods == (("default", "edge-*"), ("x", "a"))


def test_a_frozen_control_plane_does_nothing_until_it_thaws(simulation, faults):
    cluster = simulation.clusters["eu-eks"]
    faults.add([{"kind": "cluster-freeze", "cluster": "eu-eks", "for_s": 100}])
    cluster.patch("deployments", "web", {"spec": {"replicas": 1}}, namespace="default")
    simulation.clock.advance(59)  # before demand sets it anew
    assert len(staying(simulation)) > 1
    assert staying(restored(simulation)) == staying(simulation)
    faults.lift_all()
    assert len(staying(simulation)) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "node-kill", "cluster": "nowhere", "node": "n"}, "there is no cluster nowhere"),
        ({"kind": "node-kill", "cluster": "eu-eks", "node": "n"}, "there is no node n"),
        ({"kind": "site-kill", "site": "atlantis"}, "there is no site atlantis"),
        ({"kind": "cloud-capacity", "cluster": "eu-eks", "pool": "gold"}, "there is no node pool gold"),
        ({"kind": "api", "cluster": "nowhere", "effect": "drop"}, "there is no cluster nowhere"),
    ],
)
def test_what_is_not_there_cannot_be_struck(faults, fault, message):
    with pytest.raises(NotFound, match=message):
        faults.add([{"kind": "cluster-kill", "cluster": "eu-eks"}, fault])
    assert states(faults) == []


def test_an_edge_site_has_no_cloud_to_break(faults):
    with pytest.raises(InvalidInput, match="edge-munich has no cloud"):
        faults.add([{"kind": "cloud-quota", "cluster": "edge-munich", "nodes": 1}])


def test_a_node_may_yet_join_before_its_fault_begins(simulation, faults):
    [fault] = faults.add([{"kind": "node-kill", "cluster": "eu-eks", "node": "to-come", "after_s": 5}])
    simulation.clock.advance(5)
    assert (fault.state, fault.struck) == ("active", 0)


def test_a_scheduled_fault_that_is_lifted_never_begins(simulation, faults):
    faults.add([{"kind": "cluster-kill", "cluster": "eu-eks", "after_s": 10}])
    faults.lift("f1")
    simulation.clock.advance(20)
    assert states(faults) == ["ended"]
    assert off(simulation, "eu-eks") == NOTHING_OFF


def test_an_unknown_fault_cannot_be_lifted(faults):
    with pytest.raises(NotFound, match="there is no fault f9"):
        faults.lift("f9")


@settings(max_examples=30)
@given(share=st.floats(0, 1), seed=st.integers(0, 9))
def test_a_share_is_drawn_from_the_seed_alone(share, seed):
    from deployments.local.faults.fault import Fault

    def drawn() -> list[bool]:
        fault = Fault("f1", "api", {}, seed, 0.0)
        found = []
        for fault.seen in range(300):
            found.append(fault.draw() < share)
        return found

    assert drawn() == drawn()
    assert abs(sum(drawn()) / 300 - share) < 0.15


def story(simulation: Simulation) -> str:
    for _ in range(12):
        simulation.clock.advance(100)
    state = simulation.snapshot()
    del state["tokens"]
    return json.dumps(state, sort_keys=True)


def test_a_campaign_posted_to_a_fresh_simulation_gives_the_same_states(fresh):
    first = fresh()
    first.faults.add(
        [
            {"kind": "node-freeze", **MUNICH, "for_s": 300},
            {"kind": "cluster-kill", "cluster": "eu-eks", "after_s": 777.7},
        ]
    )
    first.clock.advance(200)
    first.faults.add([{"kind": "site-freeze", "site": "virginia", "after_s": 1}], seed=3)
    first.faults.add([{"kind": "disk-full", **MUNICH}])
    first.clock.advance(300)
    first.faults.lift("f4")
    told = json.loads(json.dumps(first.faults.campaign()))
    again = fresh()
    again.faults.add(told["faults"], told["seed"])
    again.clock.advance(500)
    assert story(again) == story(first)


def test_a_restored_snapshot_goes_on_with_its_faults(fresh):
    first = fresh()
    first.faults.add([
        {"kind": "node-freeze", **MUNICH, "for_s": 500},
        {"kind": "site-kill", "site": "frankfurt", "after_s": 250},
        {"kind": "cloud-operation-fails", "cluster": "us-gke", "error": "none left", "times": 2},
    ])  # fmt: skip
    first.clock.advance(100)
    second = restored(first)
    assert off(second) == off(first) != NOTHING_OFF
    assert second.faults.snapshot() == first.faults.snapshot()
    for each in (first, second):
        each.clock.advance(200)
        assert off(each, "eu-eks").halted
        each.clock.advance(300)
        assert states(each.faults) == ["ended", "active", "active"]
        operation = each.node_pools.update("us-gke", "web", {"desired": 9})
        each.clock.advance(60)
        assert operation.error == "none left"
