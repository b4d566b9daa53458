"""`continuum flows`: what is deployed, when it runs, and how its newest run ended."""

from __future__ import annotations

import asyncio
from typing import Any

import typer
import yaml
from rich.table import Table

from deployments.command.output import Json, err, out, print_json
from deployments.up import deployments_folder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(flows)


def flows(json: Json = False) -> None:
    """List every flow with its schedule or trigger, and its newest run where a Prefect server answers."""
    rows = _declared()
    try:
        newest = asyncio.run(_newest_runs())
    except OSError as error:
        newest = {}
        err.print(f"no runs shown: the Prefect server does not answer ({error}). To mend it: set PREFECT_API_URL")
    for row in rows:
        row |= newest.get(row["deployment"], {"last_run": None, "last_state": None})
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


def _declared() -> list[dict[str, Any]]:
    """The deployments of prefect.yaml."""
    declared = yaml.safe_load((deployments_folder() / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    return [
        {
            "deployment": f"{entry['entrypoint'].rsplit('.', 1)[1].replace('_', '-')}/{entry['name']}",
            "entrypoint": entry["entrypoint"],
            "runs": _when(entry),
            "description": entry["description"],
        }
        for entry in declared
    ]


def _when(entry: dict[str, Any]) -> str:
    if schedules := entry.get("schedules"):
        return f"every {schedules[0]['interval'] // 60} min"
    events = [name for trigger in entry.get("triggers", ()) for name in trigger["expect"]]
    return f"on {', '.join(events)}" if events else "by hand"


async def _newest_runs() -> dict[str, dict[str, str | None]]:
    """By deployment, the newest run that has started; empty where no server is set."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterStartTime
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ConnectionError("PREFECT_API_URL is not set")
    found: dict[str, dict[str, str | None]] = {}
    try:
        async with get_client() as client:
            for row in _declared():
                try:
                    deployment = await client.read_deployment_by_name(row["deployment"])
                except ObjectNotFound:
                    continue
                of_it = FlowRunFilter(
                    deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
                    start_time=FlowRunFilterStartTime(is_null_=False),
                )
                runs = await client.read_flow_runs(flow_run_filter=of_it, sort=FlowRunSort.START_TIME_DESC, limit=1)
                if runs and runs[0].start_time:
                    found[row["deployment"]] = {
                        "last_run": runs[0].start_time.isoformat(), "last_state": runs[0].state_name,
                    }  # fmt: skip
    except (httpx.HTTPError, RuntimeError) as error:
        raise ConnectionError(str(error)) from None
    return found
