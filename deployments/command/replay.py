"""`continuum replay ...`: what a flow would have decided over a history, and what it would have cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically
from deployments.command.series_options import Freq, TimeZone, step_of, tell, zone_of

if TYPE_CHECKING:
    from blocks.series import Calendar, Series
    from tasks.scaling.ground import Ground
    from tasks.scaling.offline import Replayed

replays = typer.Typer(no_args_is_help=True, help="Play policies over your own history.")


def register(app: typer.Typer) -> None:
    """Add `continuum replay`."""
    app.add_typer(replays, name="replay")


@replays.command("scaling")
def replay_scaling(
    demand: Annotated[
        Path,
        typer.Argument(metavar="DEMAND", help="CPU demand as CSV or Parquet, as for `forecast`; or a fleet.yaml: then "
                       "its pools and their demand in its Prometheus"),
    ],
    pool: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML that describes the pool behind each series: "
                    "node_cpu, min_nodes, max_nodes, boot_s, instance_type, price_usd_per_hour, grid_zone, ...; else "
                    "the 99th percentile of a series is 20 nodes, with 2 to 40 of them")] = None,
    policy: Annotated[str, typer.Option(help="policies, separated by commas: predictive, target-tracking, seed, "
                                        "schedule")] = "predictive,target-tracking,seed",
    boot_minutes: Annotated[int, typer.Option(min=1, max=60, help="from the request to a Ready node")] = 4,
    every_minutes: Annotated[int, typer.Option(min=1, max=60, help="minutes between decisions")] = 1,
    days: Annotated[int | None, typer.Option(min=2, max=366, help="only the newest days of the history")] = None,
    freq: Freq = None,
    time_zone: TimeZone = "UTC",
    out_file: Annotated[Path | None, typer.Option("--out", help="write tables and plot as an HTML file")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Run scaling policies over past demand: violation minutes, node-hours, USD, gCO2e and changes of each.

    A violation is a minute with demand above 90 % of the Ready nodes; nodes that boot are paid; the oracle sees 15
    minutes ahead and never violates. Settings are chosen on the first half of the time and scored on the second.
    """
    with refusals():
        step_s, zone, names = step_of(freq), zone_of(time_zone), _names(policy)
        with err.status(f"reading {demand}"):
            history, ground, calendar, notes, left_out = _read(demand, pool, step_s, zone, days)
        from tasks.scaling.offline import replay_policies
        from tasks.scaling.replay_report import replay_sections

        tell(notes, left_out)
        with Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), console=err) as bar:
            tasks: dict[str, Any] = {}

            def told(what: str, share: float) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=1.0)
                bar.update(tasks[what], completed=share)

            done = replay_policies(history, ground, names, boot_min=boot_minutes, every_min=every_minutes,
                                   calendar=calendar, told=told)  # fmt: skip
            for task in tasks.values():
                bar.update(task, completed=1.0)
        sections = replay_sections(done, boot_minutes, every_minutes)
        if out_file:
            from deployments.report import render

            footer = "Settings are chosen on the first half of the time and scored on the second."
            html = render(sections, title="Replay of scaling policies", subtitle=f"Demand of {demand}", footer=footer,
                          simulated=False)  # fmt: skip
            write_atomically(out_file, html)
            err.print(f"wrote {out_file}", highlight=False, soft_wrap=True)
        if as_json:
            print_json(_document(done, notes, left_out))
        else:
            _show(sections, done)


def _names(policy: str) -> list[str]:
    names = [name.strip() for name in policy.split(",") if name.strip()]
    if not names:
        raise InvalidInput("no policy is named", where="--policy", fix="write --policy predictive,target-tracking,seed")
    return list(dict.fromkeys(names))


def _read(
    demand: Path, pool: Path | None, step_s: int | None, zone: str, days: int | None
) -> tuple[Series, Ground, Calendar | None, list[str], list[str]]:
    """History, pools, calendar, rules that were applied, and what was left out."""
    from tasks.scaling.ground import ground_of_file, ground_of_fleet, plain_ground

    if demand.suffix in (".yaml", ".yml"):
        from blocks.fleet_file import load_fleet
        from tasks.forecasting.observe import cpu_demand_of_fleet

        if pool:
            raise InvalidInput("the pools of a fleet.yaml are in it already", where="--pool", fix="leave --pool out")
        fleet = load_fleet(demand)
        history, trouble = cpu_demand_of_fleet(fleet, days or 14, step_s or 300)
        return history, ground_of_fleet(fleet, history), None, [], trouble
    from tasks.forecasting.files import read_history

    found = read_history(demand, step_s, zone)
    history = found.history
    if days:
        columns = days * 86_400 // history.step_s
        begin = max(history.values.shape[1] - columns, 0)
        history = replace(history, start_s=history.start_s + begin * history.step_s, values=history.values[:, begin:])
    ground = ground_of_file(pool, history) if pool else plain_ground(history)
    return history, ground, found.calendar, found.notes, found.refused


def _document(done: Replayed, notes: list[str], left_out: list[str]) -> dict[str, Any]:
    return {
        "policies": {
            name: {
                "violation_minutes_per_day": score.violation_minutes_per_day,
                "node_hours_ratio": score.node_hours_ratio,
                "usd": score.usd,
                "gco2e": score.carbon_g,
                "changes_per_day": score.changes_per_day,
                "node_hours": score.node_hours,
                "setting": score.setting,
            }
            for name, score in done.policies.items()
        },
        "frontiers": {name: [list(point) for point in score.frontier] for name, score in done.policies.items()},
        "oracle": {"node_hours": done.oracle_node_hours, "violation_minutes_per_day": 0.0},
        "scored_days": done.days,
        "series": done.series,
        "notes": notes,
        "left_out": left_out,
    }


def _show(sections: list[dict[str, Any]], done: Replayed) -> None:
    """Tables and, last, the picture."""
    from tasks.scaling.replay_report import scatter

    for section in sections:
        table = Table(title=section["title"])
        for place, head in enumerate(section["table"]["columns"]):
            table.add_column(head, justify="left" if place == 0 else "right", overflow="fold")
        for row in section["table"]["rows"]:
            table.add_row(*(str(cell) for cell in row))
        out.print(table)
        for paragraph in section["paragraphs"]:
            out.print(paragraph, highlight=False)
    out.print(scatter({name: score.frontier for name, score in done.policies.items()}), highlight=False, markup=False)
