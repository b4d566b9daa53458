"""`continuum diagnose SERIES ...`: a page on what moves a few series: trend, rhythms, outliers, holes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blocks.errors import InvalidInput, NotFound
from deployments.command.output import Json, err, out, print_json, refusals, write_atomically
from deployments.command.series_options import Freq, TimeZone, step_of, zone_of

if TYPE_CHECKING:
    from blocks.series import Series

MOST = 20  # series on one page: each takes about a second


def register(app: typer.Typer) -> None:
    """Add `continuum diagnose`."""
    app.command("diagnose")(diagnose_command)


def diagnose_command(
    names: Annotated[list[str], typer.Argument(metavar="SERIES...", help="names, e.g. eu-eks/web/cpu_cores")],
    file: Annotated[Path | None, typer.Option("--input", help="a CSV or Parquet file that holds them")] = None,
    fleet: Annotated[Path | None, typer.Option(help="a fleet.yaml: take the stored demand of its pools")] = None,
    days: Annotated[int, typer.Option(min=3, max=90, help="newest days of stored demand to look at")] = 28,
    freq: Freq = None,
    time_zone: TimeZone = "UTC",
    out_file: Annotated[Path, typer.Option("--out", help="file to write")] = Path("diagnosis.html"),
    as_json: Json = False,
) -> None:
    """Take series apart into trend, rhythm of day and week, and the rest (STL, MSTL from three weeks on)."""
    with refusals():
        if (file is None) == (fleet is None):
            raise InvalidInput("the series are in a file or in the store", where="continuum diagnose",
                               fix="give one of --input FILE and --fleet fleet.yaml")  # fmt: skip
        if len(names) > MOST:
            raise InvalidInput(f"{len(names)} series on one page", where="SERIES", fix=f"name at most {MOST}")
        with err.status("reading"):
            history = _of_file(file, freq, time_zone) if file else _of_store(fleet, days)  # type: ignore[arg-type]
        rows = {name: row for row, name in enumerate(history.unique_id)}
        strange = [name for name in names if name not in rows]
        if strange:
            known = ", ".join(history.unique_id[:10]) + (", ..." if len(rows) > 10 else "")
            raise NotFound(f"no series is called {strange[0]!r}", where=str(file or fleet), fix=f"use one of {known}")
        from tasks.forecasting.diagnosis import diagnosis

        with err.status("taking apart"):
            sections = [diagnosis(history, rows[name]) for name in names]
        if as_json:
            print_json(sections)
            return
        from deployments.report import render

        html = render(sections, title="Diagnosis", subtitle=f"Series of {file or fleet}, all times UTC",
                      footer="STL with robust weights; see tasks/forecasting/decide/decomposition.py.",
                      simulated=False)  # fmt: skip
        write_atomically(out_file, html)
    out.print(f"wrote {out_file}", highlight=False, soft_wrap=True)


def _of_file(file: Path, freq: str | None, time_zone: str) -> Series:
    from tasks.forecasting.files import read_history

    return read_history(file, step_of(freq), zone_of(time_zone)).history


def _of_store(fleet_file: Path, days: int) -> Series:
    from blocks.fleet_file import load_fleet
    from blocks.series import utc
    from blocks.store.series import SeriesStore
    from tasks.forecasting.observe import read_demand, source_time_s

    fleet = load_fleet(fleet_file)
    return read_demand(SeriesStore.open(), fleet, utc(source_time_s(fleet)), days)
