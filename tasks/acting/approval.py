"""Which recorded changes may go ahead: none in shadow, what a person approves in propose, all in act."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from blocks.store import approvals
from blocks.store.guards import covers
from blocks.store.tables import Approval, Decision, Mode, Verdict
from tasks.acting import form
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
    said = ""
    if run.mode is Mode.SHADOW or not changes:
        return []
    if run.mode is Mode.ACT and changes[0].as_of == as_of:
        return changes
    if run.mode is Mode.PROPOSE:
        answer = ask_for_approval(plan(changes), timeout_s=int(timeout_s))
        if answer is None:
            return []
        changes, said = _answered(run, changes, answer, [row for row in rows if row.expires_at is not None])
    why_not = check(changes) if changes else {}
    valid = [row for row in changes if row.subject not in why_not]
    for row in changes:
        if row.subject in why_not:
            run.store.settle([row], Verdict.EXPIRED, detail=why_not[row.subject])
    run.store.settle(valid, Verdict.APPROVED, detail=said)
    return valid


def approve_rest(
    run: Run, rest: Sequence[Decision], *, key: str, plan: str, expires_at: datetime, timeout_s: float
) -> list[Decision]:
    """The rows of a plan that is under way which a person still lets go ahead; the others are rejected, or expire.

    Asked by suspending the run, in propose and in act mode; the resumed run comes through here again with `key`.

    expires_at: of the rows, which wait for the answer.
    """
    run.store.postpone(rest, expires_at)
    answer = ask_for_approval(plan, timeout_s=int(timeout_s), key=key)
    if answer is None:
        run.store.settle(rest, Verdict.EXPIRED, detail="a run without a deployment cannot wait for a person")
        return []
    return _answered(run, rest, answer, rest)[0]


def _answered(
    run: Run, changes: Sequence[Decision], answer: form.Approval, plan: Sequence[Decision]
) -> tuple[list[Decision], str]:
    """The changes that a person lets go ahead, and in words who it was; the others are rejected in their name.

    plan: what the person saw; a part of it may have been done since, before a later question suspended the run.
    """
    kept = _signed(run, answer)
    said, out = in_words(kept), list(changes)
    unknown = [scope for scope in kept.leave_out if not any(covers(scope, row.subject) for row in plan)]
    if not answer.approve:
        pass
    elif run.fleet.approvals == "verified" and not kept.verified:
        said += "; not done: this fleet takes only what `continuum approve` has verified"
    elif unknown:
        said += f"; not done: nothing in the plan is called {unknown[0]!r}, which was to be left out"
    else:
        out = [row for row in changes if any(covers(scope, row.subject) for scope in kept.leave_out)]
    run.store.settle(out, Verdict.REJECTED, detail=f"left out; {said}" if len(out) < len(changes) else said)
    rejected = {row.id for row in out}
    return [row for row in changes if row.id not in rejected], said


def _signed(run: Run, answer: form.Approval) -> Approval:
    """What is kept of an answer: as `continuum approve` has verified it, if it is this very one; else as it was typed.

    The store says who it was, never the form: anybody who reaches the Prefect API can fill that in.
    """
    scopes = [scope for each in answer.leave_out.split(",") if (scope := each.strip())]
    given = Approval(flow_run_id=run.id, person=answer.name, verified=False, approve=answer.approve,
                     leave_out=scopes, note=answer.note)  # fmt: skip
    if before := approvals.same_answer(run.store, given):
        return before
    approvals.keep_approval(run.store, given)
    return given


def in_words(kept: Approval) -> str:
    """Who answered what, when, and whether a token said so.

    >>> from datetime import UTC
    >>> in_words(Approval(flow_run_id="", person="ada", verified=False, approve=True, note="go",
    ...                   at=datetime(2026, 1, 31, 12, tzinfo=UTC)))
    'approved by ada (unverified) at 2026-01-31 12:00 UTC: go'
    """
    verb, sure = "approved" if kept.approve else "rejected", "verified" if kept.verified else "unverified"
    note = f": {kept.note}" if kept.note else ""
    return f"{verb} by {kept.person} ({sure}) at {kept.at:%Y-%m-%d %H:%M} UTC{note}"
