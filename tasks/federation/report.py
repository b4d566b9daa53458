"""Rounds told to people: a row a round, and the scores as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision, TrainingRound
from tasks.sections import section

WIDE, SHOWN = 50, 60


def explain(record: Mapping[str, Any]) -> str:
    """One decision in words."""
    if record["action"] == "refuse":
        return f"{record['model']}: no edge of {record['reasons'][0]['numbers']['known']} can be asked to train"
    hostile = f", {record['hostile']} of them hostile at most" if record["hostile"] else ""
    return (f"{record['model']}: train for {record['rounds']} rounds, {record['cohort']} of {record['devices']} edges "
            f"each{hostile}, {record['rule']}")  # fmt: skip


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
             "accepted" if row.record["accepted"] else f"refused: {row.record['why']}", row.after["digest"][:12]]
            for row in closed[-SHOWN:]]  # fmt: skip
    plot = {"title": "score in force after each round", "unit": "accuracy", "x_unit": "round",
            "points": [{"label": "gate", "x": [row.number for row in closed],
                        "y": [row.after["score"] for row in closed]}]}  # fmt: skip
    columns = ["round", "asked", "good updates", "refused updates", "score", "gate", "model"]
    return [section("Federated training", map(explain, records), columns, rows, [plot] if closed else [],
                    chart=drawn(closed) if closed else "")]  # fmt: skip


EXPLAINERS = {"federated-training": explain}
