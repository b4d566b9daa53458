"""`continuum doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

from typing import Annotated

import typer

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
    json: Json = False,
) -> None:
    """Check this machine, the store, the Prefect server and (with --fleet) every cluster, cloud and metric source."""
    from deployments.doctor import examine, fleet_of

    with refusals(), err.status("looking"):
        checks = list(examine(fleet_of(fleet) if fleet else None, act=act))
    if json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            out.print(f"[{_COLOUR[check.level]}]{check.level:8}[/] {check.name}: ", end="")
            out.print(check.detail, markup=False, highlight=False, soft_wrap=True)
    if any(check.level == "failed" for check in checks):
        raise typer.Exit(1)
