"""Keep scaling decisions in the store, and tell what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blocks.store.tables import Decision
from tasks.acting import Result, keep_decisions, publish_acts
from tasks.run import Run
from tasks.scaling.decide import CHANGES, GATES, Policy, ScalingDecisions
from tasks.scaling.observe import View
from tasks.scaling.report import explain, sections


def record(run: Run, decisions: ScalingDecisions, policy: Policy, only: frozenset[str]) -> tuple[Decision, ...]:
    """One row a pool of `only`. In act mode a change that the gate holds back is kept as shadow keeps it."""
    return keep_decisions(
        run, (entry for entry in decisions.to_records() if entry["unique_id"] in only), as_of=decisions.as_of,
        ttl_s=policy.proposal_ttl_s, changes=CHANGES,
        held_back=lambda entry: any(reason["code"] in GATES for reason in entry["reasons"]),
    )  # fmt: skip


def stored_decisions(rows: Sequence[Decision]) -> ScalingDecisions:
    """The decisions of one pass, bit for bit as they were made."""
    return ScalingDecisions.from_records([row.content for row in rows])


def publish_scaling(
    run: Run, view: View, rows: Sequence[Decision], results: Sequence[Result], left_over: Sequence[Result],
    patches: Sequence[Path],
) -> dict[str, Any]:  # fmt: skip
    """Save the report's sections and artifacts; a summary for whoever called the flow."""
    told = sections([row.content for row in rows])
    told[0]["paragraphs"] += [f"patch file for the pool's owner: {path}" for path in patches]
    summary = publish_acts(run, told, rows, results, left_over, explain, view.trouble)
    return summary | {"patches": [str(path) for path in patches]}
