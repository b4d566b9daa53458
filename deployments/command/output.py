"""What every command shares: one JSON document on stdout, words on stderr, one line for a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from blocks.errors import ContinuumError
from blocks.files import write_atomically

Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout, messages on stderr")]

__all__ = ["Json", "err", "out", "print_json", "refusals", "write_atomically"]

out = Console()
err = Console(stderr=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, default=_plain, indent=2, allow_nan=False) + "\n")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn an error of our tree into one line on stderr and exit code 1."""
    try:
        yield
    except ContinuumError as error:
        err.print(f"[red]error[/red] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
