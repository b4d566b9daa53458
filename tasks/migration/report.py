"""Moves told to people: what would move, why, what it costs and brings, and what stays and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from blocks.fleet import Fleet
from blocks.store.tables import Decision
from tasks.acting import Result
from tasks.sections import section, site_map

ROWS = 300
COLUMNS = ("workload", "in", "to", "ms", "USD/h", "gCO2e/h", "benefit", "move costs", "why")
PLAN_COLUMNS = ("workload", "from", "to", "ms", "USD/h", "benefit", "costs", "why")
REASONS = {
    "pays": "brings {benefit:.2f} slots of its usual cost over the horizon, costs {overhead:.2f}",
    "maintenance": "its cluster is to be left",
    "site-silent": "its cluster has been silent for as long as was asked for; it may run twice until that is back",
    "silent": "its cluster does not answer, not yet for as long as was asked for, or nothing else has room",
    "fleet-silent": "half of the fleet does not answer: that may be us",
    "site-failing": "half of all pods of its cluster are not Ready, and pods of it are not, now and in the pass before",
    "pods-failing": "pods of it are not Ready where it is, now and in the pass before",
    "node-pressure": "its nodes lack memory, disk or process ids, now and in the pass before",
    "requests-failing": "its requests fail where it is",
    "failback": "what it fled from has been well for long enough, and is its home",
    "no-candidate": "no other cluster is allowed and has room",
    "best-already": "it stands at the best place that it may go to",
    "gain-too-small": "nothing is better by enough",
    "move-costs-too-much": "a move costs {overhead:.2f} slots, and brings {benefit:.2f}",
    "cooling-down": "it moved lately",
    "capped": "enough others move in this pass",
    "target-full": "others that move, in this pass or another run, take the room of its target",
    "not-measured": "what it costs here is not known",
}
Coordinates = Mapping[str, tuple[float, float]]


def explain(record: Mapping[str, Any]) -> str:
    """One workload's decision in one line."""
    why = "; ".join(REASONS[each["code"]].format(**each) for each in record["reasons"])
    what = f"{record['source']} -> {record['target']}" if record["action"] == "move" else f"stays in {record['source']}"
    return f"{record['workload']}: {what} ({why})"


EXPLAINERS = {"workload-migration": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The moves that somebody is to approve: how many, from where to where, and a table of them."""
    pairs = Counter((row.content["source"], row.content["target"]) for row in changes)
    way = ", ".join(f"{count} from {source} to {target}" for (source, target), count in sorted(pairs.items()))
    rows = [PLAN_COLUMNS, ("---",) * len(PLAN_COLUMNS), *(_planned(row.content) for row in changes[:ROWS])]
    more = f"\n\n{len(changes) - ROWS} more are in the table of the run." if len(changes) > ROWS else ""
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"**{len(changes)} workloads would move**: {way}.\n\n{table}{more}"


def migration_sections(
    records: Sequence[Mapping[str, Any]], policy: str, places: Coordinates, results: Sequence[Result] = ()
) -> list[dict[str, Any]]:
    """How many move, each workload, a map; and what became of the moves that were to be made.

    places: longitude and latitude by cluster.
    """
    moves = [each for each in records if each["action"] == "move"]
    causes = Counter(each["reasons"][0]["code"] for each in records)
    words = [
        f"Policy {policy}: {len(moves)} of {len(records)} workloads move. "
        "Costs are in slots: 15 minutes of a workload's usual cost.",
        "; ".join(f"{code}: {count}" for code, count in causes.most_common()),
    ]
    rows = [_row(each) for each in sorted(records, key=lambda each: each["action"] != "move")]
    found = [section("Workload migration", words, COLUMNS, rows, _map(records, moves, places))]
    if results:
        ends = Counter(each.state for each in results)
        told = ", ".join(f"{count} {state}" for state, count in ends.most_common())
        found.append(section("What became of the moves", [told], ("workload", "end", "why"),
                             [[each.subject, each.state, each.detail] for each in results[:ROWS]]))  # fmt: skip
    return found


def coordinates(fleet: Fleet) -> dict[str, tuple[float, float]]:
    """Longitude and latitude by cluster."""
    at = {site.name: (float(site.longitude), float(site.latitude)) for site in fleet.sites}
    return {cluster.name: at[cluster.site] for cluster in fleet.clusters}


def _map(
    records: Sequence[Mapping[str, Any]], moves: Sequence[Mapping[str, Any]], places: Coordinates
) -> list[dict[str, Any]]:
    held = {each["source"] for each in records} | {each["target"] for each in records}
    kinds = [("clusters in use", held), ("other clusters", set(places) - held)]
    ways = dict.fromkeys((each["source"], each["target"]) for each in moves)
    return site_map([(label, [places[name] for name in sorted(names) if name in places])
                     for label, names in kinds],
                    [(places[one], places[other]) for one, other in ways
                     if one in places and other in places])  # fmt: skip


def _planned(each: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the plan: Markdown, so no bar."""
    why = each["reasons"][0]
    cells = (each["workload"], each["source"], each["target"], _both(each["latency_ms"], ".0f"),
             _both(each["usd_per_hour"], ".3f"), f"{why['benefit']:.2f}",
             f"{sum(each['move_cost_slots'].values()):.2f}", REASONS[why["code"]].format(**why))  # fmt: skip
    return tuple(cell.replace("|", "/") for cell in cells)


def _both(values: Sequence[float | None], form: str) -> str:
    """Here and there; once where they are alike.

    >>> _both([1.0, 2.5], ".1f"), _both([1.0, 1.0], ".1f"), _both([1.0, None], ".1f")
    ('1.0 -> 2.5', '1.0', '1.0 -> unknown')
    """
    return " -> ".join("unknown" if each is None else format(each, form) for each in dict.fromkeys(values))


def _told(parts: Mapping[str, float]) -> str:
    """The terms of what a move costs.

    >>> _told({"data": 0.1, "disruption": 0.65, "coordination": 0.2})
    '0.95 (data 0.10, disruption 0.65, coordination 0.20)'
    """
    terms = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return f"{sum(parts.values()):.2f} ({terms})"


def _row(each: Mapping[str, Any]) -> list[str]:
    why = each["reasons"][0]
    return [
        each["workload"], each["source"], each["target"] if each["action"] == "move" else "",
        _both(each["latency_ms"], ".0f"), _both(each["usd_per_hour"], ".3f"), _both(each["carbon_g_per_hour"], ".1f"),
        f"{why['benefit']:.2f}", _told(each["move_cost_slots"]), REASONS[why["code"]].format(**why),
    ]  # fmt: skip
