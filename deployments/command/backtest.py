"""`continuum backtest FILE ...`: score the forecasting models on the past of CSV or Parquet files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals
from deployments.command.series_options import (
    Freq,
    Horizon,
    Levels,
    TimeZone,
    check_count,
    percents_of,
    step_of,
    tell,
    zone_of,
)

if TYPE_CHECKING:
    from tasks.forecasting.scoring import FileScores, Panel

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT...", help="CSV or Parquet files, each a panel; one model is fitted on all of them"),
]
Origins = Annotated[int, typer.Option(help="moments of each file's last quarter to forecast from")]
Models = Annotated[str, typer.Option(help="auto (all), or some of linear,trees,seasonal-naive,last-value")]


def register(app: typer.Typer) -> None:
    """Add `continuum backtest`."""
    app.command("backtest")(backtest_command)


def backtest_command(
    files: Inputs,
    freq: Freq = None,
    horizon: Horizon = 24,
    origins: Origins = 40,
    models: Models = "auto",
    levels: Levels = "80,95",
    time_zone: TimeZone = "UTC",
    as_json: Json = False,
) -> None:
    """Score models on the past of files: forecast from many moments, and compare with what came."""
    with refusals():
        check_count(horizon, "--horizon")
        check_count(origins, "--origins")
        from tasks.forecasting.scoring import engines_of, score_files

        engines, percents, step_s, zone = engines_of(models), percents_of(levels), step_of(freq), zone_of(time_zone)
        panels, notes, left_out = _panels(files, step_s, horizon, zone)
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("panels"),
                      console=err, transient=True) as bar:  # fmt: skip
            task = bar.add_task("backtest", total=len(panels))
            scores = score_files(
                panels, horizon, percents, engines, origins,
                lambda engine, done: bar.update(task, description=f"{engine}: {_next(panels, done)}", completed=done),
            )  # fmt: skip
        for name, spent in scores.cpu_s.items():
            err.print(f"{name}: {len(panels)} panel(s), {scores.forecasts} forecasts in {spent:.2f} CPU-s",
                      highlight=False, soft_wrap=True)  # fmt: skip
        tell(scores.notes, [])
        if as_json:
            print_json(_document(scores, panels, notes + scores.notes, left_out))
        else:
            out.print(_table(scores, panels, horizon))


def _panels(files: list[Path], step_s: int | None, horizon: int, zone: str) -> tuple[list[Panel], list[str], list[str]]:
    """The files that can be scored, notes, and what was left out: lines that name the file.

    Raises
    ------
    InvalidInput: a file is there twice, or none can be scored.
    """
    from tasks.forecasting.files import read_history
    from tasks.forecasting.scoring import Panel, why_too_short

    panels: list[Panel] = []
    notes: list[str] = []
    left_out: list[str] = []
    twice = next((file for place, file in enumerate(files) if file in files[:place]), None)
    if twice:
        raise InvalidInput("this file is named twice", where=str(twice), fix="name each file once")
    for file in files:
        try:
            with err.status(f"reading {file}"):
                found = read_history(file, step_s or (panels[0].file.history.step_s if panels else None), zone)
        except InvalidInput as error:
            if len(files) == 1:
                raise
            left_out.append(f"{error}: file left out")
            tell([], left_out[-1:])
            continue
        short = why_too_short(found, horizon)
        left = [*found.refused, *([f"{short}: file left out"] if short else [])]
        tell(found.notes, left, str(file))
        notes += [f"{file}: {note}" for note in found.notes]
        left_out += [f"{file}: {line}" for line in left]
        if not short:
            panels.append(Panel(str(file), found))
    if not panels:
        raise InvalidInput(f"no file is left to score ({left_out[-1]})", where="backtest",
                           fix="give a longer history, or a shorter --horizon")  # fmt: skip
    return panels, notes, left_out


def _next(panels: list[Panel], done: int) -> str:
    return panels[min(done, len(panels) - 1)].name


def _document(scores: FileScores, panels: list[Panel], notes: list[str], left_out: list[str]) -> dict[str, Any]:
    return {
        "models": {name: _fields(scores, name) for name in scores.lines},
        "panels": [{"file": panel.name, "series": len(panel.file.history.unique_id),
                    "steps": panel.file.history.values.shape[1], "step_s": panel.file.history.step_s,
                    "origins": scores.origins[panel.name]} for panel in panels],
        "best": scores.best(),
        "notes": notes,
        "left_out": left_out,
    }  # fmt: skip


def _fields(scores: FileScores, name: str) -> dict[str, Any]:
    """The fields that the format fixes, then ours; null where nothing defines a score."""
    line, cpu_s = scores.lines[name], scores.cpu_s[name]
    numbers: dict[str, Any] = {
        "mase": line.mase,
        "wql": line.wql,
        "coverage_80": line.coverage[80],
        "coverage_95": line.coverage[95],
        "coverage_80_worst_panel": line.worst_panel[80],
        "series_within_5_points": line.within[5],
        "series_within_8_points": line.within[8],
        "cpu_s": cpu_s,
        "series_per_cpu_s": scores.forecasts / cpu_s if cpu_s > 0 else math.nan,
        "coverage_95_worst_panel": line.worst_panel[95],
        **{f"coverage_{percent:g}": share for percent, share in line.coverage.items() if percent not in {80, 95}},
        "peak_coverage_90": line.peak_coverage,
        "mase_to_seasonal_naive": line.mase_to_seasonal_naive,
        "wql_to_seasonal_naive": line.wql_to_seasonal_naive,
    }
    rounded = {key: round(value, 6) if math.isfinite(value) else None for key, value in numbers.items()}
    return {**rounded, "windows": line.windows}


def _table(scores: FileScores, panels: list[Panel], horizon: int) -> Table:
    """A line a model; the best of each column is marked."""
    series, step_s = sum(len(panel.file.history.unique_id) for panel in panels), panels[0].file.history.step_s
    table = Table(title=f"Backtest of {horizon} steps of {step_s} s ({horizon * step_s / 3600:.3g} h)", box=SIMPLE_HEAD,
                  padding=(0, 1, 0, 0), pad_edge=False,
                  caption=f"{len(panels)} panel(s), {series} series, {scores.forecasts} forecasts a model. Best "
                          "marked *: lowest MASE and WQL; shares in the 80 and 95 % bands, also of the worst panel, "
                          "nearest to 80 and 95 %; most series within 8 points of both (±8)")  # fmt: skip
    table.add_column("model", no_wrap=True)
    columns = {
        "MASE": ({name: line.mase for name, line in scores.lines.items()}, ".3f", 0.0),
        "WQL": ({name: line.wql for name, line in scores.lines.items()}, ".4f", 0.0),
        "/ naive": ({name: line.mase_to_seasonal_naive for name, line in scores.lines.items()}, ".2f", 0.0),
        "80 %": ({name: line.coverage[80] for name, line in scores.lines.items()}, ".1%", 0.8),
        "95 %": ({name: line.coverage[95] for name, line in scores.lines.items()}, ".1%", 0.95),
        "worst": ({name: line.worst_panel[80] for name, line in scores.lines.items()}, ".1%", 0.8),
        "±8": ({name: line.within[8] for name, line in scores.lines.items()}, ".0%", 1.0),
        "CPU-s": (scores.cpu_s, ".1f", 0.0),
    }
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True)
    for name in scores.lines:
        cells = [_cell(name, *column) for column in columns.values()]
        table.add_row(f"{name}*" if name == scores.best() else name, *cells)
    return table


def _cell(name: str, values: dict[str, float], form: str, aim: float) -> str:
    """A number, marked where none is nearer to the aim."""
    if not math.isfinite(values[name]):
        return "-"
    nearest = min((abs(value - aim) for value in values.values() if math.isfinite(value)), default=math.inf)
    return f"{values[name]:{form}}" + ("*" if len(values) > 1 and abs(values[name] - aim) <= nearest else "")
