"""Laws over random fleets, and agreement with a slow reference that decides one pool after another."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.scaling.decide import Action, ReasonCode, ScalingDecisions
from tasks.scaling.decide.inputs import node_sizes
from tasks.scaling.report import explain

GIB = 2.0**30
NASTY = (math.nan, -1.0, math.inf, 0.0)


def pool(rng: np.random.Generator) -> dict[str, Any]:
    """One pool with a usual value in most columns, and now and then a strange one."""

    def rarely(strange: Any, usual: Any, chance: float = 0.08) -> Any:
        return strange[rng.integers(len(strange))] if rng.random() < chance else usual

    low, desired, load = int(rng.integers(0, 5)), int(rng.integers(0, 26)), rng.uniform(0.2, 20.0)
    used_cpu, used_memory, peak_cpu, peak_memory = load * rng.uniform(0.3, 1.1, 4)
    return {
        "min_nodes": low, "max_nodes": low + int(rng.integers(0, 30)), "desired": desired,
        "ready": max(0, desired - rarely((-2, -1, 1, 2, 3), 0)), "node_memory_bytes": rarely((math.inf,), 16 * GIB),
        "boot_s": rarely((60.0, 900.0, 3600.0), 240.0), "multiple_of": rarely((3,), 1),
        "hands_off": rarely((True,), False),
        "fixed": rarely((True,), False), "owner": rarely(("flux",), ""), "busy": rarely((True,), False),
        "reachable": rarely((False,), True), "cpu_cores": rarely(NASTY, 4 * used_cpu),
        "memory_bytes": rarely(NASTY, 16 * GIB * used_memory),
        "age_s": rarely((601.0, -601.0, math.inf, math.nan), 60.0),
        "last_up_s": rarely((100.0, 599.0, 600.0, math.nan), math.inf, 0.2),
        "last_change_s": rarely((30.0, math.nan), math.inf, 0.4),
        "recent_want": rarely((0.0, 3.0, 10.0, 30.0), math.nan, 0.3), "peak_cpu": rarely(NASTY, 4 * peak_cpu),
        "peak_memory": rarely(NASTY, 16 * GIB * peak_memory),
        "requested_cpu_cores": rarely((math.nan, 90.0), rng.uniform(1, 12) * used_cpu),
        "requested_memory_bytes": 8 * GIB * used_memory,
        "requested_gpus": rarely((9.0,), 0.0), "requested_pods": rarely((math.nan, 200.0), 3.0), "node_gpus": 4.0,
        "node_pods": rarely((math.inf,), 10.0), "pending_pods": rarely((2,), 0), "scheduled_nodes": rarely((12,), 0),
        "interrupted_nodes": rarely((1, 3), 0), "reserved_nodes": rarely((1, 4), 0),
        "removable_nodes": rarely((0, 1), 100), "quota_nodes": rarely((-1, 0, 2), 100),
        "frozen": rarely((True,), False), "growth_only": rarely((True,), False),
    }  # fmt: skip


def fleet_of(seed: int, count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [pool(rng) for _ in range(count)]


NUMBERS = st.fixed_dictionaries(
    {
        "disruption_ratio": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        "max_step_up_nodes": st.sampled_from([2, 10]),
        "max_step_down_nodes": st.sampled_from([1, 2, 30]),
        "unreachable_limit_ratio": st.sampled_from([0.2, 0.6]),
        "scale_out_only": st.sampled_from([False] * 4 + [True]),
    }
)
FLEETS = st.builds(fleet_of, st.integers(0, 2**32), st.integers(1, 8))
POLICY = st.sampled_from(["predictive", "seed", "target-tracking", "schedule"])
laws = settings(max_examples=120)


def build(stage, fleet, policy="predictive", numbers=None, names=None, **more):
    columns = {name: [row[name] for row in fleet] for name in fleet[0]}
    names = names or [f"c{row}/p" for row in range(len(fleet))]
    return stage.scene(len(fleet), names=tuple(names), policy=policy, numbers=numbers, **{**columns, **more})


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS)
def test_what_holds_for_every_decision(stage, fleet, policy, numbers):
    scene = build(stage, fleet, policy, numbers)
    decided = scene.decide()
    low, high, current, target = scene.pools.min_nodes, scene.pools.max_nodes, decided.current, decided.target
    changed = target != current
    all_of_quota = target - current == scene.observed.quota_nodes  # a pool under its minimum may get no further
    assert (((target >= low) | all_of_quota) & (target <= high))[changed].all()
    acting = np.array([action in (Action.UP, Action.DOWN) for action in decided.action])
    foreign = np.array([row["hands_off"] or row["owner"] != "" for row in fleet])
    assert not (acting & (foreign | scene.pools.fixed | scene.observed.busy | ~scene.observed.reachable)).any()
    assert (acting == (changed & ~foreign)).all()
    assert all(len(found) > 0 for found in decided.reasons)
    shrinks = target < current
    with np.errstate(invalid="ignore"):
        usage = np.fmax(scene.observed.cpu_cores / 4, scene.observed.memory_bytes / scene.pools.node_memory_bytes)
    ratio = {"seed": 0.8, "target-tracking": 0.7 * 1.1}.get(policy, scene.policy.reactive_target_ratio)
    assert (target[shrinks] >= np.ceil(usage[shrinks] / ratio - 1e-6)).all()
    asked = np.nan_to_num(scene.observed.requested / node_sizes(scene.pools), nan=0.0).max(axis=1)
    assert (target[shrinks] >= np.ceil(asked[shrinks] - 1e-6)).all()
    assert (current - target <= scene.observed.removable_nodes).all()
    assert not (changed & scene.observed.frozen).any()
    assert not (shrinks & scene.observed.growth_only).any()
    assert (target - current <= np.maximum(scene.observed.quota_nodes, 0)).all()
    assert not (shrinks & (scene.observed.last_up_s < scene.policy.no_down_after_up_s)).any()


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS)
def test_missing_data_never_lowers(stage, fleet, policy, numbers):
    decided = build(stage, fleet, policy, numbers).decide()
    for row, target, current in zip(fleet, decided.target, decided.current, strict=True):
        memory = math.isfinite(row["node_memory_bytes"])
        seen = [row["cpu_cores"], *([row["memory_bytes"]] if memory else [])]
        foreseen = [row["peak_cpu"], *([row["peak_memory"]] if memory else [])]
        good = all(math.isfinite(value) and value > 0 for value in seen) and abs(row["age_s"]) <= 600
        if policy not in ("target-tracking", "schedule"):  # these read no forecast
            good = good and all(math.isfinite(value) and value >= 0 for value in foreseen)
        good = good and not math.isnan(row["requested_cpu_cores"])
        assert good or target >= current


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS)
def test_the_fleet_wide_budget_is_never_exceeded(stage, fleet, policy, numbers):
    scene = build(stage, fleet, policy, numbers)
    decided = scene.decide()
    total = sum(row["ready"] for row in fleet if row["reachable"])
    leaving = sum(max(row["ready"] - row["desired"], 0) for row in fleet if row["reachable"] and not row["fixed"])
    ratio = scene.policy.disruption_ratio
    budget = max(1, int(total * ratio)) if ratio else 0
    removed = sum(
        int(decided.current[row] - decided.target[row])
        for row in range(len(fleet))
        if decided.action[row] == Action.DOWN
    )
    assert removed <= max(0, budget - leaving)


@laws
@given(fleet=FLEETS, numbers=NUMBERS)
def test_an_unreachable_fleet_holds_still(stage, fleet, numbers):
    scene = build(stage, fleet, "predictive", numbers)
    if (~scene.observed.reachable).mean() > scene.policy.unreachable_limit_ratio:
        assert set(scene.decide().action) == {Action.HOLD}


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS, factor=st.floats(1.0, 4.0))
def test_more_demand_never_gives_fewer_nodes(stage, fleet, policy, numbers, factor):
    row = fleet[0]
    growing = ("cpu_cores", "memory_bytes", "peak_cpu", "peak_memory", "requested_cpu_cores", "requested_pods")
    demand = {name: row[name] * factor for name in growing}
    calm, busy = (build(stage, [one], policy, numbers).decide() for one in (row, {**row, **demand}))
    assert busy.want[0] >= calm.want[0]
    assert busy.target[0] >= calm.target[0]


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS, data=st.data())
def test_the_order_of_the_pools_does_not_matter(stage, fleet, policy, numbers, data):
    names = [f"c{row}/p" for row in range(len(fleet))]
    order = data.draw(st.permutations(range(len(fleet))))
    straight = build(stage, fleet, policy, numbers, names).decide().to_records()
    turned = build(stage, [fleet[i] for i in order], policy, numbers, [names[i] for i in order]).decide().to_records()
    assert turned == [straight[i] for i in order]


@laws
@given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS, with_forecast=st.booleans())
def test_every_decision_is_strict_json_comes_back_and_can_be_told(stage, fleet, policy, numbers, with_forecast):
    scene = build(stage, fleet, policy, numbers, **({} if with_forecast else {"forecast": None}))
    text = json.dumps(scene.decide().to_records(), allow_nan=False)
    assert text == json.dumps(scene.decide().to_records(), allow_nan=False)
    records = json.loads(text)
    assert json.dumps(ScalingDecisions.from_records(records).to_records()) == text
    for record in records:
        line = explain(record)
        assert "\n" not in line
        assert "{" not in line
        assert record["action"] != "refuse" or "To mend it: " in line


@settings(max_examples=300)
@given(fleet=FLEETS, numbers=NUMBERS)
def test_the_slow_reference_agrees(stage, fleet, numbers):
    scene = build(stage, fleet, "predictive", numbers)
    decided = scene.decide()
    expected = reference(fleet, scene.policy)
    found = list(zip(decided.action, decided.want.tolist(), decided.target.tolist(), strict=True))
    assert found == expected


def nodes_for(demand: float, size: float, ratio: float) -> int:
    return math.ceil(demand / size / ratio - 1e-6)


def reference(fleet, policy) -> list[tuple[Action, int, int]]:
    """The same policy, told pool by pool."""
    blackout = sum(not row["reachable"] for row in fleet) / len(fleet) > policy.unreachable_limit_ratio
    drafts = [one_pool(row, policy, blackout) for row in fleet]
    ready = sum(row["ready"] for row in fleet if row["reachable"])
    budget = max(1, int(ready * policy.disruption_ratio)) if policy.disruption_ratio else 0
    budget -= sum(max(row["ready"] - row["desired"], 0) for row in fleet if row["reachable"] and not row["fixed"])
    ranked = sorted(range(len(fleet)), key=lambda i: (drafts[i][2] - fleet[i]["desired"], i))
    for i in ranked:
        action, want, target = drafts[i]
        row, current = fleet[i], fleet[i]["desired"]
        if action != Action.DOWN:
            continue
        kept = current - min(current - target, max(budget, 0))
        while kept % row["multiple_of"]:
            kept += 1
        if kept >= current or kept > row["max_nodes"]:
            drafts[i] = (Action.REFUSE, want, current)
        else:
            drafts[i], budget = (Action.DOWN, want, kept), budget - (current - kept)
    return drafts


def one_pool(row, policy, blackout) -> tuple[Action, int, int]:
    current, low, high, group = row["desired"], row["min_nodes"], row["max_nodes"], row["multiple_of"]
    if not row["reachable"]:
        return Action.HOLD, current, current
    want, blind, unforeseen = need(row, policy)
    refused = blind and want < current
    want = max(want, current) if blind else want
    want = max(want, row["scheduled_nodes"]) + row["interrupted_nodes"]
    if blackout or row["busy"]:
        return Action.HOLD, want, current
    if row["fixed"]:
        return (Action.REFUSE if want > current else Action.HOLD), want, current
    target = current if want > high and current > high else min(max(want, low), high)
    refused |= want > max(high, current)
    if target < current:
        missing = row["desired"] > row["ready"]
        early = not row["last_up_s"] >= policy.no_down_after_up_s
        stuck = missing and row["last_change_s"] > policy.not_ready_after_ratio * row["boot_s"]
        refused |= unforeseen or stuck or early or policy.scale_out_only
        if unforeseen or missing or early or policy.scale_out_only:
            target = current
        elif not math.isnan(row["recent_want"]):
            target = max(target, min(current, int(row["recent_want"])))
    asked = requested(row)
    for fewest in (asked, max(asked, want) + row["reserved_nodes"], current - row["removable_nodes"]):
        if target < current and target < fewest:
            target, refused = min(fewest, current), refused or fewest >= current
    if (row["frozen"] and target != current) or (row["growth_only"] and target < current):
        target, refused = current, True
    up = max(policy.max_step_up_nodes, group, int(current * policy.max_step_up_ratio))
    down = max(policy.max_step_down_nodes, group, int(current * policy.max_step_down_ratio))
    least = min(current - down, high) if current > high else current - down
    target = min(max(target, least), max(current + up, low))
    target, uneven = in_groups(target, current, low, high, group)
    refused |= uneven
    most = current + max(row["quota_nodes"], 0)
    if target > most:
        target = max(most - most % group, current)
        refused |= target == current
    if current > target > high:
        target, refused = current, True
    if target == current:
        return (Action.REFUSE if refused else Action.HOLD), want, current
    if row["hands_off"] or row["owner"]:
        return Action.REFUSE, want, target
    return (Action.UP if target > current else Action.DOWN), want, target


def in_groups(target, current, low, high, group) -> tuple[int, bool]:
    if target == current or target % group == 0:
        return target, False
    rounded = target + group - target % group
    if target > current and rounded > high:
        rounded = target - target % group
    wrong_way = (rounded <= current) if target > current else (rounded >= current)
    return (current, True) if wrong_way or rounded < low else (rounded, False)


def need(row, policy) -> tuple[int, bool, bool]:
    """Nodes needed; whether some usage is not known; whether some forecast is not usable."""
    want, blind, unforeseen = 0, False, False
    for used, peak, size in (
        (row["cpu_cores"], row["peak_cpu"], 4.0),
        (row["memory_bytes"], row["peak_memory"], row["node_memory_bytes"]),
    ):
        if math.isinf(size):
            continue
        doubtful = used == 0 and row["ready"] > 0
        if math.isfinite(used) and used >= 0 and abs(row["age_s"]) <= policy.stale_after_s and not doubtful:
            want = max(want, nodes_for(used, size, policy.reactive_target_ratio))
        else:
            blind = True
        if math.isfinite(peak) and peak >= 0:
            want = max(want, nodes_for(float(np.float32(peak)), size, policy.predictive_target_ratio))
        unforeseen |= not (math.isfinite(peak) and peak >= 0) or row["boot_s"] == 3600.0  # beyond the forecast's hour
    asked = [row[f"requested_{name}"] for name in ("cpu_cores", "memory_bytes", "gpus", "pods")]
    counted = (True, math.isfinite(row["node_memory_bytes"]), True, math.isfinite(row["node_pods"]))
    blind |= any(math.isnan(value) and known for value, known in zip(asked, counted, strict=True))
    want = max(want, requested(row))
    if row["pending_pods"] and row["ready"] >= row["desired"] and want <= row["desired"]:
        want = row["desired"] + 1
    return want, blind, unforeseen


def requested(row) -> int:
    """Nodes that hold what is requested, as far as that is known."""
    pairs = (("cpu_cores", 4.0), ("memory_bytes", row["node_memory_bytes"]), ("gpus", 4.0), ("pods", row["node_pods"]))
    known = [(row[f"requested_{name}"], size) for name, size in pairs]
    return max(nodes_for(value, size, 1.0) for value, size in known if not math.isnan(value) and math.isfinite(size))


def test_the_reference_and_the_laws_see_every_kind_of_outcome(stage):
    """Guards the random fleets themselves: they must reach all four actions and most reasons."""
    seen: set[str] = set()

    @settings(max_examples=200, database=None, derandomize=True)
    @given(fleet=FLEETS, policy=POLICY, numbers=NUMBERS)
    def look(fleet, policy, numbers):
        for record in build(stage, fleet, policy, numbers).decide().to_records():
            seen.update([record["action"], *(found["code"] for found in record["reasons"])])

    look()
    later = {
        "gate-unscored",
        "gate-not-better",
        "expired",
        "gone",
        "desired-changed",
        "bounds-changed",
        "actuator-changed",
        "demand-rose",
        "forecast-stale",
        "forecast-missing",
        "forecast-outrun",  # these two have tests of their own
        "requests-fit",
    }
    assert seen >= {str(action) for action in Action} | ({str(code) for code in ReasonCode} - later)
