"""A recalibration told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision
from tasks.sections import section

WHY = {
    "too-few-rows": "too few rows that both have answered",
    "drift-unlabelled": "confidences come otherwise than when it was learnt, but too few rows tell who was right: give "
    "`predictions`",
    "never-calibrated": "it was never calibrated",
    "drift": "confidences come otherwise than when it was learnt",
    "asked": "it was asked for",
    "no-drift": "confidences come as when it was learnt",
}


def explain(record: Mapping[str, Any]) -> str:
    """One decision in words."""
    reason = record["reasons"][0]
    index = reason.get("numbers", {}).get("psi")
    why = WHY[reason["code"]] + (f" (PSI {index:.2f})" if index is not None else "")
    many = f"{record['rows']} rows, {record.get('seen', record['rows'])} seen"
    head = f"{record['model']} {record['version']}: {record['action']}, {why}, {many}"
    if record["action"] != "recalibrate":
        return head
    before = "none" if record["before"] is None else f"{record['before']:.4g}"
    return (f"{head}; threshold {before} -> {record['threshold']:.4g}: {record['escalated_ratio']:.1%} escalated, "
            f"accuracy {record['accuracy']:.2%}, {record['cost_ratio']:.1%} of the cloud's cost")  # fmt: skip


def explain_all(changes: Sequence[Decision]) -> str:
    """The changes as a person reads them above the form, Markdown."""
    return "\n".join(f"- {explain(each.content)}" for each in changes)


def calibration_sections(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The report's section."""
    return [section("Thresholds of hybrid inference", map(explain, records))]


EXPLAINERS = {"inference-calibration": explain}
