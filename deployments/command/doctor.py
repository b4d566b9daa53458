"""`continuum doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

_COLOUR = {"ok": "green", "warning": "yellow", "failed": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    fleet: Annotated[
        str | None, typer.Option(help="also look at this fleet: a fleet.yaml or an inventory block")
    ] = None,
    act: Annotated[bool, typer.Option("--act", help="also ask for the rights that acting needs")] = False,
    flows: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="FLOW", help="also ask for the rights of workload-placement, traffic-routing or "
                     "workload-migration; may be repeated"),
    ] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Check this machine, the store, the Prefect server and (with --fleet) every cluster, cloud and metric source."""
    from deployments.doctor import MORE_RIGHTS, examine, fleet_of

    with refusals(), err.status("looking"):
        if unknown := set(flows or ()) - set(MORE_RIGHTS):
            raise InvalidInput(f"`{min(unknown)}` has no rights of its own", where="--for",
                               fix=f"give {', '.join(MORE_RIGHTS)}")  # fmt: skip
        if flows and not fleet:
            raise InvalidInput("rights are asked of a fleet's clusters", where="--for", fix="give --fleet too")
        checks = list(examine(fleet_of(fleet) if fleet else None, act=act, flows=flows or ()))
    if json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            out.print(f"[{_COLOUR[check.level]}]{check.level:8}[/] {check.name}: ", end="")
            out.print(check.detail, markup=False, highlight=False, soft_wrap=True)
    if any(check.level == "failed" for check in checks):
        raise typer.Exit(1)
