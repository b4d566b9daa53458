"""`continuum carbon ...`: when flexible jobs are cleanest, what comes, and a paper's table beside ours, offline."""

from __future__ import annotations

import csv
import io
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically

if TYPE_CHECKING:
    from blocks.carbon import CarbonSeries
    from tasks.carbon.decide.plan import Plan
    from tasks.carbon.offline import Reproduced

SHOWN = 5
MOST_PAIRED = 40  # regions of which every pair is told

carbon = typer.Typer(no_args_is_help=True, help="Plan flexible jobs by carbon intensity; nothing is started or moved.")


def register(app: typer.Typer) -> None:
    """Add `continuum carbon`."""
    app.add_typer(carbon, name="carbon")


@carbon.command("plan")
def carbon_plan(
    jobs_file: Annotated[Path, typer.Argument(metavar="JOBS.csv", help="job, arrival, duration_h, slack_h (how much "
                                              "later than arrival it may start), kw[, interruptible]")],
    intensity: Annotated[str, typer.Option(metavar="FILE|ZONE", help="CSV of hour_utc, gco2_per_kwh or one column a "
                                           "zone; a folder of them; or a zone such as DE")],
    zone: Annotated[str, typer.Option(help="which column of a file with several")] = "",
    slack: Annotated[str, typer.Option(help="of jobs without slack_h: 24h, 90min, 2d")] = "24h",
    interruptible: Annotated[bool, typer.Option("--interruptible", help="jobs may pause, unless their column "
                                                "`interruptible` says otherwise")] = False,
    restart_h: Annotated[float, typer.Option("--restart-h", min=0, max=1000, help="hours of full power that each "
                                             "restart of a paused job costs")] = 0.0,
    capacity: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV of hour_utc, kw: the power free for these "
                                                  "jobs; all are then planned together")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="write job, start_utc, end_utc, runs, baseline_g, "
                                                  "planned_g as CSV")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Choose the cheapest start of every job: the bare optimum, without PUE, margins or a least saving."""
    with refusals(), err.status(f"planning {jobs_file}"):
        from tasks.carbon.decide.plan import decide_plan
        from tasks.carbon.files import read_jobs, seconds_of
        from tasks.carbon.offline import grid_of, needed_span, plan_with_capacity, timed, with_intensity

        if capacity and (restart_h or out_file):
            raise InvalidInput("plans without restarts and without a file of starts", where="--capacity",
                               fix="leave --restart-h and --out out")  # fmt: skip
        read = read_jobs(jobs_file, seconds_of(slack, "--slack"), interruptible)
        series, jobs = with_intensity(intensity, zone, read)
        series = needed_span(series, jobs) if capacity else series
        grid = grid_of(series)
        plan, seconds = timed(lambda: decide_plan(grid, jobs, restart_h))
        if not plan.covered.any():
            _refuse_all(jobs_file, series)
        record = _record(plan, series, seconds)
        if capacity:
            tight, more = timed(lambda: plan_with_capacity(capacity, grid, jobs))
            record |= _totals(tight.baseline_g, tight.planned_g) | {"seconds": more, "gap": tight.gap}
    if out_file:
        _write(out_file, read.names, plan)
    _tell_left_out(jobs_file, read.names, plan)
    if as_json:
        print_json(record)
        return
    _show(record, str(capacity) if capacity else "")


@carbon.command("forecast")
def carbon_forecast(
    zone: Annotated[str, typer.Argument(metavar="ZONE|FILE", help="a zone of the hourly files in CONTINUUM_DATA, or "
                                        "a CSV of hour_utc, gco2_per_kwh")],
    column: Annotated[str, typer.Option("--zone", help="which column of a file with several")] = "",
    hours: Annotated[int, typer.Option(min=1, max=96, help="how far ahead")] = 48,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Forecast the hours after a history by the method that chose the cleanest hours of its last quarter."""
    with refusals(), err.status(f"forecasting {zone}"):
        from tasks.carbon.decide.forecast import decide_forecast
        from tasks.carbon.offline import grid_of, history_of, timed, utc

        series = history_of(zone, column)
        told, seconds = timed(lambda: decide_forecast(grid_of(series), hours))
    if as_json:
        captured = {name: None if isnan(share) else share for name, share in told.captured.items()}
        print_json({"zone": series.zone, "start": utc(told.start_s), "gco2_per_kwh": told.g_per_kwh,
                    "method": told.method, "captured_ratio": captured, "history": series.method,
                    "source": series.source, "seconds": seconds})  # fmt: skip
        return
    table = Table("hour (UTC)", "g CO2e/kWh")
    for hour, value in enumerate(told.g_per_kwh):
        table.add_row(utc(told.start_s + hour * 3600), f"{value:.1f}")
    out.print(table)
    out.print(f"{told.method}: took {told.captured[told.method]:.0%} of the saving that perfect knowledge gives "
              f"jobs of 6 h with 24 h slack in the last quarter of the history ({series.source}, ending there).",
              highlight=False, markup=False, soft_wrap=True)  # fmt: skip


