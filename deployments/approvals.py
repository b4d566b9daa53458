"""Proposals that wait for a person: which runs are suspended, what they would change, and answering one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from blocks.errors import Conflict, InvalidInput, NotFound, Refused
from blocks.prefect_api import prefect_client
from blocks.store import Store, approvals
from blocks.store.guards import covers
from blocks.store.tables import Approval, Approver, Decision
from tasks.acting.approval import OPEN

WHERE = "continuum approve"


@dataclass(frozen=True)
class Proposal:
    """A suspended run, and the changes that it asks for."""

    run_id: UUID
    run_name: str
    flow: str
    lapses_at: datetime | None
    changes: list[Decision] = field(repr=False)


def waiting(store: Store) -> list[Proposal]:
    """Every suspended run whose proposal lies in this store, the one that lapses first at the head.

    Raises
    ------
    ContinuumError: no Prefect server is set, or it does not answer.
    """
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    with prefect_client(WHERE) as client:
        runs = client.read_flow_runs(flow_run_filter=paused)
    found = []
    for run in runs:
        changes = [row for row in store.proposals(str(run.id)) if row.state in OPEN and row.expires_at]
        if changes:
            lapses = run.state.state_details.pause_timeout if run.state else None
            found.append(Proposal(run.id, run.name, changes[0].flow, lapses, changes))
    return sorted(found, key=lambda each: (each.lapses_at is None, each.lapses_at, each.run_name))


def named(proposals: Sequence[Proposal], text: str) -> Proposal:
    """The proposal of the run that is called so, or whose id begins so.

    Raises
    ------
    NotFound: none waits. InvalidInput: several do.
    """
    found = [each for each in proposals if each.run_name == text or (text and str(each.run_id).startswith(text))]
    if not found:
        there = ", ".join(each.run_name for each in proposals) or "none"
        raise NotFound("no such run waits for approval", where=f"run {text}", fix=f"waiting now: {there}")
    if len(found) > 1:
        ids = ", ".join(str(each.run_id)[:8] for each in found)
        raise InvalidInput("several runs are called so", where=f"run {text}", fix=f"give the id: {ids}")
    return found[0]


def answer(
    store: Store, proposal: Proposal, person: Approver, *, approve: bool, leave_out: Sequence[str], note: str
) -> Approval:
    """Answer a proposal in the name of a person whose token was checked, and let the run go on.

    Raises
    ------
    Refused: a change lies outside what the person may approve. InvalidInput: `leave_out` names nothing in the plan.
    Conflict: somebody else answered first, or the proposal has lapsed.
    """
    subjects = [row.subject for row in proposal.changes]
    for scope in leave_out:
        if not any(covers(scope, subject) for subject in subjects):
            raise InvalidInput("nothing in the plan is called so", where=f"--leave-out {scope}",
                               fix=f"give one of {', '.join(subjects[:8])}")  # fmt: skip
    wanted = [name for name in subjects if not any(covers(scope, name) for scope in leave_out)]
    beyond = approvals.outside(person, wanted)
    if approve and beyond:
        raise Refused(f"{person.name} may not approve {', '.join(beyond[:8])}", where=f"run {proposal.run_name}",
                      fix=f"leave it out: {' '.join(f'--leave-out {name}' for name in beyond[:8])}")  # fmt: skip
    if not approve and len(approvals.outside(person, subjects)) == len(subjects):
        raise Refused(f"{person.name} may not decide on any of it", where=f"run {proposal.run_name}",
                      fix="ask somebody whose clusters these are")  # fmt: skip
    kept = Approval(flow_run_id=str(proposal.run_id), person=person.name, verified=True, approve=approve,
                    leave_out=list(leave_out), note=note)  # fmt: skip
    approvals.keep_approval(store, kept)  # before the run goes on: it reads there who it was
    refusal = _resume(proposal.run_id, kept)
    if refusal:
        approvals.forget_approval(store, kept)
        raise Conflict(
            f"not taken: {refusal}", where=f"run {proposal.run_name}", fix="see what waits: continuum approve"
        )
    return kept


def _resume(run_id: UUID, kept: Approval) -> str:
    """Hand the form in; why Prefect did not take it, or ""."""
    form = {"approve": kept.approve, "name": kept.person, "leave_out": ", ".join(kept.leave_out), "note": kept.note}
    with prefect_client(WHERE) as client:
        result = client.resume_flow_run(run_id, run_input=form)
    status = str(result.status.value)
    return "" if status == "ACCEPT" else str(getattr(result.details, "reason", status) or status)
