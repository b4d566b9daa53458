"""`continuum demo`: everything once, against the simulated fleet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from deployments.command.output import Json, err, out, print_json, refusals
from tasks.forecasting.kinds import SHOWN

if TYPE_CHECKING:
    from deployments.evidence import Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    resume: Annotated[bool, typer.Option("--resume", help="go on with a demo that was interrupted or killed")] = False,
    speed: Annotated[float, typer.Option(min=1, max=600, help="simulated seconds per second")] = 60.0,
    seed: Annotated[int, typer.Option(help="of the simulated fleet")] = 19,
    json: Json = False,
) -> None:
    """Forecast and scale a simulated fleet with the real flows, in act mode, and write report.html."""
    from deployments.demo import as_json, run_demo
    from deployments.own_home import terminate_like_interrupt

    terminate_like_interrupt()
    try:
        with refusals(), err.status("starting") as status:
            outcome = run_demo(resume=resume, speed=speed, seed=seed, progress=status.update)
    except KeyboardInterrupt:
        err.print("stopped; nothing is left running. To go on: continuum demo --resume", highlight=False)
        raise typer.Exit(130) from None
    if json:
        print_json(as_json(outcome))
    else:
        _print(outcome)
    for problem in outcome.problems:
        err.print(f"[red]problem[/red] {problem}", highlight=False, soft_wrap=True)
    if outcome.problems:
        raise typer.Exit(1)


def _print(outcome: Outcome) -> None:
    """One row a pool that fits eighty columns; the reasons follow as sentences."""
    from deployments.demo_caches import summary
    from deployments.demo_models import summary as told_model

    table = Table(title=f"{outcome.fleet} fleet: forecast, decided and done", title_justify="left")
    for column in ("pool", "forecast peak", "nodes", "outcome"):
        table.add_column(column)
    for pool in dict.fromkeys(row["unique_id"] for row in outcome.decisions):
        rows = [row for row in outcome.decisions if row["unique_id"] == pool]
        sizes = [rows[0]["current"], *(row["target"] for row in rows if _done(row))]
        by = "" if rows[0]["actuator"] in ("desired", "power", "patch") else f"{rows[0]['actuator']} "
        table.add_row(pool, _peak(rows[-1]), by + " > ".join(map(str, sizes)), _ends(rows))
    out.print(table)
    for row in outcome.decisions:
        if row["action"] != "hold":
            end = f"; {row['result']['state']}: {row['result']['detail']}" if row["result"] else ""
            out.print(f"{row['as_of'][11:16]} UTC  {row['words']}{end}", highlight=False, soft_wrap=True)
    for row in outcome.ahead_of_demand:
        out.print(
            f"[green]ahead of demand[/green]  {row['pool']}: {row['to_nodes']} nodes were Ready at "
            f"{row['nodes_ready'][11:16]} UTC, {row['lead_minutes']} min before demand outgrew {row['from_nodes']}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    for row in outcome.held:
        out.print(f"[green]held up[/green]  {row['pool']}: {row['setting']} (before: {row['before']})", highlight=False)
    for row in outcome.moved:
        out.print(f"[green]moved[/green]  {row['words']}; {row['detail']}", highlight=False, soft_wrap=True)
    if outcome.energy:
        out.print(f"[green]last hour[/green]  {outcome.energy['summary']}", highlight=False, soft_wrap=True)
    if outcome.cleaner:
        out.print(f"[green]cleaner hour[/green]  {outcome.cleaner['words']}", highlight=False, soft_wrap=True)
    if outcome.caches:
        out.print(f"[green]edge caches[/green]  {summary(outcome.caches)}", highlight=False, soft_wrap=True)
    if outcome.models:
        out.print(f"[green]edge model[/green]  {told_model(outcome.models)}", highlight=False, soft_wrap=True)
    for row in outcome.left_over:
        out.print(f"left by the killed run  {row['subject']}: {row['state']}: {row['detail']}", highlight=False)
    for line in (
        f"{len(outcome.flows)} flow runs on a simulated fleet at {outcome.speed:g} times real speed",
        f"report: {outcome.report}",
        f"its journal: CONTINUUM_HOME={outcome.home} {sys.argv[0]} journal list",
    ):
        out.print(line, highlight=False, soft_wrap=True)


def _done(row: dict[str, Any]) -> bool:
    return bool(row["result"]) and row["result"]["state"] == "done"


def _peak(row: dict[str, Any]) -> str:
    """The forecast peak of the resource that binds, with its unit."""
    for reason in row["reasons"]:
        if reason["code"] == "forecast-peak":
            word, unit, one = SHOWN[reason["resource"]]
            peak = reason["numbers"]["peak_" + reason["resource"]]
            return f"{peak / one:.1f} {unit} {word}"
    return "no forecast"


def _ends(rows: list[dict[str, Any]]) -> str:
    """How many changes were done, refused, or not needed."""
    counts = {
        "done": sum(map(_done, rows)),
        "refused": sum(row["action"] == "refuse" or bool(row["result"] and not _done(row)) for row in rows),
        "held": sum(row["action"] == "hold" for row in rows),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