@carbon.command("regions")
def carbon_regions(
    file: Annotated[Path, typer.Argument(metavar="REGIONS.csv", help="hour_utc, zone, gco2_per_kwh, renewable_pct"
                                         "[, pue]: a row a region and hour")],
    by: Annotated[str, typer.Option(help="emissions, or environmental-score: the seed's 0.4 carbon + 0.4 renewables + "
                                    "0.2 PUE, which picks dirtier regions")] = "emissions",
    hours: Annotated[int, typer.Option(min=1, max=8760, help="how long the job runs")] = 1,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Choose the region and hour of a job, and tell in how many hours the seed's score picks a dirtier region."""
    with refusals(), err.status(f"reading {file}"):
        from itertools import combinations

        from tasks.carbon.decide.regions import RULES, decide_region, score_errs
        from tasks.carbon.regions_file import hour_of, read_regions

        if by not in RULES:
            raise InvalidInput(f"no rule is named {by!r}", where="--by", fix=f"use {' or '.join(RULES)}")
        read = read_regions(file)
        given = read.g_per_kwh, read.renewable_ratio, read.pue
        chosen = {rule: decide_region(*given, hours, rule) for rule in RULES}
        errs = score_errs(*given)
        pairs = {f"{read.zones[a]}-{read.zones[b]}": score_errs(*(each[[a, b]] for each in given))
                 for a, b in combinations(range(len(read.zones))[:MOST_PAIRED], 2)}  # fmt: skip
    told = {
        rule: {"zone": read.zones[each.region], "start": hour_of(read.hours_s[each.hour]), "g_per_kwh": each.g_per_kwh}
        for rule, each in chosen.items()
    }
    if as_json:
        print_json({"by": by, **told[by], "rules": told, "hours": len(read.hours_s), "score_dirtier": vars(errs),
                    "score_dirtier_by_pair": {name: vars(each) for name, each in pairs.items()},
                    "left_out": read.refused})  # fmt: skip
        return
    for line in read.refused:
        err.print(line, highlight=False, markup=False, soft_wrap=True)
    other = next(rule for rule in RULES if rule != by)
    here, there = told[by], told[other]
    for line in (
        f"{hours} h in {here['zone']} from {here['start']}: {here['g_per_kwh']:.1f} g CO2e a kWh of IT, by {by}.",
        f"By {other}: {there['zone']} from {there['start']}, {there['g_per_kwh']:.1f} g.",
        f"The environmental score picks a dirtier region than the cleanest in {errs.hours_ratio:.1%} of "
        f"{len(read.hours_s):,} hours; {errs.times:.2f} times its CO2e then.",
    ):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for name, each in sorted(pairs.items(), key=lambda item: -item[1].hours_ratio)[:SHOWN]:
        if each.hours_ratio:
            out.print(f"  {name}: {each.hours_ratio:.1%}, {each.times:.2f} times", highlight=False, markup=False)


@carbon.command("reproduce")
def carbon_reproduce(
    paper: Annotated[str, typer.Argument(help="eurosys24: the limits of shifting (Sukprasert et al., 2024)")],
    as_json: Json = False,
) -> None:
    """Compute a paper's table again on its own data (CONTINUUM_DATA) and print it beside the published one."""
    with refusals(), err.status("reading the paper's data") as status:
        from tasks.carbon.offline import reproduce_eurosys24

        if paper != "eurosys24":
            raise InvalidInput(f"no paper is named {paper!r}", where="reproduce", fix="use eurosys24")
        found = reproduce_eurosys24(lambda hours: status.update(f"every start of jobs of {hours} h"))
    if as_json:
        print_json(found.to_record())
        return
    _show_paper(found)


def _refuse_all(jobs_file: Path, series: CarbonSeries) -> None:
    from tasks.carbon.offline import utc

    raise InvalidInput("no job lies inside the intensity data", where=str(jobs_file),
                       fix=f"they cover {utc(series.start_s)} to {utc(series.end_s)}")  # fmt: skip


def _totals(baseline_g: Any, planned_g: Any) -> dict[str, float]:
    from numpy import nansum

    baseline, planned = float(nansum(baseline_g)), float(nansum(planned_g))
    return {"baseline_g": baseline, "planned_g": planned,
            "saving_ratio": 1 - planned / baseline if baseline > 0 else 0.0}  # fmt: skip


def _record(plan: Plan, series: CarbonSeries, seconds: float) -> dict[str, Any]:
    return {
        "jobs": int(plan.covered.sum()), **_totals(plan.baseline_g, plan.planned_g), "seconds": seconds,
        "left_out": int((~plan.covered).sum()), "windows_cut": int(plan.cut.sum()),
        "intensity": {"zone": series.zone, "method": series.method, "signal": series.signal, "source": series.source},
    }  # fmt: skip


def _tell_left_out(jobs_file: Path, names: tuple[str, ...], plan: Plan) -> None:
    left = [names[row] for row, inside in enumerate(plan.covered.tolist()) if not inside]
    if left:
        shown = ", ".join(left[:SHOWN]) + (f" and {len(left) - SHOWN} more" if len(left) > SHOWN else "")
        err.print(f"{jobs_file}: left out, as the intensity does not cover their run at arrival: {shown}",
                  highlight=False, markup=False, soft_wrap=True)  # fmt: skip


def _write(file: Path, names: tuple[str, ...], plan: Plan) -> None:
    from tasks.carbon.offline import plan_rows

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("job", "start_utc", "end_utc", "runs", "baseline_g", "planned_g"))
    rows.writerows(plan_rows(names, plan))
    write_atomically(file, text.getvalue())
    err.print(f"wrote {file}", highlight=False, soft_wrap=True)


