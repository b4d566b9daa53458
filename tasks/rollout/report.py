"""A roll-out told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision
from tasks.sections import section

WHY = {
    "no-edges": "no edge is known to the hub",
    "rolled-back-before": "it was taken back before: publish a new version",
    "too-many-silent": "{late} of {edges} edges have not been heard of: nothing begins",
    "all-on-it": "every edge is to run it already",
}


def explain(record: Mapping[str, Any]) -> str:
    """One decision in words.

    >>> explain({"model": "digits", "version": "2", "action": "hold", "waves": [], "reasons": [{"code": "all-on-it"}]})
    'digits 2: hold, every edge is to run it already'
    """
    head = f"{record['model']} {record['version']}: {record['action']}"
    if record["action"] == "roll-out":
        waves = ", ".join(f"{wave['name']} {len(wave['edges'])}" for wave in record["waves"])
        return f"{head} of {record['digest'][:12]} in {len(record['waves'])} waves: {waves or 'a last check'}"
    why = "; ".join(WHY[each["code"]].format(**each.get("numbers", {})) for each in record["reasons"])
    return f"{head}, {why}"


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes as a person reads them above the form, Markdown."""
    return "\n".join(f"- {explain(each.content)}" for each in changes)


def rollout_sections(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The report's section: the waves, and the edges of each."""
    rows = [[record["model"], record["version"], number, wave["name"], len(wave["edges"])]
            for record in records for number, wave in enumerate(record["waves"])]  # fmt: skip
    return [section("Roll-out of models", map(explain, records), ["model", "version", "wave", "edges of", "edges"],
                    rows)]  # fmt: skip


EXPLAINERS = {"model-rollout": explain}
