"""What a person reads above the form, and which changes still fit the fleet after it has been answered."""

from __future__ import annotations

from collections.abc import Sequence

from blocks.store.tables import Decision
from tasks import acting
from tasks.run import Run
from tasks.scaling.decide import Action, Policy, decide_scaling, revalidate
from tasks.scaling.observe import View
from tasks.scaling.record import stored_decisions
from tasks.scaling.report import explain, proposal


def approve(run: Run, rows: Sequence[Decision], view: View, policy: Policy) -> list[Decision]:
    """The rows to carry out; see `acting.approve`. In propose mode this suspends the run."""
    return acting.approve(
        run, rows, as_of=view.as_of, timeout_s=policy.proposal_ttl_s,
        plan=lambda changes: plan_of(run, changes), check=lambda changes: _outdated(rows, changes, view, policy),
    )  # fmt: skip


def plan_of(run: Run, changes: Sequence[Decision]) -> str:
    """The proposal as a person reads it above the form."""
    simulated = " of the simulated fleet" if run.fleet.simulated else ""
    when = f"{changes[0].as_of:%Y-%m-%d %H:%M} UTC"
    pools = "node pool" if len(changes) == 1 else "node pools"
    return f"**{len(changes)} {pools}{simulated} would change** (decided at {when}):\n\n" + proposal(
        [change.content for change in changes]
    )


def _outdated(rows: Sequence[Decision], changes: Sequence[Decision], view: View, policy: Policy) -> dict[str, str]:
    """By pool, why a change no longer fits the fleet.

    A scale-down must moreover not go below what would be decided now: nodes may have been lost meanwhile, or a later
    forecast may tell of a peak.
    """
    checked = revalidate(stored_decisions(rows), view.pools, view.observed, policy, view.as_of).to_records()
    now = {entry["unique_id"]: entry for entry in checked}
    fresh = decide_scaling(view.pools, view.observed, view.forecast, policy, view.as_of).to_records()
    least = {entry["unique_id"]: entry for entry in fresh}
    why: dict[str, str] = {}
    for row in changes:
        still, wanted = now[row.subject], least.get(row.subject)
        if still["action"] != row.action:
            why[row.subject] = explain(still)
        elif row.action == Action.DOWN and (wanted is None or wanted["target"] > row.content["target"]):
            why[row.subject] = "more nodes are needed now than this would leave"
    return why
