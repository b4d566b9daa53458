"""Which recorded changes may go ahead: none in shadow, what a person approves in propose, all in act."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.store.tables import Decision, Mode, Verdict
from tasks.approval import ask_for_approval
from tasks.run import Run
from tasks.scaling.decide import CHANGES, Action, Policy, decide_scaling, revalidate
from tasks.scaling.observe import View
from tasks.scaling.record import stored_decisions
from tasks.scaling.report import explain, proposal

OPEN = (Verdict.PROPOSED, Verdict.APPROVED)  # not yet acted on, rejected or expired


def approve(run: Run, rows: Sequence[Decision], view: View, policy: Policy, mode: Mode) -> list[Decision]:
    """The rows to carry out, checked once more against the fleet where time has passed since they were decided.

    In propose mode this suspends the run; the resumed run comes through here again with the same stored rows. A run
    that was started again with rows from before must not act on them as if they were new, in any mode.
    """
    changes = [row for row in rows if row.action in CHANGES and row.state in OPEN]
    if mode is Mode.SHADOW or not changes:
        return []
    if mode is Mode.ACT:
        fresh = changes[0].as_of == view.as_of
        return changes if fresh else _still_valid(run, rows, changes, view, policy, "")
    answer = ask_for_approval(plan_of(run, changes), timeout_s=int(policy.proposal_ttl_s))
    if answer is None:
        return []
    if not answer.approve:
        run.store.settle(changes, Verdict.REJECTED, detail=answer.note or "rejected in the Prefect UI")
        return []
    return _still_valid(run, rows, changes, view, policy, answer.note)


def plan_of(run: Run, changes: Sequence[Decision]) -> str:
    """The proposal as a person reads it above the form."""
    simulated = " of the simulated fleet" if run.fleet.simulated else ""
    when = f"{changes[0].as_of:%Y-%m-%d %H:%M} UTC"
    pools = "node pool" if len(changes) == 1 else "node pools"
    return f"**{len(changes)} {pools}{simulated} would change** (decided at {when}):\n\n" + proposal(
        [change.content for change in changes]
    )


def _still_valid(
    run: Run, rows: Sequence[Decision], changes: Sequence[Decision], view: View, policy: Policy, note: str
) -> list[Decision]:
    """The changes that still fit the fleet; the others expire, with the reason. Nothing is decided anew.

    A scale-down must moreover not go below what would be decided now: nodes may have been lost meanwhile, or a later
    forecast may tell of a peak.
    """
    checked = revalidate(stored_decisions(rows), view.pools, view.observed, policy, view.as_of).to_records()
    now = {entry["unique_id"]: entry for entry in checked}
    fresh = decide_scaling(view.pools, view.observed, view.forecast, policy, view.as_of).to_records()
    least = {entry["unique_id"]: entry for entry in fresh}
    valid: list[Decision] = []
    for row in changes:
        still, wanted = now[row.subject], least.get(row.subject)
        if still["action"] != row.action:
            run.store.settle([row], Verdict.EXPIRED, detail=explain(still))
        elif row.action == Action.DOWN and (wanted is None or wanted["target"] > row.content["target"]):
            run.store.settle([row], Verdict.EXPIRED, detail="more nodes are needed now than this would leave")
        else:
            valid.append(row)
    run.store.settle(valid, Verdict.APPROVED, detail=note)
    return valid
