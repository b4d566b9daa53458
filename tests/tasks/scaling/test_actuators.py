"""The choice of an actuator, and what it is to be set to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.fleet import Actuator, Autoscaler, NodePool, Provider
from tasks.scaling.actuator_words import SETTINGS, WHYS, told_actuator
from tasks.scaling.actuators import BY_ACTUATOR
from tasks.scaling.actuators.pause_pods import PRIORITY, busy_nodes, deployment, pod_size, priority_class, tolerations
from tasks.scaling.actuators.workload import demand_ratio
from tasks.scaling.decide import STEERING, Actuators, PoolFacts, ScalingDecisions, Why, choose, revalidate
from tasks.scaling.fallback import shared_out
from tasks.scaling.report import explain, patch

CA, KARPENTER = Autoscaler.CLUSTER_AUTOSCALER, Autoscaler.KARPENTER

FACTS = st.builds(
    PoolFacts,
    provider=st.sampled_from(Provider),
    hands_off=st.booleans(),
    tool=st.sampled_from(["", "flux"]),
    autoscaler=st.sampled_from(Autoscaler),
    movable_bounds=st.booleans(),
    workloads=st.integers(0, 2),
    forced=st.none() | st.sampled_from(Actuator),
)


@pytest.mark.parametrize(
    ("facts", "actuator", "why"),
    [
        ({"provider": Provider.EKS}, Actuator.DESIRED, Why.NOBODY_ELSE),
        ({"provider": Provider.K3S}, Actuator.POWER, Why.EDGE_NODES),
        ({"provider": Provider.GKE, "autoscaler": CA, "movable_bounds": True}, Actuator.FLOOR, Why.BOUNDS_MOVE),
        ({"provider": Provider.AKS, "autoscaler": CA}, Actuator.HEADROOM, Why.BOUNDS_FIXED),
        ({"provider": Provider.EKS, "autoscaler": KARPENTER, "movable_bounds": True}, Actuator.HEADROOM, Why.KARPENTER),
        ({"provider": Provider.EKS, "tool": "argo-cd", "autoscaler": CA}, Actuator.PATCH, Why.OWNED),
        ({"provider": Provider.EKS, "hands_off": True, "forced": Actuator.DESIRED}, Actuator.PATCH, Why.HANDS_OFF),
        ({"provider": Provider.EKS, "forced": Actuator.PATCH}, Actuator.PATCH, Why.FLEET_FILE),
        ({"provider": Provider.EKS, "autoscaler": CA, "movable_bounds": True, "forced": Actuator.HEADROOM},
         Actuator.HEADROOM, Why.FLEET_FILE),
        ({"provider": Provider.EKS, "forced": Actuator.WORKLOAD, "workloads": 1}, Actuator.WORKLOAD, Why.FLEET_FILE),
    ],
)  # fmt: skip
def test_the_actuator_follows_from_what_was_found(facts: dict[str, Any], actuator: Actuator, why: Why) -> None:
    choice = choose(PoolFacts(**facts))
    assert (choice.actuator, choice.why) == (actuator, why)


@given(FACTS)
def test_what_is_not_ours_is_never_written_and_a_wish_is_met_or_refused_in_words(facts: PoolFacts) -> None:
    choice = choose(facts)
    if facts.hands_off or facts.tool:
        assert choice.actuator is Actuator.PATCH
    if facts.autoscaler is not Autoscaler.NONE:
        assert choice.actuator not in (Actuator.DESIRED, Actuator.POWER)
    if choice.actuator is Actuator.FLOOR:
        assert facts.movable_bounds
    assert (choice.problem == "") == (facts.forced in (None, choice.actuator))
    assert choice.problem.count("\n") == 0


def test_every_actuator_has_words_and_all_but_the_patch_an_object_that_acts() -> None:
    assert set(SETTINGS) == set(Actuator)
    assert set(WHYS) == set(Why)
    assert set(BY_ACTUATOR) == set(Actuator) - {Actuator.PATCH}


def steered(stage: Any, kind: Actuator = Actuator.FLOOR, *, setting: int, least: int = 1, **columns: Any) -> Any:
    scene = stage.scene(owner="cluster-autoscaler", **columns)
    actuators = Actuators((kind,), (Why.BOUNDS_MOVE,), np.array([setting]), np.array([least]), (f"set {setting}",))
    return replace(scene, pools=replace(scene.pools, actuators=actuators))


@pytest.mark.parametrize(
    ("columns", "setting", "least", "target"),
    [
        ({"cpu_cores": 20.0}, 1, 1, 8),  # 8 nodes are needed and 6 are there
        ({"cpu_cores": 20.0}, 8, 1, 8),  # they are on their way
        ({"cpu_cores": 20.0}, 9, 1, 9),  # nothing on its way is called back
        ({}, 1, 1, 5),  # 5 of 6 are needed: those are kept
        ({}, 6, 1, 5),
        ({"cpu_cores": 1.0, "peak_cpu": 1.0}, 6, 5, 5),  # never below what was there before us
        ({"cpu_cores": 20.0, "max_nodes": 7}, 1, 1, 7),
        ({"last_up_s": 60.0}, 4, 1, 5),  # a guard stops the pool from shrinking: the need alone is kept
        ({"cpu_cores": np.nan}, 4, 1, 4),  # not known: moves nothing
        ({"cpu_cores": np.nan}, 6, 1, 6),
        ({"busy": True}, 4, 1, 4),
        ({"reachable": False}, 4, 1, 4),
    ],
)
def test_a_setting_follows_the_need(stage: Any, columns: dict[str, Any], setting: int, least: int, target: int) -> None:
    decided = steered(stage, setting=setting, least=least, **({"peak_memory": 2.0**30} | columns)).decide()
    assert (int(decided.current[0]), int(decided.target[0])) == (setting, target)
    wanted = {0: ("hold", "refuse"), 1: ("up",), -1: ("down",)}[int(np.sign(target - setting))]
    assert decided.action[0] in wanted


@given(desired=st.integers(0, 12), setting=st.integers(0, 12), cpu=st.floats(0, 60), peak=st.floats(0, 60),
       least=st.integers(0, 4), kind=st.sampled_from(STEERING))  # fmt: skip
def test_a_setting_stays_between_what_was_there_before_us_and_the_maximum(
    stage: Any, desired: int, setting: int, cpu: float, peak: float, least: int, kind: Actuator
) -> None:
    setting = max(setting, least)
    decided = steered(stage, kind, setting=setting, least=least, desired=desired, ready=desired, cpu_cores=cpu,
                      peak_cpu=peak, max_nodes=12).decide()  # fmt: skip
    assert least <= int(decided.target[0]) <= 12


def test_the_actuator_is_in_the_record_the_line_and_no_patch_is_written(stage: Any) -> None:
    (record,) = steered(stage, setting=3, cpu_cores=20.0).decide().to_records()
    assert (record["actuator"], record["actuator_why"], record["seen"]) == ("floor", "bounds-move", "set 3")
    assert explain(record).startswith("eu-eks/web: floor 3 -> 8 nodes: ")
    assert told_actuator(record) == "floor (an autoscaler sizes it, within bounds that may be moved)"
    assert patch(record) is None
    back = ScalingDecisions.from_records([record])
    assert (back.actuator, back.actuator_why, back.seen) == ((Actuator.FLOOR,), (Why.BOUNDS_MOVE,), ("set 3",))


@pytest.mark.parametrize(("now", "code"), [
    ({"setting": 4}, "desired-changed"), ({"setting": 3, "kind": Actuator.HEADROOM}, "actuator-changed"),
])  # fmt: skip
def test_a_stored_decision_whose_setting_or_actuator_is_another_one_now_is_dropped(
    stage: Any, now: dict[str, Any], code: str
) -> None:
    scene = steered(stage, setting=3, cpu_cores=20.0)
    world = steered(stage, **now, cpu_cores=20.0)
    same = revalidate(scene.decide(), scene.pools, scene.observed, scene.policy, stage.now)
    other = revalidate(scene.decide(), world.pools, world.observed, world.policy, stage.now)
    assert (same.action[0], other.action[0]) == ("up", "refuse")
    assert other.reasons[0][-1].code == code


def test_lowering_a_floor_takes_nothing_from_the_disruption_budget(stage: Any) -> None:
    scene = stage.scene(2, cpu_cores=[1.0, 1.0], peak_cpu=1.0, peak_memory=2.0**30, memory_bytes=2.0**30,
                        owner=["cluster-autoscaler", ""], numbers={"max_step_down_nodes": 2})  # fmt: skip
    actuators = Actuators((Actuator.FLOOR, Actuator.DESIRED), (Why.BOUNDS_MOVE, Why.NOBODY_ELSE), np.array([6, 0]),
                          np.array([1, 0]), ("", ""))  # fmt: skip
    decided = replace(scene, pools=replace(scene.pools, actuators=actuators)).decide()
    assert [int(target) for target in decided.target] == [4, 5]  # two nodes a pass; one of twelve is the budget


def node(name: str, *, cpu: str = "4", ready: bool = True, taints: Any = ()) -> dict[str, Any]:
    status = {"allocatable": {"cpu": cpu, "memory": "16Gi"},
              "conditions": [{"type": "Ready", "status": str(ready)}]}  # fmt: skip
    return {"metadata": {"name": name}, "spec": {"taints": list(taints)}, "status": status}


def pod(on: str, *, cpu: str = "1", daemon: bool = False, labels: dict[str, str] | None = None) -> dict[str, Any]:
    owners = [{"kind": "DaemonSet" if daemon else "ReplicaSet", "controller": True}]
    work = {"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    return {"metadata": {"ownerReferences": owners, "labels": labels or {}},
            "spec": {"nodeName": on, "containers": [work]}}  # fmt: skip


POOL = NodePool(name="web", instance_type="m", min_nodes=1, max_nodes=9, node_cpu=4, node_memory="16Gi")


def test_a_pause_pod_is_a_node_less_its_daemons_and_a_little() -> None:
    cores, memory = pod_size(POOL, [node("b", ready=False), node("a")], [pod("a", daemon=True), pod("a", cpu="2")])
    assert cores == pytest.approx(3 * 0.95)
    assert memory == pytest.approx(15 * 2**30 * 0.95)
    assert pod_size(POOL, [], [])[0] == pytest.approx(3.6)


def test_nodes_are_busy_with_work_alone() -> None:
    mine = deployment("web", {}, (1, 2**20), [], replicas=1)["spec"]["template"]["metadata"]["labels"]
    pods = [pod("a"), pod("b", daemon=True), pod("c", labels=mine), pod("elsewhere")]
    assert busy_nodes([node(name) for name in "abcd"], pods) == 1


def test_pause_pods_give_way_to_everybody_and_still_bring_nodes() -> None:
    made = priority_class()
    assert made["value"] == PRIORITY == -10  # below it cluster-autoscaler would not look at them
    assert made["preemptionPolicy"] == "Never"
    spec = deployment("Batch_1", {"pool": "x"}, (1.5, 2**30), [], replicas=2)
    template = spec["spec"]["template"]
    assert spec["metadata"]["name"] == "headroom-batch-1"
    assert template["spec"]["terminationGracePeriodSeconds"] == 0
    assert template["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    assert template["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1500m", "memory": "1024Mi"}}


def test_the_taints_of_the_pool_are_tolerated_and_those_of_a_sick_node_are_not() -> None:
    own = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    sick = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    assert tolerations([node("a", taints=[own, sick]), node("b", taints=[own])]) == [
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
    ]


def test_demand_grows_by_its_resource_that_grows_most_and_never_shrinks() -> None:
    reasons = [{"code": "forecast-peak", "numbers": {"peak_cpu_cores": 30.0, "peak_memory_bytes": 8.0}},
               {"code": "reactive-need", "numbers": {"used_cpu_cores": 20.0, "used_memory_bytes": 4.0}}]  # fmt: skip
    assert demand_ratio({"reasons": reasons}) == 2.0
    assert demand_ratio({"reasons": [], "target": 6, "current": 4}) == 1.5
    assert demand_ratio({"reasons": [], "target": 2, "current": 4}) == 1.0


@pytest.mark.parametrize(("cpu", "memory", "nodes"), [(4, "16Gi", 3), (8, "32Gi", 2), (8, "8Gi", 6)])
def test_another_pool_gets_as_many_nodes_as_hold_what_is_lacking(cpu: int, memory: str, nodes: int) -> None:
    other = NodePool(name="o", instance_type="m", min_nodes=1, max_nodes=9, node_cpu=cpu, node_memory=memory)
    assert shared_out(3, POOL, other) == nodes
