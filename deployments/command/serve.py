"""`continuum serve`: Prefect servers, services and workers on one machine, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from deployments.command.output import Json, err, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    layout: Annotated[Path, typer.Argument(metavar="FILE.toml", help="see deployments/server/server.example.toml")],
    as_json: Json = False,
) -> None:
    """Run the Prefect servers, services, proxy and workers of FILE.toml, and start anew what ends, until Ctrl-C.

    SIGHUP restarts the servers one by one; no run notices it.
    """
    from deployments.own_home import terminate_like_interrupt
    from deployments.server.layout import read_layout
    from deployments.server.serve import serving

    def told(words: str) -> None:
        err.print(words, highlight=False, markup=False, soft_wrap=True)

    terminate_like_interrupt()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing to restart yet
    try:
        with refusals(), serving(read_layout(layout), progress=told) as running:
            signal.signal(signal.SIGHUP, lambda *_: running.roll.set())
            url = running.layout.url
            if as_json:
                print_json({"url": url, "api_url": f"{url}/api", "logs": str(running.home)})
                sys.stdout.flush()
            else:
                out.print(f"Prefect answers at {url}; logs are in {running.home}; Ctrl-C stops everything",
                          highlight=False, soft_wrap=True)  # fmt: skip
            running.until_stopped()
    except KeyboardInterrupt:
        told("stopped; nothing is left running")
