"""Where new workloads go: a record for each copy that is to be deployed, is there already, or finds no place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from tasks.placement.decide.outcome import Explanation
from tasks.placement.decide.placement import PlacementDecision, decide_placement
from tasks.placement.problem import Problem

CHANGES = ("deploy",)
NOWHERE = "nowhere"


def decide_new_workloads(
    problem: Problem, standing: Mapping[str, Sequence[str]], wanted: Sequence[str]
) -> tuple[list[dict[str, Any]], PlacementDecision | None]:
    """Records by subject `cluster/namespace/name`, and the decision behind them; None where nothing is new.

    Parameters
    ----------
    problem: its workloads are those of `wanted` that stand nowhere yet. standing: clusters of those that do.
    wanted: `namespace/name` of each.
    """
    here = [{"unique_id": f"{cluster}/{key}", "action": "hold", "workload": key, "site": cluster,
             "reasons": [{"code": "already-placed"}], "promised": {}}
            for key in wanted for cluster in standing.get(key, ())]  # fmt: skip
    if not problem.workloads:
        return here, None
    decision = decide_placement(problem)
    placed = [_record(each, decision.placement.gap) for workload in problem.workloads
              for each in decision.explain(workload.name, 2) if each.site]  # fmt: skip
    left: list[dict[str, Any]] = []
    for each in decision.placement.unplaced:
        why = [{"code": str(bar.barrier), "subject": bar.subject, "site": site, "lacking": bar.lacking}
               for site, bar in each.because]  # fmt: skip
        left.append({
            "unique_id": f"{NOWHERE}/{each.workload}", "action": "refuse", "workload": each.workload, "site": None,
            "reasons": why or [{"code": "no-site"}], "promised": {},
        })  # fmt: skip
    return here + placed + left, decision


def no_longer_fits(
    problem: Problem, standing: Mapping[str, Sequence[str]], changes: Mapping[str, str]
) -> dict[str, str]:
    """By subject, why it cannot be deployed any more where it was decided that it should be.

    Parameters
    ----------
    problem, standing: as they are now. changes: `namespace/name` by subject.
    """
    sites = {site.name: dict(site.capacity) for site in problem.sites}
    asked = {each.name: each.requests for each in problem.workloads}
    why: dict[str, str] = {}
    for subject, key in changes.items():
        cluster = subject.split("/", 1)[0]
        if cluster in standing.get(key, ()):
            why[subject] = "it is there already"
        elif cluster not in sites:
            why[subject] = "its cluster does not answer"
        elif short := [r for r, amount in asked.get(key, {}).items() if sites[cluster].get(r, 0.0) < amount]:
            why[subject] = f"its cluster has no room for it any more: {', '.join(short)}"
        else:
            for resource, amount in asked.get(key, {}).items():
                sites[cluster][resource] -= amount
    return why


def _record(each: Explanation, gap: float) -> dict[str, Any]:
    terms = each.terms
    promised = {} if terms is None else {
        "latency_ms": _known(terms.latency_ms), "usd_per_hour": _known(terms.usd_per_hour),
        "carbon_g_per_hour": _known(terms.carbon_g_per_hour), "availability_ratio": _known(terms.availability_ratio),
    }  # fmt: skip
    return {
        "unique_id": f"{each.site}/{each.workload}", "action": "deploy", "workload": each.workload, "site": each.site,
        "cost": each.cost, "gap": gap,
        "reasons": [{"code": "runner-up", "site": other.site, "extra_cost": other.extra_cost,
                     "barriers": [str(why.barrier) for why in other.obstacles]} for other in each.runners_up],
        "promised": promised,
    }  # fmt: skip


def _known(value: float) -> float | None:
    return None if isnan(value) else value
