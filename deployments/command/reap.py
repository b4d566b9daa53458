"""`continuum reap`: take back floors, headroom and minimums whose time is over, where no scaling run does it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reap)


def reap(
    fleet: Annotated[str, typer.Option(help="name of the fleet's inventory block")] = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what has expired")] = False,
    adopt: Annotated[list[str] | None, typer.Option(metavar="CLUSTER/POOL", help="also take over what a mark in the "
                     "cluster says of this pool, where our store knows nothing of it; repeatable")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Take back what nobody has wanted for an hour, and list what is still held up.

    Every scaling run does this first; run it from cron where a dead scheduler must never keep a cluster large. A
    mark in a cluster that this store knows nothing of (a lost store's, or a stranger's) is told; --adopt believes it.
    """
    from blocks.store.tables import Mode
    from tasks.run import open_run
    from tasks.scaling import reaper
    from tasks.scaling.actuators.pool import told

    with refusals():
        run = open_run("cluster-scaling", fleet, Mode.SHADOW if dry_run else Mode.ACT)
        marks, trouble = reaper.unknown_marks(run)
        wanted = set(adopt or ())
        if strange := wanted - {hold.subject for hold in marks}:
            raise InvalidInput("no mark that our store does not know is there", where=f"--adopt {min(strange)}",
                               fix="see what `continuum reap --dry-run` tells")  # fmt: skip
        for hold in marks:
            if hold.subject not in wanted:
                trouble.append(f"{hold.subject}: a mark says that {told(hold.value)} is held up (before: "
                               f"{told(hold.base)}), and our store knows nothing of it; left alone. If it is ours: "
                               f"continuum reap --adopt {hold.subject}")  # fmt: skip
            elif not dry_run:
                run.journal.keep_hold(hold)
        for line in trouble:
            err.print(line, highlight=False, markup=False, soft_wrap=True)
        results = reaper.reap.fn(run)
        holds = run.journal.holds(fleet)
        if as_json:
            return print_json({"reaped": [vars(result) for result in results], "held": holds})
        for result in results:
            out.print(f"{result.subject}: {result.state}: {result.detail}", highlight=False, markup=False)
        if not holds:
            out.print("Nothing is held up." if not results else "Nothing else is held up.")
            return None
        table = Table("pool", "held up by", "setting", "before us", "until (UTC)")
        for hold in holds:
            table.add_row(hold.subject, hold.kind, told(hold.value), told(hold.base),
                          f"{hold.until:%Y-%m-%d %H:%M}")  # fmt: skip
        return out.print(table)
