"""The scorecard of moves told to people: what each promised, what it brought, and whether that was worth the move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.migration.scorecard import Scored, ScoredMove
from tasks.publish import publish
from tasks.run import Run
from tasks.sections import section

ROWS = 300
TERMS = {"latency_ms": "ms", "usd_per_hour": "USD/h", "carbon_g_per_hour": "gCO2e/h"}
COLUMNS = ("workload", "moved", "from", "to", "why", *(f"{unit}: promised, brought" for unit in TERMS.values()),
           "benefit: promised, brought", "minutes", "worth the move")  # fmt: skip


def publish_scorecard(run: Run, scored: Scored, days: int) -> dict[str, Any]:
    """Save the report's section and artifacts; the moves with their scores for whoever called the flow."""
    told = [row for row in map(_told, scored.moves) if row]
    publish(run, sections(scored, told, days))
    return {"flow_run_id": run.id, "as_of": scored.as_of.isoformat(), "new": scored.new, "moves": told,
            "waiting": len(scored.moves) - len(told), "trouble": list(scored.trouble)}  # fmt: skip


def sections(scored: Scored, told: Sequence[Mapping[str, Any]], days: int) -> list[dict[str, Any]]:
    """One section; the moves that fell shortest of their promise first."""
    known = [row for row in told if row["minutes"]]
    promised, brought, cost = (
        sum(row[name] for row in known) for name in ("promised_slots", "brought_slots", "cost_slots")
    )
    unknown, waiting = len(told) - len(known), len(scored.moves) - len(told)
    words = [
        f"{len(scored.moves)} moves of the last {days} days: {len(known)} scored, {unknown} not measured, "
        f"{waiting} wait for their time to pass.",
        f"{sum(row['worth'] for row in known)} of {len(known)} were worth their move. Promised {promised:.1f} slots "
        f"(15 minutes of a workload's usual cost), brought {brought:.1f} beside staying; the moves cost {cost:.1f}.",
        "Below 0 is a gain in ms, USD and g. Staying is measured at the place that was left, over the same time; the "
        "errors of a place that was fled from are taken to have gone on.",
        *scored.trouble,
    ]  # fmt: skip
    order = sorted(known, key=lambda row: row["brought_slots"] - row["promised_slots"])
    rows = [_row(each) for each in order[:ROWS]]
    return [section("Scorecard of moves: promised against brought", words, COLUMNS, rows, meta=f"the last {days} days")]


def _told(move: ScoredMove) -> dict[str, Any]:
    """One scored move; empty where its time is not over. A promise holds for the slots that could be measured."""
    row, outcome = move.decision, move.outcome
    if outcome is None:
        return {}
    happened, stay = outcome.happened, outcome.baselines["stay"]
    share = happened["minutes"] * 60 / row.content["terms"]["horizon_s"]
    cost = sum(row.content["move_cost_slots"].values())
    return {
        "id": row.id, "workload": row.content["workload"], "source": row.content["source"],
        "target": row.content["target"], "as_of": row.as_of.isoformat(), "why": row.content["reasons"][0]["code"],
        "minutes": happened["minutes"], "cost_slots": cost,
        "promised_slots": row.promised["benefit_slots"] * share, "brought_slots": happened["benefit_slots"],
        "worth": happened["benefit_slots"] > cost,
        "promised": {name: row.promised.get(name) for name in TERMS},
        "brought": {name: happened[name] - stay[name] if name in happened and name in stay else None for name in TERMS},
    }  # fmt: skip


def _row(each: Mapping[str, Any]) -> list[str]:
    pairs = [f"{_number(each['promised'][name])}, {_number(each['brought'][name])}" for name in TERMS]
    return [each["workload"], each["as_of"][:16], each["source"], each["target"], each["why"], *pairs,
            f"{each['promised_slots']:.2f}, {each['brought_slots']:.2f}", f"{each['minutes']:.0f}",
            "yes" if each["worth"] else "no"]  # fmt: skip


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3g}"
