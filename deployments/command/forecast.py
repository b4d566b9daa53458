"""`continuum forecast FILE`: forecast the series of a CSV or Parquet file, without store, fleet or network."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from deployments.command.output import Json, err, out, print_json, refusals
from deployments.command.series_options import (
    Freq,
    Horizon,
    Levels,
    TimeZone,
    check_count,
    origin_of,
    percents_of,
    step_of,
    tell,
    zone_of,
)

if TYPE_CHECKING:
    from tasks.forecasting.decide.choice import Choice
    from tasks.forecasting.offline import FileForecast

SHOWN_SERIES = 40


class Model(StrEnum):
    """Engines of `--model`."""

    AUTO = "auto"
    LINEAR = "linear"
    TREES = "trees"
    SEASONAL_NAIVE = "seasonal-naive"
    LAST_VALUE = "last-value"


Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="CSV or Parquet: unique_id, ds, y, and further columns that are known beforehand (rows with an empty y "
        "tell their future); or a time column and then one column a series",
    ),
]
ModelName = Annotated[
    Model,
    typer.Option(help="auto is the best of linear, trees and seasonal-naive on the past of the file; a series too "
                 "young or stale falls back to seasonal-naive, then last-value"),
]  # fmt: skip
Origin = Annotated[
    str | None,
    typer.Option(metavar="ISO", help="read no value after this time and forecast the steps after it; else after the "
                 "last value of each series"),
]  # fmt: skip
Train = Annotated[Path | None, typer.Option(metavar="INPUT2", help="fit on this file instead of INPUT")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="OUT", help="write unique_id, ds, y_hat, lo_80, hi_80, ... as .csv or .parquet"),
]


def register(app: typer.Typer) -> None:
    """Add `continuum forecast`."""
    app.command("forecast")(forecast_command)


def forecast_command(
    file: Input,
    freq: Freq = None,
    horizon: Horizon = 24,
    levels: Levels = "80,95",
    model: ModelName = Model.AUTO,
    origin: Origin = None,
    train: Train = None,
    time_zone: TimeZone = "UTC",
    out_file: Out = None,
    as_json: Json = False,
) -> None:
    """Forecast the steps after the last value of each series of a file, with bands."""
    with refusals():
        check_count(horizon, "--horizon")
        from tasks.forecasting.files import read_history
        from tasks.forecasting.offline import choose_engine, forecast_file, forecast_notes
        from tasks.forecasting.tables import check_output, write_table

        step_s, start, percents, zone = step_of(freq), origin_of(origin), percents_of(levels), zone_of(time_zone)
        if out_file:
            check_output(out_file, [file, *([train] if train else [])])
        with err.status(f"reading {file}") as status:
            history = read_history(file, step_s, zone, start)
            training = read_history(train, history.history.step_s, zone, start) if train else None
            choice = None
            if model is Model.AUTO:
                status.update("choosing a model by its score on the past of the file")
                choice = choose_engine(history, horizon, percents, start, training)
            status.update("forecasting")
            made = forecast_file(
                history, horizon, percents, choice.engine if choice else model.value, start, training,
                lambda done, of: status.update(f"forecasting: {done} of {of} groups of series"),
            )  # fmt: skip
        notes = [*history.notes, *(f"--train: {note}" for note in (training.notes if training else [])),
                 *forecast_notes(history, made, start), *([_why(choice)] if choice else [])]  # fmt: skip
        left_out = [*history.refused, *(f"--train: {line}" for line in (training.refused if training else [])),
                    *_unserved(made)]  # fmt: skip
        tell(notes, left_out)
        if out_file:
            write_table(made.table(), out_file)
            err.print(f"wrote {len(made.unique_id) * horizon} rows to {out_file}", highlight=False, soft_wrap=True)
        if as_json:
            print_json(_document(made, notes, left_out, choice))
        elif not out_file:
            out.print(_table(made))


def _why(choice: Choice) -> str:
    """The choice in words, with its scores."""
    if not choice.wql:
        return f"model {choice.engine}: no other could be scored on the past: it is too short, or all zero"
    scores = ", ".join(f"{name} {loss:.4g}" for name, loss in sorted(choice.wql.items(), key=lambda item: item[1]))
    return (f"model {choice.engine}: the lowest weighted quantile loss of {scores} "
            f"({choice.windows} windows of {choice.series} series)")  # fmt: skip


def _unserved(made: FileForecast) -> list[str]:
    return [f"series {name}: it has no value in the day before the origin: its forecast is empty"
            for name, method in zip(made.unique_id, made.method, strict=True) if method == "none"]  # fmt: skip


def _document(made: FileForecast, notes: list[str], left_out: list[str], choice: Choice | None) -> dict[str, Any]:
    return {
        "step_s": made.step_s,
        "horizon": made.middle.shape[1],
        "levels_percent": list(made.percents),
        "choice": choice and {"model": choice.engine, "wql": choice.wql, "mase": choice.mase,
                              "windows": choice.windows, "series": choice.series},
        "series": [{"unique_id": name, "model": method}
                   for name, method in zip(made.unique_id, made.method, strict=True)],
        "forecast": made.table().to_pylist(),
        "left_out": left_out,
        "notes": notes,
    }  # fmt: skip


def _table(made: FileForecast) -> Table:
    """One line a series: last value, next step, end of the horizon, highest upper border and its time."""
    steps, widest = made.middle.shape[1], int(max(range(len(made.percents)), key=lambda i: made.percents[i]))
    ahead = f"{steps * made.step_s / 3600:.3g} h"
    table = Table(title=f"Forecast of {steps} steps of {made.step_s} s ({ahead}), values in the unit of the file",
                  caption=f"{len(made.unique_id)} series; --out FILE or --json has every step and band")  # fmt: skip
    table.add_column("series", overflow="fold")
    table.add_column("model")
    for head in ("last value", "next step", f"in {ahead}", f"{made.percents[widest]:g} % band then"):
        table.add_column(head, justify="right")
    table.add_column("its peak (UTC)", justify="right")
    for row, name in enumerate(made.unique_id[:SHOWN_SERIES]):
        if made.method[row] == "none":
            table.add_row(name, "none", _number(made.last[row]), *["no forecast"] * 4)
            continue
        border = made.high[row, :, widest]
        peak = datetime.fromtimestamp(int(made.times()[row, border.argmax()]), UTC)
        table.add_row(name, made.method[row], _number(made.last[row]), _number(made.middle[row, 0]),
                      _number(made.middle[row, -1]),
                      f"{_number(made.low[row, -1, widest])} to {_number(made.high[row, -1, widest])}",
                      f"{_number(border.max())}, {peak:%d %b %H:%M}")  # fmt: skip
    if len(made.unique_id) > SHOWN_SERIES:
        table.add_row(f"and {len(made.unique_id) - SHOWN_SERIES} more", *[""] * 6)
    return table


def _number(value: float) -> str:
    """Four digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
