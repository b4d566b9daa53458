"""`continuum status`: the fleet, last and next runs, what waits for a person, and how well it went, on one page."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from blocks.errors import ContinuumError
from blocks.store import Journal, Store
from blocks.store.tables import UNFINISHED, State
from deployments.command.flows import add_runs, rows_declared
from deployments.command.output import Json, out, print_json, refusals

WEEK = timedelta(days=7)
_SCORED = ("violation_minutes", "node_hours", "minutes")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    name: Annotated[str, typer.Option("--fleet", help="name of the fleet's inventory block")] = "default",
    as_json: Json = False,
) -> None:
    """Show the fleet, its health, last and next runs, open approvals, freezes, unfinished changes, the week's score."""
    with refusals():
        store = Store.open()
        rows = rows_declared()
        trouble: list[str] = []
        fleet = _asked(lambda: _fleet(name), trouble)
        _asked(lambda: add_runs(rows), trouble)
        approvals = _asked(lambda: _approvals(store), trouble) or []
        found = {
            "fleet": fleet, "health": _said(store, "fleet-monitoring", name, 0),
            "scorecard": _said(store, "fleet-scorecard", name, 1), "flows": rows,
            "approvals": approvals, "trouble": list(dict.fromkeys(trouble)),
            "freezes": [freeze.scope for freeze in Journal(store).freezes()],
            "unfinished": {state: len(Journal(store).intents(state=State(state), limit=1000)) for state in UNFINISHED},
            "scaling_week": _score(store),
        }  # fmt: skip
        return print_json(found) if as_json else _tell(found)


def _asked(ask: Any, trouble: list[str]) -> Any:
    """What a part of the page holds; None, and a line of trouble, where it cannot be asked."""
    try:
        return ask()
    except ContinuumError as error:
        trouble.append(str(error))
        return None


def _said(store: Store, flow: str, fleet: str, place: int) -> dict[str, str] | None:
    """What a paragraph of the newest pass of a flow said, and when; None before the first."""
    for row in store.sections(flow=flow, subject=fleet):
        return {"words": row.content["paragraphs"][place], "at": row.created_at.isoformat()}
    return None


def _fleet(name: str) -> dict[str, Any]:
    from blocks.inventory import load_stored_fleet

    fleet = load_stored_fleet(name)
    return {"name": fleet.name, "simulated": fleet.simulated, "sites": len(fleet.sites),
            "clusters": len(fleet.clusters), "pools": len(fleet.pools())}  # fmt: skip


def _approvals(store: Store) -> list[dict[str, Any]]:
    from deployments.approvals import waiting

    return [{"run": each.run_name, "flow": each.flow, "changes": len(each.changes), "lapses_at": each.lapses_at}
            for each in waiting(store)]  # fmt: skip


def _score(store: Store) -> dict[str, dict[str, float]]:
    """Over the last seven scored days, by method: violation minutes, node-hours, pool-minutes of cluster-scaling."""
    newest = store.scorecards(flow="cluster-scaling", limit=1)
    if not newest:
        return {}
    sums = store.score_sums("cluster-scaling", _SCORED, newest[0].period_end - WEEK, methods=("ours", "live"))
    found: dict[str, dict[str, float]] = {}
    for (_, method), scores in sums.items():
        for name, value in scores.items():
            found.setdefault(method, dict.fromkeys(_SCORED, 0.0))[name] += value
    return found


def _tell(found: dict[str, Any]) -> None:
    fleet = found["fleet"]
    if fleet:
        kind = " (simulated)" if fleet["simulated"] else ""
        counts = f"{fleet['clusters']} clusters, {fleet['pools']} node pools, {fleet['sites']} sites"
        out.print(f"[bold]fleet {fleet['name']}[/bold]{kind}: {counts}", highlight=False)
    out.print(
        _line(found["health"], "Health is not known: fleet-monitoring has not run."), highlight=False, soft_wrap=True
    )
    table = Table("flow", "last run (UTC)", "state", "next (UTC)")
    for row in found["flows"]:
        table.add_row(
            row["deployment"].split("/")[1], _short(row["last_run"]), row["last_state"] or "", _short(row["next_run"])
        )
    out.print(table)
    for each in found["approvals"]:
        what = f"{each['flow']}, {each['changes']} changes: continuum approve {each['run']}"
        out.print(f"[bold]waits for you[/bold]: {what}", highlight=False, soft_wrap=True)
    if not found["approvals"]:
        out.print("no approval is open")
    for scope in found["freezes"]:
        out.print(f"[bold]frozen[/bold]: {scope}", highlight=False)
    if open_ones := sum(found["unfinished"].values()):
        out.print(f"{open_ones} changes are not finished: continuum journal list --state started", highlight=False)
    out.print(_score_line(found["scaling_week"]), highlight=False, soft_wrap=True)
    out.print(_line(found["scorecard"], "fleet-scorecard has not run."), highlight=False, soft_wrap=True)
    for line in found["trouble"]:
        out.print(f"[red]not asked[/red] {line}", highlight=False, soft_wrap=True)


def _line(said: dict[str, str] | None, else_: str) -> str:
    return f"{said['words']} ({_short(said['at'])} UTC)" if said else else_


def _short(moment: str | None) -> str:
    return moment[5:16].replace("T", " ") if moment else ""


def _score_line(week: dict[str, dict[str, float]]) -> str:
    if {"ours", "live"} - week.keys():
        return "scaling: not scored yet"
    ours, live = week["ours"], week["live"]
    said = [f"{each['violation_minutes']:,.0f} violation minutes, {each['node_hours']:,.0f} node-hours"
            for each in (ours, live)]  # fmt: skip
    return f"scaling, last 7 scored days: {said[0]} by our sizes; {said[1]} by what was live"
