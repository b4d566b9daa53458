"""Moves told to people: what would move, why, what it costs and brings, and what stays and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision
from tasks.sections import section

COLUMNS = ("workload", "in", "to", "ms", "USD/h", "benefit", "move costs", "why")
REASONS = {
    "pays": "brings {benefit:.2f} slots of its usual cost over the horizon, costs {overhead:.2f}",
    "pods-failing": "pods of it are not Ready where it is, now and in the pass before",
    "maintenance": "its cluster is to be left",
    "no-candidate": "no other cluster is allowed and has room",
    "best-already": "it stands at the best place",
    "gain-too-small": "nothing is better by enough",
    "move-costs-too-much": "a move costs {overhead:.2f} slots, and brings {benefit:.2f}",
    "cooling-down": "it moved lately",
    "capped": "enough others move in this pass",
    "target-full": "others that move in this pass take the room of its target",
    "not-measured": "what it costs here is not known",
}


def explain(record: Mapping[str, Any]) -> str:
    """One workload's decision in one line."""
    why = "; ".join(REASONS[each["code"]].format(**each) for each in record["reasons"])
    what = f"{record['source']} -> {record['target']}" if record["action"] == "move" else f"stays in {record['source']}"
    return f"{record['workload']}: {what} ({why})"


EXPLAINERS = {"workload-migration": explain}


def explain_all(changes: Sequence[Decision]) -> str:
    """The moves that somebody is to approve."""
    return f"**{len(changes)} workloads would move**:\n\n" + "\n".join(f"- {explain(row.content)}" for row in changes)


def migration_sections(records: Sequence[Mapping[str, Any]], policy: str) -> list[dict[str, Any]]:
    """How many move, and each workload."""
    moves = sum(each["action"] == "move" for each in records)
    words = (f"Policy {policy}: {moves} of {len(records)} workloads move. "
             "Costs are in slots: 15 minutes of a workload's usual cost.")  # fmt: skip
    rows = [_row(each) for each in sorted(records, key=lambda each: each["action"] != "move")]
    return [section("Workload migration", [words], COLUMNS, rows)]


def _told(parts: Mapping[str, float]) -> str:
    """The terms of what a move costs.

    >>> _told({"data": 0.1, "disruption": 0.65, "coordination": 0.2})
    '0.95 (data 0.10, disruption 0.65, coordination 0.20)'
    """
    terms = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return f"{sum(parts.values()):.2f} ({terms})"


def _row(each: Mapping[str, Any]) -> list[str]:
    prices = ("unknown" if value is None else f"{value:.3f}" for value in dict.fromkeys(each["usd_per_hour"]))
    why = each["reasons"][0]
    return [
        each["workload"], each["source"], each["target"] if each["action"] == "move" else "",
        " -> ".join(f"{value:.0f}" for value in dict.fromkeys(each["latency_ms"])), " -> ".join(prices),
        f"{why['benefit']:.2f}", _told(each["move_cost_slots"]), REASONS[why["code"]].format(**why),
    ]  # fmt: skip
