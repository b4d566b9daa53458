"""`continuum backup`, `continuum restore`: the store as one file, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="to write, e.g. continuum.backup.gz; replaced whole or not at all")],
    as_json: Json = False,
) -> None:
    """Write the whole store, SQLite or PostgreSQL, of one moment into a file; flows may go on meanwhile."""
    from blocks.store import Store
    from blocks.store.backup import back_up

    with refusals(), err.status("writing"):
        rows = back_up(Store.open(), file)
    if as_json:
        return print_json({"file": file, "rows": rows})
    return out.print(f"{rows} rows are in {file}; series and models are files of their own", highlight=False)


def restore(
    file: Annotated[Path, typer.Argument(help="that `continuum backup` wrote")],
    as_json: Json = False,
) -> None:
    """Fill an empty store from a file. Acting stays frozen until you thaw it: what came after the copy is not known."""
    from blocks import settings
    from blocks.store.backup import restore as fill

    with refusals(), err.status("reading"):
        found = fill(file, settings.store_url())
    if as_json:
        return print_json(asdict(found))
    out.print(f"{found.rows} rows, as they were at {found.made_at:%Y-%m-%d %H:%M} UTC. {found.unfinished} changes were "
              f"open then: the next run in act mode looks at the fleet, and ends each by what it sees. {found.expired} "
              "proposals and approvals have lapsed.", highlight=False, soft_wrap=True)  # fmt: skip
    return out.print("All acting is frozen. When you have looked: continuum thaw '*'", highlight=False)
