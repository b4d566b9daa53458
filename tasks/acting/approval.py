"""Which recorded changes may go ahead: none in shadow, what a person approves in propose, all in act."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from blocks.store.tables import Decision, Mode, Verdict
from tasks.acting.form import ask_for_approval
from tasks.run import Run

OPEN = (Verdict.PROPOSED, Verdict.APPROVED)  # not yet acted on, rejected or expired


def approve(
    run: Run, rows: Sequence[Decision], *, as_of: datetime, timeout_s: float,
    plan: Callable[[Sequence[Decision]], str], check: Callable[[Sequence[Decision]], Mapping[str, str]],
) -> list[Decision]:  # fmt: skip
    """The rows to carry out, checked once more against the fleet where time has passed since they were decided.

    In propose mode this suspends the run; the resumed run comes through here again with the same stored rows. A run
    that was started again with rows from before must not act on them as if they were new, in any mode.

    Parameters
    ----------
    as_of: when the fleet was looked at, in its own time.
    plan: the changes as a person reads them above the form, Markdown.
    check: by subject, why a change no longer fits the fleet; these expire. Nothing is decided anew.
    """
    changes = [row for row in rows if row.expires_at is not None and row.state in OPEN]
    note = ""
    if run.mode is Mode.SHADOW or not changes:
        return []
    if run.mode is Mode.ACT and changes[0].as_of == as_of:
        return changes
    if run.mode is Mode.PROPOSE:
        answer = ask_for_approval(plan(changes), timeout_s=int(timeout_s))
        if answer is None:
            return []
        note = answer.note
        if not answer.approve:
            run.store.settle(changes, Verdict.REJECTED, detail=note or "rejected in the Prefect UI")
            return []
    why_not = check(changes)
    valid = [row for row in changes if row.subject not in why_not]
    for row in changes:
        if row.subject in why_not:
            run.store.settle([row], Verdict.EXPIRED, detail=why_not[row.subject])
    run.store.settle(valid, Verdict.APPROVED, detail=note)
    return valid
