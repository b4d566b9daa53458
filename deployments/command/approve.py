"""`continuum approve`, `continuum approvers`: answer proposals in your own name, and who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from blocks import settings
from blocks.errors import NotConfigured
from blocks.store import Store, approvals
from deployments.command.journal import explainers, scope_of
from deployments.command.output import Json, err, out, print_json, refusals

if TYPE_CHECKING:
    from deployments.approvals import Proposal

approvers_app = typer.Typer(no_args_is_help=True, help="Who may approve proposals with `continuum approve`.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(approve)
    app.add_typer(approvers_app, name="approvers")


def approve(
    run: Annotated[str | None, typer.Argument(help="name of the run, or its id's beginning; none: list them")] = None,
    reject: Annotated[bool, typer.Option("--reject", help="say no")] = False,
    leave_out: Annotated[list[str] | None, typer.Option(help="a cluster, or a subject of the plan")] = None,
    note: Annotated[str, typer.Option(help="kept beside the decision")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask again")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Approve or reject what a run in propose mode would do; your token is read from CONTINUUM_APPROVER_TOKEN."""
    from deployments.approvals import answer, named, waiting

    with refusals():
        store = Store.open()
        proposals = waiting(store)
        if run is None:
            return _list(proposals, as_json)
        person = approvals.who(store, _token())
        proposal = named(proposals, run)
        if not yes and not as_json:
            _show(proposal)
            question = "Reject it" if reject else "Approve it"
            typer.confirm(f"{question} as {person.name}?", abort=True, err=True)
        kept = answer(store, proposal, person, approve=not reject, leave_out=leave_out or [], note=note)
        if as_json:
            return print_json({"run": proposal.run_name, "flow": proposal.flow, "approval": kept})
        verb = "rejected" if reject else "approved"
        after = "" if reject else "; the run goes on, and checks the plan against the fleet once more"
        return out.print(f"{proposal.run_name}: {verb} by {kept.person}{after}", highlight=False, markup=False)


@approvers_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="as it will stand in the journal")],
    clusters: Annotated[str, typer.Option(help="`*`, or clusters and cluster/pool with commas between")],
    as_json: Json = False,
) -> None:
    """Let a person approve; prints their token, once."""
    with refusals():
        scopes = [scope_of(each.strip()) for each in clusters.split(",")]
        token = approvals.add_approver(Store.open(), name, scopes)
        if as_json:
            return print_json({"name": name, "scopes": scopes, "token": token})
        err.print(f"{name} may approve in {', '.join(scopes)}. Their token, which is shown only now:",
                  highlight=False, markup=False)  # fmt: skip
        return out.print(token, highlight=False, soft_wrap=True)


@approvers_app.command("list")
def list_approvers(as_json: Json = False) -> None:
    """List who may approve, and where."""
    with refusals():
        people = approvals.approvers(Store.open())
        if as_json:
            return print_json([{"name": each.name, "scopes": each.scopes, "since": each.created_at} for each in people])
        if not people:
            return out.print("Nobody may approve with a token yet: continuum approvers add NAME --clusters '*'")
        table = Table("name", "may approve in", "since (UTC)")
        for each in people:
            table.add_row(escape(each.name), ", ".join(each.scopes), f"{each.created_at:%Y-%m-%d %H:%M}")
        return out.print(table)


@approvers_app.command("remove")
def remove(name: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Take a person's token back; what they approved stays recorded."""
    with refusals():
        approvals.remove_approver(Store.open(), name)
        if as_json:
            return print_json({"removed": name})
        return out.print(f"{name} may approve no longer", highlight=False, markup=False)


def _token() -> str:
    if given := settings.approver_token():
        return given
    try:
        return str(typer.prompt("Your token", hide_input=True, err=True))
    except typer.Abort:
        fix = "export CONTINUUM_APPROVER_TOKEN=..., the token that `continuum approvers add` printed"
        raise NotConfigured("no token was given", where="continuum approve", fix=fix) from None


def _list(proposals: list[Proposal], as_json: bool) -> None:
    if as_json:
        return print_json([_plain(each) for each in proposals])
    if not proposals:
        return out.print("Nothing waits for approval.")
    for each in proposals:
        _show(each)
    return None


def _show(proposal: Proposal) -> None:
    lapses = f"; lapses at {proposal.lapses_at:%Y-%m-%d %H:%M:%S} UTC" if proposal.lapses_at else ""
    title = f"{proposal.run_name} ({str(proposal.run_id)[:8]}): {proposal.flow}{lapses}"
    table = Table("subject", "would", "because", title=escape(title), title_justify="left")
    for row, why in zip(proposal.changes, _words(proposal), strict=True):
        table.add_row(escape(row.subject), escape(row.action), escape(why))
    out.print(table)


def _words(proposal: Proposal) -> list[str]:
    explain = explainers().get(proposal.flow)
    return [explain(row.content) if explain else "" for row in proposal.changes]


def _plain(proposal: Proposal) -> dict[str, Any]:
    changes = [{"subject": row.subject, "action": row.action, "why": why, "decision": row.id}
               for row, why in zip(proposal.changes, _words(proposal), strict=True)]  # fmt: skip
    return {"run": proposal.run_name, "run_id": str(proposal.run_id), "flow": proposal.flow,
            "lapses_at": proposal.lapses_at, "changes": changes}  # fmt: skip
