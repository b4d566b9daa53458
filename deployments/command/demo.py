"""`continuum demo`: everything once, against the simulated fleet."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    resume: Annotated[bool, typer.Option("--resume", help="go on with a demo that was interrupted or killed")] = False,
    speed: Annotated[float, typer.Option(min=1, max=600, help="simulated seconds per second")] = 60.0,
    seed: Annotated[int, typer.Option(help="of the simulated fleet")] = 7,
    json: Json = False,
) -> None:
    """Forecast and scale a simulated fleet with the real flows, in act mode, and write report.html."""
    from deployments.demo import as_json, run_demo
    from deployments.place import terminate_like_interrupt

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


def _print(outcome: Any) -> None:
    table = Table(title=f"{outcome.fleet} fleet: what was forecast, decided and done", title_justify="left")
    for column in ("time (UTC)", "pool", "forecast peak (p90)", "nodes", "decided", "done"):
        table.add_column(column)
    for row in outcome.decisions:
        if row["action"] == "hold":
            continue
        peak, result = row["promised"]["peak_nodes"], row["result"] or {}
        nodes = f"{row['current']} to {row['target']}" if row["target"] != row["current"] else f"{row['current']}"
        table.add_row(
            row["as_of"][11:16], row["unique_id"], "unknown" if peak is None else f"{peak:.1f} nodes full", nodes,
            row["words"].split(": ", 1)[1], f"{result['state']}: {result['detail']}" if result else "",
        )  # fmt: skip
    out.print(table)
    for row in outcome.ahead_of_demand:
        out.print(
            f"ahead of demand: {row['pool']} had {row['to_nodes']} nodes Ready at {row['nodes_ready'][11:16]} UTC, "
            f"{row['lead_minutes']} min before its demand outgrew {row['from_nodes']} nodes",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    for row in outcome.left_over:
        out.print(f"left over from the killed run: {row['subject']}: {row['state']}: {row['detail']}", highlight=False)
    held = sum(row["action"] == "hold" for row in outcome.decisions)
    out.print(f"{len(outcome.flows)} flow runs, {held} decisions to leave a pool as it is, report in {outcome.report}",
              highlight=False, soft_wrap=True)  # fmt: skip
    out.print(f"its journal: CONTINUUM_HOME={outcome.home} continuum journal list", highlight=False, soft_wrap=True)
