"""Nodes that a cloud refuses to a pool are asked for in the pools that the inventory names as its fallbacks."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from blocks.errors import ContinuumError
from blocks.fleet import Actuator, NodePool, pool_id
from blocks.store.tables import Decision
from tasks.acting import REFUSED, Result, carry_out
from tasks.pools.observe import read_pools
from tasks.run import Run
from tasks.scaling.actuators import BY_ACTUATOR, open_actuator
from tasks.scaling.actuators.pool import told
from tasks.scaling.find import find_actuators
from tasks.scaling.holds import expiry_after, hold_of
from tasks.scaling.pool_access import open_pool


def take_missing_nodes(run: Run, decision: Decision, refused: Result) -> list[Result]:
    """Ask the fallback pools, in their order, for what the decision's pool did not get; each within its own bounds.

    They belong to the same decision, so that undoing it takes them back too. A pool whose size is not ours to change,
    or that is full, is passed over.
    """
    content = decision.content
    pool = next(p for c, p in run.fleet.pools() if pool_id(c.name, p.name) == decision.subject)
    if content["action"] != "up" or not pool.fallbacks:
        return []
    results: list[Result] = []
    try:
        lacking = _lacking(run, decision)
        for name in pool.fallbacks:
            if lacking <= 0:
                break
            taken, result = _take(run, decision, pool, name, lacking)
            if result is not None:
                results.append(result)
            lacking -= taken
    except ContinuumError as error:
        why = f"{error}; asked because of: {refused.detail}"
        results.append(Result(decision.id, decision.subject, REFUSED, why, refused.refusal))
    return results


def shared_out(lacking: int, of: NodePool, other: NodePool) -> int:
    """How many nodes of another pool hold what so many nodes of one do, in CPU and memory."""
    ratio = max(of.node_cpu / other.node_cpu, of.node_memory / other.node_memory)
    return ceil(lacking * ratio - 1e-9)


def _lacking(run: Run, decision: Decision) -> int:
    """Nodes that were decided on and are not Ready."""
    return int(decision.content["target"]) - open_pool(run.fleet, decision.subject).ready()


def _take(
    run: Run, decision: Decision, pool: NodePool, name: str, lacking: int
) -> tuple[int, Result | None]:  # fmt: skip
    """Nodes of `pool` that a fallback stands in for, and what became of asking it."""
    cluster_name = decision.subject.split("/", 1)[0]
    cluster = next(each for each in run.fleet.clusters if each.name == cluster_name)
    alone = run.fleet.model_copy(update={"clusters": [cluster]})
    readings = [reading for reading in read_pools(alone)[0] if reading.pool.name == name]
    if not readings or readings[0].state is None:
        return 0, None
    (reading,), state = readings, readings[0].state
    found, _ = find_actuators(run.fleet, run.journal.holds(run.fleet_name), readings)
    kind, setting = found.kind[0], int(found.setting_nodes[0])
    high = min(state.max_nodes, reading.pool.max_nodes)
    wanted = min(state.desired + shared_out(lacking, pool, reading.pool), high)
    wanted = wanted // state.multiple_of * state.multiple_of
    if kind is Actuator.PATCH or wanted <= max(state.desired, setting):
        return 0, None
    content = _content(decision, setting=setting, target=wanted, seen=found.seen[0])
    subject, kind_of = reading.subject, BY_ACTUATOR[kind].kind
    actuator = open_actuator(run.fleet, subject, kind_of)
    hold = hold_of(run.journal, run.fleet_name, subject, kind_of)
    planned = actuator.plan(content, hold, expiry_after(decision.as_of))
    key = f"{decision.id}/{subject}/{kind_of}"
    result = carry_out(run, actuator, planned, subject=subject, key=key, decision_id=decision.id)
    one = shared_out(1, pool, reading.pool)
    return (wanted - state.desired) // max(one, 1) if result.state == "done" else 0, result


def _content(decision: Decision, *, setting: int, target: int, seen: str) -> Mapping[str, Any]:
    return {"current": setting, "target": target, "seen": seen or told({"desired": setting}), "action": "up",
            "reasons": decision.content["reasons"]}  # fmt: skip
