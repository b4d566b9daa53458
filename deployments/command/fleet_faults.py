"""`continuum fleet faults`: what can be broken in a simulated fleet, and what is broken in a running one."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.table import Table
from rich.text import Text

from blocks.errors import InvalidInput, Refused
from blocks.fleet_file import load_fleet
from deployments.command.fleet_tables import count
from deployments.command.output import Json, out, print_json, refusals
from deployments.simulation import Simulation

STATES = ("active", "scheduled", "ended")


def faults(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="fleet.yaml of a running simulated fleet", show_default=False),
    ] = None,
    *,
    add: Annotated[str | None, typer.Option(metavar="JSON", help="a fault or a campaign to schedule")] = None,
    lift: Annotated[str | None, typer.Option(metavar="ID", help="a fault to end, or `all`")] = None,
    json: Json = False,
) -> None:
    """Faults of a running simulated fleet; without FILE the kinds there are, with their parameters."""
    with refusals():
        if file is None:
            if add or lift:
                raise InvalidInput("no fleet is named", where="faults", fix="give the fleet.yaml of a simulated fleet")
            _show_kinds(json)
            return
        simulation = _running(file)
        if add is not None:
            simulation.add_fault(_document(add))
        if lift is not None:
            simulation.lift_fault(None if lift == "all" else lift)
        said = simulation.faults()
    if json:
        print_json(said)
    else:
        _show(file, said)


def _running(file: Path) -> Simulation:
    fleet = load_fleet(file)
    server = fleet.clusters[0].kubernetes.server if fleet.clusters else None
    if not fleet.simulated or server is None:
        raise Refused(
            "is not the fleet of a running simulation", where=str(file), fix="give the fleet.yaml that `up` has written"
        )
    address = urlsplit(server)
    return Simulation(f"{address.scheme}://{address.netloc}", file)


def _document(text: str) -> Any:
    try:
        return json_module.loads(text)
    except ValueError as error:
        raise InvalidInput(f"is not JSON: {error}", where="--add", fix="""give '{"kind": ...}'""") from None


def _show_kinds(json: bool) -> None:
    from deployments.local.faults.kinds import KINDS, Shape

    if json:
        print_json([kind.as_json() for kind in KINDS.values()])
        return
    for kind in KINDS.values():
        own = [each for each in kind.parameters() if each["name"] not in Shape.model_fields]
        named = ", ".join(each["name"] if each["required"] else f"[{each['name']}]" for each in own)
        out.print(Text(kind.name, "bold") + Text(f": {kind.does}", ""), highlight=False, soft_wrap=True)
        if named:
            out.print(f"  parameters: {named}", highlight=False, markup=False, soft_wrap=True)
        example = json_module.dumps(kind.as_json()["example"])
        out.print(f"  example: {example}", highlight=False, markup=False, soft_wrap=True)
    every = [f"{name}: {field.description}" for name, field in Shape.model_fields.items() if not field.is_required()]
    out.print(f"every kind also takes {'; '.join(every)}", highlight=False, markup=False, soft_wrap=True)


def _show(file: Path, said: dict[str, Any]) -> None:
    listed = [fault for state in STATES for fault in said[state]]
    if listed:
        table = Table(title=f"Faults at {said['time']} (simulated)", title_justify="left")
        for heading in ("id", "state", "kind", "parameters", "begins", "ends"):
            table.add_column(heading, overflow="fold")
        table.add_column("struck", justify="right")
        for fault in listed:
            given = ", ".join(f"{name}={value}" for name, value in fault["parameters"].items())
            row = (fault["id"], fault["state"], fault["kind"], given, fault["begins"], fault["ends"] or "when lifted")
            table.add_row(*map(Text, (*row, str(fault["struck"]))))
        out.print(table)
    counted = ", ".join(f"{len(said[state])} {state}" for state in STATES)
    out.print(f"{file}: {count(len(listed), 'fault')} ({counted})", highlight=False, markup=False, soft_wrap=True)
