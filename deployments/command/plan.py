"""`continuum plan`: the newest plan of the day that the store has."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from deployments.command.output import Json, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    fleet: Annotated[str, typer.Option(help="name of the fleet's inventory block")] = "default",
    rows: Annotated[int, typer.Option(min=1, help="actions shown")] = 20,
    json: Json = False,
) -> None:
    """Show the newest 24-hour plan that resource-plan has kept; nothing is planned anew, and nothing acts on it."""
    from blocks.store.series import SeriesStore
    from tasks.resource_plan.record import newest_plan
    from tasks.resource_plan.report import fleet_chart, sections

    with refusals():
        document = newest_plan(SeriesStore.open(), fleet)
    if json:
        print_json(document)
        return
    actions = sections(document)[0]
    simulated = " (simulated fleet)" if document["simulated"] else ""
    table = Table(title=f"plan of {document['as_of'][:16].replace('T', ' ')} UTC{simulated}", title_justify="left")
    for column in actions["table"]["columns"]:
        table.add_column(column, overflow="fold")
    for row in actions["table"]["rows"][:rows]:
        table.add_row(*map(str, row))
    out.print(table)
    for words in actions["paragraphs"]:
        out.print(words, highlight=False)
    out.print(fleet_chart(document), highlight=False, markup=False, soft_wrap=True)
