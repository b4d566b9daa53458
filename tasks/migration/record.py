"""A pass' decisions as records, and whether one still fits the fleet when a person has approved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.migration.decide.moves import FAILING, Chosen, decide_moves
from tasks.migration.decide.policies import POLICIES
from tasks.migration.decide.replay import COORDINATION, DISRUPTION
from tasks.migration.observe import SLOT, View

CHANGES = ("move",)


def decide(view: View, policy: str, cap: float) -> list[dict[str, Any]]:
    """A record a workload: where it stands, where it would go, what the move costs and brings, in words' numbers."""
    rule = replace(POLICIES[policy], cap=cap)
    chosen = decide_moves(view.place, view.costs, view.move_cost, view.idle_slots, rule, SLOT.total_seconds(),
                          came_from=view.came_from, room=view.room)  # fmt: skip
    return [_entry(view, chosen, row) for row in range(len(view.workloads))]


def _entry(view: View, chosen: Chosen, row: int) -> dict[str, Any]:
    each, here, there = view.workloads[row], int(view.place[row]), int(chosen.target[row])
    source, target = view.clusters[here], view.clusters[there]
    code = str(chosen.reason[row])
    if code == FAILING:
        code = "maintenance" if source in view.leave else "pods-failing"
    data = float(view.move_cost[row]) - DISRUPTION - COORDINATION
    numbers = {"benefit": round(float(chosen.benefit[row]), 3), "overhead": round(float(chosen.overhead[row]), 3)}
    return {
        "unique_id": f"{source}/{each.key}", "workload": each.key, "action": "move" if there != here else "stay",
        "source": source, "target": target, "not_ready": round(float(view.not_ready[row]), 4),
        "route": each.route.model_dump() if each.route else None,
        "latency_ms": [round(float(view.latency_ms[row, at]), 2) for at in (here, there)],
        "usd_per_hour": [_known(view.usd_per_hour[row, at]) for at in (here, there)],
        "reasons": [{"code": code, **numbers}],
        "move_cost_slots": {"data": round(max(data, 0.0), 3), "disruption": DISRUPTION, "coordination": COORDINATION},
        "promised": {"latency_ms": round(float(view.latency_ms[row, there] - view.latency_ms[row, here]), 3)}
        if there != here else {},
    }  # fmt: skip


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def no_longer_fits(view: View, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By subject, why an approved move is not made: the workload stands elsewhere, or its target is closed to it."""
    rows = {f"{view.clusters[view.place[row]]}/{each.key}": row for row, each in enumerate(view.workloads)}
    why: dict[str, str] = {}
    for subject, content in changes.items():
        row = rows.get(subject)
        if row is None:
            why[subject] = "it no longer stands there"
        elif content["target"] not in view.clusters:
            why[subject] = f"{content['target']} does not answer"
        elif np.isnan(view.costs.total[row, view.clusters.index(content["target"])]):
            why[subject] = f"{content['target']} has no room for it any more"
    return why
