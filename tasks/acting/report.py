"""Tell what an acting run did: what became of each change beside what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blocks.store.tables import Decision, now
from tasks.acting.carry_out import Result
from tasks.publish import publish
from tasks.run import Run


def publish_acts(
    run: Run, sections: list[dict[str, Any]], rows: Sequence[Decision], results: Sequence[Result],
    left_over: Sequence[Result], explain: Callable[[Mapping[str, Any]], str], trouble: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Save the report's sections and artifacts; a summary for whoever called the flow.

    Parameters
    ----------
    sections: the report's; what became of the changes is added to the first.
    left_over: what was finished or taken back of earlier runs. trouble: one line for each source that did not answer.
    """
    told = sections[0]
    mode, as_of = (rows[0].mode, rows[0].as_of) if rows else (run.mode, now())
    told["meta"] = f"{mode} mode, as of {as_of:%Y-%m-%d %H:%M} UTC, run {run.id}"
    told["paragraphs"] += [
        *trouble,
        *(f"{end.subject}: {end.state}: {end.detail}" for end in results),
        *(f"left over from a run that ended: {end.subject}: {end.state}: {end.detail}" for end in left_over),
    ]
    publish(run, sections)
    ends = {(end.decision_id, end.subject): vars(end) for end in results}
    return {
        "flow_run_id": run.id,
        "as_of": as_of.isoformat(),
        "mode": mode,
        "decisions": [{"id": row.id, "words": explain(row.content), **row.content,
                       "result": ends.get((row.id, row.subject))} for row in rows],
        "left_over": [vars(end) for end in left_over],
        "trouble": list(trouble),
    }  # fmt: skip
