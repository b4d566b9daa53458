"""`continuum metrics`: Continuum itself, for Prometheus."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from deployments.command.output import Json, out, print_json, refusals


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(metrics)


def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 9464,
    host: Annotated[str, typer.Option(help="beyond the loopback CONTINUUM_METRICS_TOKEN must be set")] = "127.0.0.1",
    as_json: Json = False,
) -> None:
    """Serve passes, decisions, approvals and changes as Prometheus metrics until Ctrl-C."""
    import uvicorn

    from blocks import settings
    from blocks.store import Store
    from deployments.http_service import listening
    from deployments.metrics import metrics_server

    with refusals():
        config = metrics_server(Store.open(), host=host, token=settings.metrics_token())
        bound = listening(host, port, "metrics")
    url = f"http://{host}:{bound.getsockname()[1]}/metrics"
    if as_json:
        print_json({"url": url})
        sys.stdout.flush()
    else:
        out.print(f"{url}; Ctrl-C ends it", highlight=False, soft_wrap=True)
    uvicorn.Server(config).run([bound])
