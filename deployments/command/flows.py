"""`continuum flows`, `continuum logs`: what is deployed, when it runs, how its newest run ended, and what it logged."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from blocks.errors import ContinuumError, InvalidInput, NotFound
from deployments.command.output import Json, err, out, print_json, refusals
from deployments.deploy import declared


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(flows)
    app.command()(logs)


def flows(json: Json = False) -> None:
    """List every flow with its schedule or trigger, and its newest run where a Prefect server answers."""
    rows = rows_declared()
    try:
        add_runs(rows)
    except ContinuumError as error:
        err.print(f"no runs shown: {error}", highlight=False, soft_wrap=True)
    if json:
        print_json(rows)
        return
    table = Table(title="flows", title_justify="left")
    for column in ("deployment", "runs", "last run (UTC)", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        when = row["last_run"][:16].replace("T", " ") if row["last_run"] else ""
        table.add_row(row["deployment"], row["runs"], when, row["last_state"] or "")
    out.print(table)


def logs(
    flow: Annotated[str, typer.Argument(help="a flow or deployment, as `continuum flows` lists them")],
    as_json: Json = False,
) -> None:
    """Print what the newest run of a flow has logged."""
    from blocks.prefect_api import prefect_client
    from deployments.runs import deployment_id, logged, newest_run

    with refusals():
        name = deployment_named(flow)
        with prefect_client("continuum logs") as client:
            found = deployment_id(client, name)
            run = newest_run(client, found) if found else None
            if run is None:
                what = "has not run yet" if found else "is not deployed"
                raise NotFound(what, where=name, fix="run it in the Prefect UI" if found else "continuum deploy")
            lines = list(logged(client, run.id))
        if as_json:
            rows = [{"at": line.timestamp, "level": line.level, "logger": line.name, "message": line.message}
                    for line in lines]  # fmt: skip
            return print_json({"run": run.name, "run_id": str(run.id), "state": run.state_name, "logs": rows})
        err.print(f"{name}: run {run.name}, {run.state_name}", highlight=False, markup=False)
        for line in lines:
            out.print(f"{line.timestamp:%m-%d %H:%M:%S} {escape(line.message)}", highlight=False, soft_wrap=True)
        return None


def deployment_named(text: str) -> str:
    """`flow/deployment` of a deployment, or of a flow whose main deployment is meant.

    Raises
    ------
    InvalidInput: none is called so.

    >>> deployment_named("cluster-scaling"), deployment_named("cluster-scaling-on-event")
    ('cluster-scaling/cluster-scaling', 'cluster-scaling/cluster-scaling-on-event')
    """
    names = [row["deployment"] for row in rows_declared()]
    for name in names:
        if text in (name, name.split("/")[1]):
            return str(name)
    there = ", ".join(name.split("/")[1] for name in names)
    raise InvalidInput("no flow is called so", where=f"flow {text}", fix=f"give one of {there}")


def rows_declared() -> list[dict[str, Any]]:
    """A row for each deployment of prefect.yaml."""
    return [
        {
            "deployment": f"{entry['entrypoint'].rsplit('.', 1)[1].replace('_', '-')}/{entry['name']}",
            "entrypoint": entry["entrypoint"],
            "runs": _when(entry),
            "description": entry["description"],
            "last_run": None, "last_state": None, "next_run": None,
        }
        for entry in declared()
    ]  # fmt: skip


def add_runs(rows: list[dict[str, Any]]) -> None:
    """Fill in the newest run and the next one of each row.

    Raises
    ------
    ContinuumError: no Prefect server is set, or it does not answer.
    """
    from blocks.prefect_api import prefect_client
    from deployments.runs import deployment_id, newest_run, next_run

    with prefect_client("Prefect server") as client:
        for row in rows:
            found = deployment_id(client, row["deployment"])
            last = newest_run(client, found) if found else None
            coming = next_run(client, found) if found else None
            if last and last.start_time:
                row |= {"last_run": last.start_time.isoformat(), "last_state": last.state_name}
            if coming and coming.expected_start_time:
                row["next_run"] = coming.expected_start_time.isoformat()


def _when(entry: dict[str, Any]) -> str:
    if schedules := entry.get("schedules"):
        first = schedules[0]
        return f"every {first['interval'] // 60} min" if "interval" in first else f"at {first['cron']} (cron)"
    events = [name for trigger in entry.get("triggers", ()) for name in trigger["expect"]]
    return f"on {', '.join(events)}" if events else "by hand"
