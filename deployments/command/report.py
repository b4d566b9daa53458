"""`continuum report`: the stored sections as one HTML file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blocks.errors import NotFound
from blocks.store import Store
from blocks.store.tables import Section
from deployments.command.output import Json, out, print_json, refusals, write_atomically


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    out_file: Annotated[Path, typer.Option("--out", help="file to write")] = Path("report.html"),
    run: Annotated[
        str | None, typer.Option(help="only this flow run's sections; default: the newest of each flow")
    ] = None,
    json: Json = False,
) -> None:
    """Write what the newest run of each flow has to tell into one HTML file."""
    with refusals():
        store = Store.open()
        if json:
            print_json([section.model_dump() for section in stored_sections(store, run)])
            return
        path = write_report(store, out_file, run=run)
    out.print(f"wrote {path}", highlight=False, soft_wrap=True)


def stored_sections(store: Store, run: str | None = None) -> list[Section]:
    """The sections of a run, or of the newest run of each flow.

    Raises
    ------
    NotFound: nothing is stored yet.
    """
    sections = store.sections(flow_run_id=run)
    if not sections:
        fix = "run a flow first; a demo's own store is CONTINUUM_HOME=~/.local/share/continuum/demo"
        raise NotFound("there is nothing to report yet", where=store.name, fix=fix)
    return sections


def write_report(store: Store, path: Path, *, title: str = "Continuum report", run: str | None = None) -> Path:
    """Render the stored sections into `path`, replacing it in one step.

    Raises
    ------
    NotFound: nothing is stored yet.
    """
    from deployments.report import render  # brings NumPy along: only where a report is written

    sections = stored_sections(store, run)
    fleets = ", ".join(sorted({section.subject for section in sections}))
    html = render(
        [section.content for section in sections], title=title, subtitle=f"Fleet {fleets}, all times UTC",
        footer=f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from {store.name}.",
        simulated=any(section.content.get("simulated") for section in sections),
    )  # fmt: skip
    write_atomically(path, html)
    return path
