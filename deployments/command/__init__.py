"""The `continuum` command: one file a subject, put together here."""

from __future__ import annotations

import importlib

import typer

app = typer.Typer(name="continuum", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
                  help="Forecast, scale and account for a fleet of Kubernetes clusters and edge sites.")  # fmt: skip

# Each module has a function `register(app)` that adds its commands.
SUBJECTS = (
    "demo", "up", "status", "local", "fleet", "forecast", "backtest", "diagnose", "plan", "place", "carbon", "energy",
    "cache", "cache_warm", "federate", "inference", "replay", "replay_migration", "deploy", "flows", "journal",
    "approve", "reap", "report", "doctor", "endpoint", "hub", "metrics", "backup", "serve",
)  # fmt: skip

for _subject in SUBJECTS:
    importlib.import_module(f"deployments.command.{_subject}").register(app)


def main() -> None:
    """Entry point of the console command."""
    app()
