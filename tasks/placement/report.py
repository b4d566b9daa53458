"""Placements told to people: where everything stands, what else was possible, what would have to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from blocks.store.tables import Decision
from tasks.placement.decide.outcome import Barrier, Explanation, Obstacle, RunnerUp
from tasks.placement.decide.placement import PlacementDecision
from tasks.placement.problem import Problem
from tasks.sections import section, site_map

ROWS = 300
COLUMNS = ("workload", "site", "cost", "latency, ms", "USD per hour", "gCO2e per hour", "availability", "next best",
           "it would win if")  # fmt: skip

BARRIERS = {
    Barrier.CAPACITY: "{lacking:.4g} {subject} lack beside what stands there",
    Barrier.TOO_LARGE: "it has {lacking:.4g} {subject} too few, even empty",
    Barrier.APART: "`{subject}` stands there, and they must stand apart",
    Barrier.NO_COST: "no cost is given for it",
    Barrier.NOT_ALLOWED: "it is not allowed there",
    Barrier.TIER: "its tier is not allowed",
    Barrier.RESIDENCY: "its data may not be there",
    Barrier.LATENCY: "it is {lacking:.4g} ms beyond the latency limit",
    Barrier.LATENCY_UNKNOWN: "its latency to the users is not known",
    Barrier.AVAILABILITY: "it is not up often enough",
    Barrier.NOT_SEARCHED: "it was not among the cheapest, which alone were searched",
}


def obstacle_words(obstacle: Obstacle) -> str:
    """A barrier in words.

    >>> obstacle_words(Obstacle(Barrier.CAPACITY, "cpu", 2.0))
    '2 cpu lack beside what stands there'
    """
    return BARRIERS[obstacle.barrier].format(lacking=obstacle.lacking, subject=obstacle.subject)


def placement_sections(problem: Problem, decision: PlacementDecision, seconds: float) -> list[dict[str, Any]]:
    """Summary and table of what is placed; then what is not, and the least that would have to change."""
    placement = decision.placement
    weights = ", ".join(f"{name} {value:g}" for name, value in problem.weights.model_dump().items() if value)
    total = len(placement.assignments) + len(placement.unplaced)
    words = [
        f"{len(placement.assignments)} of {total} replicas placed on "
        f"{len({each.site for each in placement.assignments})} of {len(problem.sites)} sites in {seconds:.2f} s.",
        f"Objective {placement.objective:,.6g}; no placement can be below {placement.bound:,.6g}: at most "
        f"{placement.gap:.2%} above the best ({placement.engine}).",
        f"Weights: {weights}. A workload that gives its own cost per site is weighed by that alone.",
    ]
    names = list(dict.fromkeys(each.workload for each in placement.assignments))
    told = [row for name in names[:ROWS] for row in decision.explain(name, 1)]
    if len(names) > ROWS:
        words.append(f"{len(names) - ROWS} more workloads are not shown; --json lists every one.")
    found = [section("Placement of workloads", words, COLUMNS, [_row(each) for each in told if each.site],
                     _map(problem, Counter(each.site for each in placement.assignments)))]  # fmt: skip
    if placement.unplaced:
        need = [f"{each.constraint} {' '.join(each.subject)}" + (f" by {each.lacking:.4g}" if each.lacking else "")
                for each in placement.relax]  # fmt: skip
        rows = [[each.workload, each.replica, site, obstacle_words(why)]
                for each in placement.unplaced[:ROWS] for site, why in each.because]  # fmt: skip
        words = [f"{len(placement.unplaced)} replicas find no place. Relax " + ("; ".join(need) or "a constraint")
                 + " to place all."]  # fmt: skip
        found.append(section("Not placed", words, ("workload", "replica", "site", "what bars it"), rows))
    return found


def explain(record: Mapping[str, Any]) -> str:
    """One workload's decision in one line: where it goes, what it means there, what was next."""
    key = record["workload"]
    if record["action"] == "hold":
        return f"{key}: runs at {record['site']} already"
    if record["action"] == "refuse":
        why = [obstacle_words(Obstacle(Barrier(each["code"]), each["subject"], each["lacking"])) + f" ({each['site']})"
               for each in record["reasons"] if "site" in each]  # fmt: skip
        return f"{key}: no cluster can take it: {'; '.join(why) or 'none is allowed'}"
    promised = [f"{value:.3g} {unit}" for name, unit in _PROMISED.items()
                if (value := record["promised"].get(name)) is not None]  # fmt: skip
    others = [f"{each['site']} ({', '.join(each['barriers']) or 'costs more'})" for each in record["reasons"]]
    return f"{key}: to {record['site']}" + (f", {', '.join(promised)}" if promised else "") + (
        f"; next best: {', '.join(others)}" if others else "")  # fmt: skip


_PROMISED = {"latency_ms": "ms", "usd_per_hour": "USD per hour", "carbon_g_per_hour": "gCO2e per hour"}
EXPLAINERS = {"workload-placement": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes that somebody is to approve."""
    return f"**{len(changes)} deployments** would be made:\n\n" + "\n".join(
        f"- {explain(row.content)}" for row in changes)  # fmt: skip


def new_workload_sections(
    records: Sequence[Mapping[str, Any]], problem: Problem, decision: PlacementDecision | None
) -> list[dict[str, Any]]:
    """What was decided for each new workload, and where it stands on the map."""
    words = [f"{sum(each['action'] == 'deploy' for each in records)} deployments, "
             f"{sum(each['action'] == 'hold' for each in records)} there already, "
             f"{sum(each['action'] == 'refuse' for each in records)} find no place."]  # fmt: skip
    if decision is not None:
        words.append(f"At most {decision.placement.gap:.2%} above the best ({decision.placement.engine}).")
    held = Counter(str(each["site"]) for each in records if each["site"])
    return [section("Workload placement", words, ("workload", "action", "cluster", "why"),
                    [[each["workload"], each["action"], each["site"] or "", explain(each)] for each in records[:ROWS]],
                    _map(problem, held))]  # fmt: skip


def _row(each: Explanation) -> list[Any]:
    terms = each.terms
    figures = [terms.latency_ms, terms.usd_per_hour, terms.carbon_g_per_hour, terms.availability_ratio] if terms else []
    best = each.runners_up[0] if each.runners_up else None
    return [each.workload if not each.replica else f"{each.workload} ({each.replica})", each.site, f"{each.cost:.4g}",
            *("unknown" if isnan(value) else f"{value:.4g}" for value in figures),
            best.site if best else "none", _wins(best) if best else ""]  # fmt: skip


def _wins(runner: RunnerUp) -> str:
    if runner.obstacles:
        return "; ".join(obstacle_words(each) for each in runner.obstacles)
    return f"its cost fell by {runner.extra_cost:.4g}" if runner.extra_cost else "it costs the same"


def _map(problem: Problem, held: Counter[str]) -> list[dict[str, Any]]:
    """Sites and user zones by their coordinates; nothing where none has any."""
    kinds: list[tuple[str, list[Any]]] = [
        ("sites in use", [each for each in problem.sites if held[each.name]]),
        ("other sites", [each for each in problem.sites if not held[each.name]]),
        ("user zones", list(problem.zones)),
    ]
    return site_map((label, [(each.lon, each.lat) for each in parts if each.lat is not None and each.lon is not None])
                    for label, parts in kinds)  # fmt: skip
