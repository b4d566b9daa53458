"""New workloads on the simulated fleet: placed, deployed, Ready, undone; and what cannot be placed."""

from __future__ import annotations

import pytest

from blocks.errors import InvalidInput
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from deployments.command import journal
from deployments.simulation import Simulation
from flows.workload_placement import PlacementRequest, workload_placement
from tasks.placement.new_workloads import DECISION, NewWorkload

pytestmark = pytest.mark.server

WEB = {"name": "web-shop", "image": "nginx:1.27", "replicas": 2, "cpu_cores": 0.1, "memory_gib": 0.1,
       "users": {"munich": 50}, "latency_limit_ms": 40}  # fmt: skip


def asked(mode: str = "shadow", **changed: object) -> PlacementRequest:
    return PlacementRequest.model_validate({"mode": mode, "workloads": [WEB | changed]})


def deployments(fleet: Fleet, name: str = "web-shop") -> dict[str, dict]:
    """By cluster."""
    found = {}
    for cluster in fleet.clusters:
        for each in KubernetesApi.connect(resolve_secrets(cluster)).list("deployments", "default"):
            if each["metadata"]["name"] == name:
                found[cluster.name] = each
    return found


def test_shadow_tells_where_a_workload_would_go_and_deploys_nothing(fleet: Fleet) -> None:
    told = workload_placement(asked())
    (row,) = told["decisions"]
    assert (row["action"], row["site"]) == ("deploy", "edge-munich")
    assert row["promised"]["latency_ms"] < 5
    assert "to edge-munich" in row["words"]
    assert deployments(fleet) == {}
    (section,) = Store.open().sections(flow="workload-placement")
    assert section.content["plots"][0]["points"]


def test_act_deploys_waits_for_ready_and_undo_removes_it(fleet: Fleet) -> None:
    told = workload_placement(asked("act"))
    (row,) = told["decisions"]
    assert row["result"]["state"] == "done", row
    (made,) = deployments(fleet).values()
    assert made["status"]["readyReplicas"] == 2
    assert made["metadata"]["labels"][DECISION] == row["id"]
    (again,) = workload_placement(asked("act"))["decisions"]
    assert (again["action"], again["result"]) == ("hold", None)
    store = Store.open()
    journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)
    assert deployments(fleet) == {}


def test_workloads_of_an_event_are_placed_instead_of_the_requests(fleet: Fleet) -> None:
    told = workload_placement(asked(), [NewWorkload.model_validate(WEB | {"name": "announced"})])
    assert [row["workload"] for row in told["decisions"]] == ["default/announced"]


def test_a_copy_that_lacks_goes_to_another_site(fleet: Fleet) -> None:
    (first,) = workload_placement(asked("act"))["decisions"]
    both = workload_placement(asked("act", clusters=2, latency_limit_ms=None))["decisions"]
    assert [row["action"] for row in both] == ["hold", "deploy"]
    assert both[1]["result"]["state"] == "done", both[1]
    assert set(deployments(fleet)) == {first["site"], both[1]["site"]}
    assert both[1]["site"] != first["site"]
    store = Store.open()
    for row in (both[1], first):
        journal.undo_decision(store, Journal(store), row["id"], journal.appliers(), force=False)


def test_a_workload_that_fits_nowhere_is_refused_with_what_lacks(fleet: Fleet) -> None:
    (row,) = workload_placement(asked("act", cpu_cores=1000.0))["decisions"]
    assert row["action"] == "refuse"
    assert "no cluster can take it" in row["words"]
    assert "cpu" in row["words"]
    assert deployments(fleet) == {}


def test_a_cluster_that_is_not_in_the_inventory_is_named(fleet: Fleet) -> None:
    with pytest.raises(InvalidInput, match="the inventory has no cluster `mars`"):
        workload_placement(asked(allowed=["mars"]))
    with pytest.raises(InvalidInput, match="no workload is given"):
        workload_placement()


def test_room_in_pieces_too_small_for_a_pod_is_no_room(fleet: Fleet) -> None:
    told = workload_placement(asked(cpu_cores=8.0, memory_gib=1.0, replicas=1, users={}, latency_limit_ms=None))
    (row,) = told["decisions"]
    assert row["site"] not in ("edge-osaka", "eu-eks")  # nodes of 4 cores, many of them
    assert any("on its nodes for 0 of 1 pods" in line for line in told["trouble"]), told["trouble"]


def test_a_pod_larger_than_any_node_is_refused_and_the_rest_of_the_form_goes_on(fleet: Fleet) -> None:
    giant = WEB | {"name": "giant", "cpu_cores": 12.0, "users": {}, "latency_limit_ms": None}
    told = workload_placement(PlacementRequest.model_validate({"workloads": [giant, WEB]}))
    assert {row["workload"]: row["action"] for row in told["decisions"]} == {
        "default/giant": "refuse", "default/web-shop": "deploy"}  # fmt: skip


def test_a_cluster_that_does_not_answer_keeps_what_was_placed_there(fleet: Fleet, simulation: Simulation) -> None:
    (placed,) = workload_placement(asked("act"))["decisions"]
    assert placed["result"]["state"] == "done", placed
    simulation.add_fault(
        {"kind": "api", "api": "kubernetes", "cluster": placed["site"], "effect": "error", "status": 403}
    )
    try:
        (row,) = workload_placement(asked("act"))["decisions"]
    finally:
        simulation.lift_fault()
    assert (row["action"], row["site"]) == ("hold", placed["site"])
    store = Store.open()
    journal.undo_decision(store, Journal(store), placed["id"], journal.appliers(), force=False)
