"""`continuum replay migration`: what each rule of moving workloads would have cost, beside the best possible."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals
from deployments.command.replay import replays


def register(app: typer.Typer) -> None:
    """Add the command to `continuum replay`."""
    del app
    replays.command("migration")(replay_migration)


def replay_migration(
    trace: Annotated[Path | None, typer.Argument(metavar="TRACE", help="CSV or Parquet: ts, workload, site, "
                                                 "latency_ms, cost_usd, error_ratio, moved_bytes")] = None,
    synthetic: Annotated[int | None, typer.Option(min=0, metavar="SEED", help="instead of a trace: 400 made-up "
                                                  "workloads, 40 sites and a cloud, five days of 15 minutes")] = None,
    policy: Annotated[str, typer.Option(help="policies with commas between: never, always-best, seed-raw, "
                                        "seed-smoothed, default; none: all")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Play migration policies over a history: cost beside the offline optimum, moves, back-flips, the largest pass.

    A policy sees what was measured in the slots before, and pays what was true. A move costs its data, a disruption and
    coordination; going back within six hours is a back-flip. The optimum knows everything, per workload.
    """
    from dataclasses import asdict

    from tasks.migration.offline import replay

    with refusals():
        if (trace is None) == (synthetic is None):
            raise InvalidInput("one of a trace and --synthetic is needed", where="continuum replay migration",
                               fix="give TRACE, or --synthetic SEED")  # fmt: skip
        names = [name.strip() for name in policy.split(",") if name.strip()]
        with err.status("reading") as status:

            def told(name: str, slot: int, slots: int) -> None:
                if slot % 48 == 0:
                    status.update(f"{name}: {slot} of {slots} passes")

            done = replay(trace, synthetic or 0, names, told)
        for line in done.refused:
            err.print(line, highlight=False, markup=False, soft_wrap=True)
        if as_json:
            return print_json({
                "policies": {name: asdict(score) for name, score in done.policies.items()},
                "workloads": done.workloads, "sites": done.sites, "passes": done.slots, "pass_s": done.slot_s,
                "seconds": round(done.seconds, 3), "left_out": len(done.refused),
            })  # fmt: skip
        head = f"{done.workloads} workloads, {done.sites} sites, {done.slots} passes of {done.slot_s / 60:g} min"
        table = Table("policy", "cost / optimum", "moves per workload-day", "back-flips < 6 h", "largest pass",
                      title=head, title_justify="left")  # fmt: skip
        for column in table.columns[1:]:
            column.justify = "right"
        for name, score in done.policies.items():
            table.add_row(name, f"{score.cost_ratio:.3f}", f"{score.moves_per_workload_day:.2f}",
                          f"{score.backflip_ratio:.1%}", f"{score.peak_pass_ratio:.1%}")  # fmt: skip
        return out.print(table)
