"""A pass' decisions as records, and whether one still fits the fleet when a person has approved it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.migration.decide.joint import Room, decide_rescues
from tasks.migration.decide.moves import FAILING, Chosen, decide_moves
from tasks.migration.decide.policies import Policy
from tasks.migration.decide.replay import COORDINATION, DISRUPTION
from tasks.migration.measured import SLOT
from tasks.migration.moves import SILENT
from tasks.migration.observe import CARBON_USD_PER_G, View

CHANGES = ("move",)


def decide(view: View, policy: Policy) -> list[dict[str, Any]]:
    """A record a workload: where it stands, where it would go, what the move costs and brings, in words' numbers."""
    started, free = decide_rescues(view.silent.total, view.silent.size, _due(view), view.room.free, policy.cap)
    chosen = decide_moves(view.place, view.costs, view.move_cost, view.idle_slots, policy, SLOT.total_seconds(),
                          ahead=view.ahead, came_from=view.came_from, room=Room(view.room.size, free),
                          homes=view.homes)  # fmt: skip
    return [*(_entry(view, chosen, policy, row) for row in range(len(view.workloads))),
            *(_rescue(view, row, int(site)) for row, site in enumerate(started))]  # fmt: skip


def _due(view: View) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    waited = [each.for_s >= 60 * (each.workload.restart_after_min or np.inf) for each in view.silent.workloads]
    return np.array(waited, np.bool_) & (not view.silent.held)


def _rescue(view: View, row: int, site: int) -> dict[str, Any]:
    """A record of a workload whose cluster is silent."""
    silent, each = view.silent, view.silent.workloads[row]
    source, workload = each.spare.source, each.workload
    code = SILENT if site >= 0 else "fleet-silent" if silent.held else "silent"
    terms = {"latency_ms": silent.latency_ms, "usd_per_hour": silent.usd_per_hour,
             "carbon_g_per_hour": silent.carbon_g_per_hour}  # fmt: skip
    return {
        "unique_id": each.spare.subject, "workload": workload.key, "action": "move" if site >= 0 else "stay",
        "source": source, "target": view.clusters[site] if site >= 0 else source, "silent_s": round(each.for_s),
        "route": workload.route.model_dump() if workload.route else None, "home": "", "home_well_s": -1,
        **{name: [None, _known(values[row, site]) if site >= 0 else None] for name, values in terms.items()},
        "reasons": [{"code": code, "benefit": 0.0, "overhead": DISRUPTION + COORDINATION}],
        "move_cost_slots": {"data": 0.0, "disruption": DISRUPTION, "coordination": COORDINATION},
        "size": [round(float(amount), 4) for amount in silent.size[row]],
    }  # fmt: skip


def _entry(view: View, chosen: Chosen, policy: Policy, row: int) -> dict[str, Any]:
    each, here, there = view.workloads[row], int(view.place[row]), int(chosen.target[row])
    both = here, there
    code = str(chosen.reason[row])
    numbers = {"benefit": round(float(chosen.benefit[row]), 3), "overhead": round(float(chosen.overhead[row]), 3)}
    terms = {"latency_ms": view.latency_ms, "usd_per_hour": view.usd_per_hour,
             "carbon_g_per_hour": view.carbon_g_per_hour}  # fmt: skip
    move = view.history.moves.get(each.key)
    entry: dict[str, Any] = {
        "unique_id": f"{view.clusters[here]}/{each.key}", "workload": each.key,
        "action": "move" if there != here else "stay", "source": view.clusters[here], "target": view.clusters[there],
        "route": each.route.model_dump() if each.route else None,
        **{name: round(float(seen[row]), 4) for name, seen in view.signs.now.items()},
        "home": move.home if move else "", "home_well_s": round(view.home_well_s[row]),
        **{name: [_known(values[row, at]) for at in both] for name, values in terms.items()},
        "reasons": [{"code": _cause(view, policy, row) if code == FAILING else code, **numbers}],
        "move_cost_slots": {"data": round(max(float(view.move_cost[row]) - DISRUPTION - COORDINATION, 0.0), 3),
                            "disruption": DISRUPTION, "coordination": COORDINATION},
    }  # fmt: skip
    if there != here:
        entry["promised"] = {name: _change(entry[name]) for name in terms} | {"benefit_slots": numbers["benefit"]}
        entry["terms"] = _terms(view, policy, row)
        entry["size"] = [round(float(each), 4) for each in view.room.size[row]]
    return entry


def _cause(view: View, policy: Policy, row: int) -> str:
    """Why a place is no good: the first that holds."""
    signs, limit = view.signs, policy.error_limit
    causes = {"maintenance": signs.leave[row], "site-failing": signs.down[row],
              "pods-failing": signs.not_ready[row] > limit,
              "node-pressure": signs.pressed[row] > limit}  # fmt: skip
    return next((name for name, holds in causes.items() if holds), "requests-failing")


def _terms(view: View, policy: Policy, row: int) -> dict[str, Any]:
    """What a scorecard needs to weigh both places later as they were weighed now."""
    signs, weighed = view.signs, ~np.isnan(view.costs.total[row])
    failing = max(float(values[row]) for values in (signs.not_ready, signs.pressed, signs.errors))
    money = view.usd_per_hour[row] + view.carbon_g_per_hour[row] * CARBON_USD_PER_G
    return {
        "cores": round(float(view.cores[row]), 4), "rates": [round(float(each), 4) for each in view.rates[row]],
        "error_ratio": round(failing, 4), "horizon_s": policy.horizon_s, "queries": view.queries.model_dump(),
        "usual_ms": _known(np.nanmedian(view.latency_ms[row])),
        "usual_usd": None if np.isnan(money[weighed]).any() else _known(np.nanmedian(money)),
    }  # fmt: skip


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)


def _change(both: list[float | None]) -> float | None:
    """There less here: below 0 is a gain."""
    here, there = both
    return None if here is None or there is None else round(there - here, 5)


def no_longer_fits(view: View, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By subject, why an approved move is not made: the workload stands elsewhere, or its target is closed to it."""
    rows = {f"{view.clusters[view.place[row]]}/{each.key}": row for row, each in enumerate(view.workloads)}
    silent = {each.spare.subject for each in view.silent.workloads}
    why: dict[str, str] = {}
    for subject, content in changes.items():
        row = rows.get(subject)
        if subject in silent and content["target"] in view.clusters:
            continue
        if row is None:
            why[subject] = "it no longer stands there"
        elif content["target"] not in view.clusters:
            why[subject] = f"{content['target']} does not answer"
        elif np.isnan(view.costs.total[row, view.clusters.index(content["target"])]):
            why[subject] = f"{content['target']} is closed, has no room for it any more, or is not measured"
    return why
