"""`continuum forecast FILE`: forecast the series of a CSV or Parquet file, without store, fleet or network."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

if TYPE_CHECKING:
    from tasks.forecasting.files import HistoryFile
    from tasks.forecasting.offline import FileForecast

SHOWN_SERIES = 40
SHOWN_REFUSALS = 20


class Model(StrEnum):
    """Engines of `--model`."""

    AUTO = "auto"
    LINEAR = "linear"
    SEASONAL_NAIVE = "seasonal-naive"
    LAST_VALUE = "last-value"


Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT", help="CSV or Parquet: unique_id, ds, y; or a time column and then one column a series"
    ),
]
Freq = Annotated[str | None, typer.Option(help="distance of the rows: 5min, 1h; else the most frequent in the file")]
Horizon = Annotated[int, typer.Option(min=1, max=100_000, help="steps to forecast")]
Levels = Annotated[str, typer.Option(help="central bands in percent")]
ModelName = Annotated[
    Model,
    typer.Option(help="auto is linear; a series too young or stale falls back to seasonal-naive, then last-value"),
]
Origin = Annotated[
    str | None,
    typer.Option(metavar="ISO", help="read nothing after this time and forecast the steps after it; else after the "
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
    out_file: Out = None,
    as_json: Json = False,
) -> None:
    """Forecast the steps after the last value of each series of a file, with bands."""
    with refusals():
        from tasks.forecasting.files import read_history, write_table
        from tasks.forecasting.offline import forecast_file

        step_s, start, percents = _step(freq), _origin(origin), _percents(levels)
        engine = Model.LINEAR if model is Model.AUTO else model
        with err.status(f"reading {file}") as status:
            history = read_history(file, step_s)
            training = read_history(train, history.history.step_s) if train else None
            status.update("forecasting")
            made = forecast_file(
                history, horizon, percents, engine.value, start, training,
                lambda done, of: status.update(f"forecasting: {done} of {of} groups of series"),
            )  # fmt: skip
        _tell(history, made)
        if out_file:
            write_table(made.table(), out_file)
            err.print(f"wrote {len(made.unique_id) * horizon} rows to {out_file}", highlight=False, soft_wrap=True)
        if as_json:
            print_json(_document(made, history))
        elif not out_file:
            out.print(_table(made))


def _step(freq: str | None) -> int | None:
    """Seconds of `5min`, `1h`, ..."""
    if freq is None:
        return None
    import pandas as pd

    try:
        seconds = pd.Timedelta(f"1{freq}" if freq[:1].isalpha() else freq).total_seconds()
    except ValueError as error:
        raise InvalidInput(f"{freq!r} is no distance of time", where="--freq", fix="write 5min, 15min or 1h") from error
    if seconds < 1 or seconds % 1:
        raise InvalidInput(f"{freq!r} is not a whole number of seconds", where="--freq", fix="write 5min, 15min or 1h")
    return int(seconds)


def _origin(origin: str | None) -> datetime | None:
    if origin is None:
        return None
    try:
        found = datetime.fromisoformat(origin)
    except ValueError as error:
        raise InvalidInput(
            f"{origin!r} is no ISO 8601 time", where="--origin", fix="write 2026-01-31T12:00:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _percents(levels: str) -> tuple[float, ...]:
    try:
        return tuple(float(level) for level in levels.split(","))
    except ValueError as error:
        raise InvalidInput(f"{levels!r} are no percents", where="--levels", fix="write 80,95") from error


def _tell(history: HistoryFile, made: FileForecast) -> None:
    """Say on stderr which rules were applied, what was left out, and which series have no forecast."""
    for note in history.notes:
        err.print(f"[dim]note[/dim] {note}", highlight=False, soft_wrap=True)
    lines = history.refused + _unserved(made)
    for line in lines[:SHOWN_REFUSALS]:
        err.print(f"[yellow]left out[/yellow] {line}", highlight=False, soft_wrap=True)
    if len(lines) > SHOWN_REFUSALS:
        err.print(f"[yellow]left out[/yellow] and {len(lines) - SHOWN_REFUSALS} more; --json names them all")


def _unserved(made: FileForecast) -> list[str]:
    return [f"series {name}: it has no value in the day before the origin: its forecast is empty"
            for name, method in zip(made.unique_id, made.method, strict=True) if method == "none"]  # fmt: skip


def _document(made: FileForecast, history: HistoryFile) -> dict[str, Any]:
    table = made.table()
    return {
        "step_s": made.step_s,
        "horizon": made.middle.shape[1],
        "levels_percent": list(made.percents),
        "series": [{"unique_id": name, "model": method}
                   for name, method in zip(made.unique_id, made.method, strict=True)],
        "forecast": table.to_pylist(),
        "left_out": history.refused + _unserved(made),
        "notes": history.notes,
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
