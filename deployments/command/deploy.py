"""`continuum deploy`: work pool, deployments, triggers and automations on your Prefect server."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(deploy)


def deploy(
    pool: Annotated[Literal["process", "kubernetes"], typer.Option(help="type of the work pool")] = "process",
    dead_after: Annotated[int | None, typer.Option(min=90, metavar="SECONDS", help="without a heartbeat a run is dead: "
                          "3 times PREFECT_FLOWS_HEARTBEAT_FREQUENCY of your workers (default 600 for 180)")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Bring the Prefect server of PREFECT_API_URL to what this release holds. Again, it changes nothing."""
    from deployments.automations import ALERTS_BLOCK
    from deployments.deploy import WORK_POOL
    from deployments.deploy import deploy as deploying

    with refusals():
        with err.status("deploying the flows"):
            done = deploying(pool_type=pool, silent_s=dead_after)
        if as_json:
            return print_json({"work_pool": {WORK_POOL: done.pool}, "deployments": list(done.deployments),
                               "automations": dict(done.automations), "alerts": done.alerts})  # fmt: skip
        out.print(f"work pool {WORK_POOL}: {done.pool}; {len(done.deployments)} deployments", highlight=False)
        for name, change in done.automations.items():
            out.print(f"automation {name}: {change}", highlight=False, markup=False, soft_wrap=True)
        if not done.alerts:
            err.print(f"Nobody is told when a run fails: make a notification block named {ALERTS_BLOCK} in the Prefect "
                      "UI (Blocks), then run this again", highlight=False, soft_wrap=True)  # fmt: skip
        return None
