"""Rounds told to people: a row a round, and the scores as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision, TrainingRound
from tasks.sections import section

WIDE, SHOWN = 50, 60


SECURE = "Secure aggregation is off: the hub sees each update, and hands none out."
WHY = {
    "no-devices": "no edge of {known} can be asked to train",
    "budget-spent": "epsilon {spent:.3g} is spent, one more round makes {after_one_more:.3g}, the budget is {budget:g}",
    "budget-ends": "the privacy budget ends after {rounds} of {asked} rounds",
    "rounds-without-noise": "{rounds} rounds without noise came before, which voids it: use another name",
    "would-void-privacy": "{rounds} private rounds came before, one without noise would void them: use another name",
    "few-for-privacy": "{devices} edges are few for DP: below about {few} the noise drowns what is learnt",
}


def explain(record: Mapping[str, Any]) -> str:
    """One decision in words."""
    why = "; ".join(WHY[each["code"]].format(**each["numbers"]) for each in record["reasons"])
    if record["action"] == "refuse":
        return f"{record['model']}: refused, {why}"
    hostile = f", {record['hostile']} of them hostile at most" if record["hostile"] else ""
    private = record.get("privacy")
    promised = (f", epsilon {record['epsilon_before']:.3g} -> {record['epsilon_after']:.3g} of {private['budget']:g} "
                f"at delta {private['delta']:.2g}") if private else ""  # fmt: skip
    about, why = "about " if private else "", f"; {why}" if why else ""
    return (f"{record['model']}: train for {record['rounds']} rounds, {about}{record['cohort']} of "
            f"{record['devices']} edges each{hostile}, {record['rule']}{promised}{why}")  # fmt: skip


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes as a person reads them above the form, Markdown."""
    return "\n".join(f"- {explain(each.content)}" for each in changes)


def drawn(rounds: Sequence[TrainingRound]) -> str:
    """The score in force after each round, oldest first, in plain characters."""
    lines = [f"{row.number:5d} |{'#' * round(WIDE * row.after['score']):{WIDE}}| {row.after['score']:.1%} "
             f"{'' if row.record['accepted'] else 'kept: ' + row.record['why']}".rstrip()
             for row in rounds if row.after]  # fmt: skip
    return "\n".join(["round  score on the gate's rows", *lines[-SHOWN:]])


def training_sections(records: Sequence[Mapping[str, Any]], rounds: Sequence[TrainingRound]) -> list[dict[str, Any]]:
    """The report's section; `rounds` oldest first."""
    closed = [row for row in rounds if row.after]
    rows = [[row.id, len(row.content["selected"]), sum(not each["refused"] for each in row.record["updates"]),
             sum(bool(each["refused"]) for each in row.record["updates"]), f"{row.after['score']:.1%}",
             "accepted" if row.record["accepted"] else f"refused: {row.record['why']}",
             f"{row.content['epsilon']:.3g}" if row.content.get("privacy") else "no DP", row.after["digest"][:12]]
            for row in closed[-SHOWN:]]  # fmt: skip
    plot = {"title": "score in force after each round", "unit": "accuracy", "x_unit": "round",
            "points": [{"label": "gate", "x": [row.number for row in closed],
                        "y": [row.after["score"] for row in closed]}]}  # fmt: skip
    columns = ["round", "asked", "good updates", "refused updates", "score", "gate", "epsilon", "model"]
    return [section("Federated training", [*map(explain, records), SECURE], columns, rows, [plot] if closed else [],
                    chart=drawn(closed) if closed else "")]  # fmt: skip


EXPLAINERS = {"federated-training": explain}
