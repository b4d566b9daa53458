"""`continuum endpoint ...`: does a model server keep to the Open Inference Protocol, and where does it differ."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from blocks.errors import InvalidInput
from deployments.command.output import Json, err, out, print_json, refusals

_MARK = {True: "[green]ok[/]", False: "[red]failed[/]", None: "not asked"}

endpoint = typer.Typer(no_args_is_help=True, help="Model servers that speak the Open Inference Protocol v2.")


def register(app: typer.Typer) -> None:
    """Add `continuum endpoint`."""
    app.add_typer(endpoint, name="endpoint")


@endpoint.callback()
def _group() -> None:
    """Keep `probe` a command of its own while it is the only one."""


@endpoint.command("probe")
def endpoint_probe(
    url: Annotated[str, typer.Argument(metavar="URL", help="of the server, without /v2")],
    model: Annotated[str, typer.Option(help="also ask this model, with inputs of zeros")] = "",
    load: Annotated[bool, typer.Option("--load", help="also load and unload the model, then leave it as it was; "
                                       "without this nothing changes on the server")] = False,
    metrics: Annotated[str, typer.Option(metavar="URL", help="of the metrics, where they have a port of their "
                                         "own")] = "metrics",
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.1, max=600, help="of each answer")] = 10.0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Ask a server what the protocol promises; exit code 0 where its core is kept, else 1."""
    with refusals(), err.status(f"asking {url}"):
        from blocks.inference import InferenceEndpoint, client
        from blocks.inference_probe import conforms, probe

        if load and not model:
            raise InvalidInput("needs a model", where="--load", fix="name it by --model")
        with client(url, timeout_s) as http:
            checks = probe(InferenceEndpoint(url, http), model, load=load, metrics=metrics)
    kept = conforms(checks)
    if as_json:
        print_json({"url": url, "model": model, "conforms": kept, "checks": [check._asdict() for check in checks]})
    else:
        table = Table("check", "asked", "came", "", "quirk")
        for check in checks:
            table.add_row(check.name, _plain(check.asked), _plain(check.got), _MARK[check.ok], _plain(check.quirk))
        out.print(table)
    if not kept:
        raise typer.Exit(1)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
