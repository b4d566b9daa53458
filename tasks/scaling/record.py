"""Keep decisions in the store, and load what a suspended run decided before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from blocks.store.tables import Decision, Mode, Verdict
from tasks.publish import publish
from tasks.run import Run
from tasks.scaling.act import Result
from tasks.scaling.decide import CHANGES, GATES, Policy, ScalingDecisions
from tasks.scaling.observe import View
from tasks.scaling.report import explain, sections

STATE_BY_MODE = {Mode.SHADOW: Verdict.RECORDED, Mode.PROPOSE: Verdict.PROPOSED, Mode.ACT: Verdict.APPROVED}


def decided_before(run: Run) -> tuple[Decision, ...]:
    """What this very flow run stored before it was suspended; empty on its first way through."""
    return tuple(run.store.proposals(run.id))


def record(
    run: Run, decisions: ScalingDecisions, policy: Policy, mode: Mode, only: frozenset[str]
) -> tuple[Decision, ...]:
    """One row a pool of `only`. The content is the same in every mode; only the state of a change differs.

    In act mode a change that the gate holds back is kept as shadow keeps it.
    """
    expires_at = decisions.as_of + timedelta(seconds=policy.proposal_ttl_s)
    run.store.expire_proposals(decisions.as_of)
    entries = [entry for entry in decisions.to_records() if entry["unique_id"] in only]
    rows = tuple(
        Decision(
            flow_run_id=run.id,
            flow=run.flow,
            subject=entry["unique_id"],
            action=entry["action"],
            mode=_mode(entry, mode),
            state=STATE_BY_MODE[_mode(entry, mode)] if entry["action"] in CHANGES else Verdict.RECORDED,
            ordinal=ordinal,
            as_of=decisions.as_of,
            expires_at=expires_at if entry["action"] in CHANGES else None,
            content=entry,
            reasons=entry["reasons"],
            promised={name: value for name, value in entry["promised"].items() if value is not None},
        )
        for ordinal, entry in enumerate(entries)
    )
    run.store.record_decisions(rows)
    return rows


def _mode(entry: dict[str, Any], mode: Mode) -> Mode:
    """How far one decision may go: a person may approve what the gate would not."""
    held_back = any(reason["code"] in GATES for reason in entry["reasons"])
    return Mode.SHADOW if held_back and mode is Mode.ACT else mode


def stored_decisions(rows: Sequence[Decision]) -> ScalingDecisions:
    """The decisions of one pass, bit for bit as they were made."""
    return ScalingDecisions.from_records([row.content for row in rows])


def publish_scaling(
    run: Run, view: View, rows: Sequence[Decision], results: Sequence[Result], left_over: Sequence[Result],
    patches: Sequence[Path],
) -> dict[str, Any]:  # fmt: skip
    """Save the report's sections and artifacts; a summary for whoever called the flow."""
    ends = {(result.decision_id, result.subject): vars(result) for result in results}
    told = sections([row.content for row in rows])
    told[0]["meta"] = f"{rows[0].mode} mode, as of {rows[0].as_of:%Y-%m-%d %H:%M} UTC, run {run.id}"
    told[0]["paragraphs"] += [
        *view.trouble,
        *(f"{result.subject}: {result.state}: {result.detail}" for result in results),
        *(
            f"left over from a run that ended: {result.subject}: {result.state}: {result.detail}"
            for result in left_over
        ),
        *(f"patch file for the pool's owner: {path}" for path in patches),
    ]
    publish(run, told)
    return {
        "flow_run_id": run.id,
        "as_of": rows[0].as_of.isoformat(),
        "mode": rows[0].mode,
        "decisions": [
            {"id": row.id, "words": explain(row.content), **row.content,
             "result": ends.get((row.id, row.subject))}
            for row in rows
        ],
        "left_over": [vars(result) for result in left_over],
        "patches": [str(path) for path in patches],
        "trouble": list(view.trouble),
    }  # fmt: skip
