"""`continuum up`: the whole thing on a laptop, until Ctrl-C."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.command.output import Json, err, out, print_json, refusals

if TYPE_CHECKING:
    from deployments.up import Running


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the Prefect server and its UI; 0: any free one")] = 0,
    speed: Annotated[float, typer.Option(min=1, max=600, help="simulated seconds per second")] = 1.0,
    seed: Annotated[int, typer.Option(help="of the simulated fleet")] = 7,
    json: Json = False,
) -> None:
    """Run a simulated fleet, a Prefect server, a worker and the schedules, until Ctrl-C."""
    from deployments.own_home import terminate_like_interrupt
    from deployments.up import up as running_up

    terminate_like_interrupt()
    try:
        with (
            refusals(),
            err.status("starting") as status,
            running_up(port=port, speed=speed, seed=seed, progress=status.update) as running,
        ):
            status.stop()
            _tell(running, json)
            running.until_one_ends()
    except KeyboardInterrupt:
        err.print("stopped; nothing is left running", highlight=False)


def _tell(running: Running, json: bool) -> None:
    if json:
        print_json(
            {
                "ui_url": running.ui_url,
                "prefect_api_url": running.api_url,
                "simulated_fleet_url": running.simulated_fleet_url,
                "fleet_file": running.fleet_file,
                "home": running.home,
                "metrics_url": running.metrics_url,
            }
        )
        sys.stdout.flush()
        return
    client = f"PREFECT_API_URL={running.api_url} CONTINUUM_HOME={running.home}"
    for line in (
        f"Prefect UI       {running.ui_url}",
        f"simulated fleet  {running.fleet_file}",
        f"metrics          {running.metrics_url}",
        "in another shell, to look at it with `continuum` or `prefect`:",
        f"  export {client}",
        "the first forecast runs now, scaling soon after it. Ctrl-C stops everything.",
    ):
        out.print(line, highlight=False, soft_wrap=True)
