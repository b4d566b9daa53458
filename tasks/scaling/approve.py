"""Which recorded changes may go ahead: none in shadow, what a person approves in propose, all in act."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.store.tables import Decision, Mode, Verdict
from tasks.approval import ask_for_approval
from tasks.run import Run
from tasks.scaling.decide import Action, Policy, revalidate
from tasks.scaling.observe import View
from tasks.scaling.record import stored_decisions
from tasks.scaling.report import explain

CHANGES = (Action.UP, Action.DOWN)


def approve(
    run: Run, rows: Sequence[Decision], view: View, policy: Policy, mode: Mode, timeout_s: int
) -> list[Decision]:
    """The rows to carry out, checked once more against the fleet where time has passed since they were decided.

    In propose mode this suspends the run; the resumed run comes through here again with the same stored rows.
    """
    changes = [row for row in rows if row.action in CHANGES]
    if mode is Mode.SHADOW or not changes:
        return []
    if mode is Mode.ACT:
        return changes
    answer = ask_for_approval(plan_of(run, changes), timeout_s=timeout_s)
    if answer is None:
        return []
    if not answer.approve:
        run.store.settle(changes, Verdict.REJECTED, detail=answer.note or "rejected in the Prefect UI")
        return []
    return _still_valid(run, rows, view, policy, answer.note)


def plan_of(run: Run, changes: Sequence[Decision]) -> str:
    """The proposal as a person reads it above the form."""
    simulated = " of the simulated fleet" if run.fleet.simulated else ""
    lines = "\n".join(f"- {explain(change.content)}" for change in changes)
    when = f"{changes[0].as_of:%Y-%m-%d %H:%M} UTC"
    pools = "node pool" if len(changes) == 1 else "node pools"
    return f"**{len(changes)} {pools}{simulated} would change** (decided at {when}):\n\n{lines}"


def _still_valid(run: Run, rows: Sequence[Decision], view: View, policy: Policy, note: str) -> list[Decision]:
    checked = revalidate(stored_decisions(rows), view.pools, view.observed, policy, view.as_of).to_records()
    valid: list[Decision] = []
    for row, now in zip(rows, checked, strict=True):
        if row.action not in CHANGES:
            continue
        if now["action"] == row.action:
            valid.append(row)
        else:
            run.store.settle([row], Verdict.EXPIRED, detail=explain(now))
    run.store.settle(valid, Verdict.APPROVED, detail=note)
    return valid