def _show(record: dict[str, Any], capacity: str) -> None:
    told = record["intensity"]
    out.print(f"{record['jobs']:,} jobs emit {record['planned_g'] / 1000:,.4g} kg CO2e instead of "
              f"{record['baseline_g'] / 1000:,.4g} kg at arrival: {record['saving_ratio']:.2%} less. "
              f"{record['seconds']:.2f} s.", highlight=False, soft_wrap=True)  # fmt: skip
    within = f"within the capacity of {capacity}" if capacity else "without a capacity limit, PUE or margins"
    out.print(f"Known in advance, {within}. Intensity: {told['method']}, {told['signal']} ({told['source']}).",
              highlight=False, markup=False, soft_wrap=True)  # fmt: skip
    if record["windows_cut"]:
        out.print(f"{record['windows_cut']:,} windows reach past the end of the data and were cut there.",
                  highlight=False, soft_wrap=True)  # fmt: skip


def _show_paper(found: Reproduced) -> None:
    from tasks.carbon.offline import EUROSYS_MOVES, EUROSYS_PAPER

    table = Table(title="% of the mean intensity saved with 24 h slack, 123 zones of 2022", title_justify="left")
    for head in ("job h", "deferral: paper", "ours", "interruption adds: paper", "ours"):
        table.add_column(head, justify="right")
    for hours, each in found.temporal.items():
        deferral, interruption = EUROSYS_PAPER[hours]
        table.add_row(str(hours), f"{deferral:.2f}", f"{each.deferral:.3f}", f"{interruption:.2f}",
                      f"{abs(each.interruption):.3f}")  # fmt: skip
    out.print(table)
    one, all_moves = EUROSYS_MOVES
    out.print(f"Moving once to the cleanest zone saves {found.spatial.one_move:.3f} g/kWh (paper {one}), following the "
              f"cleanest hour by hour {found.spatial.infinite_moves:.3f} (paper {all_moves}): limits that no one "
              "reaches, without latency or capacity.", highlight=False, soft_wrap=True)  # fmt: skip
