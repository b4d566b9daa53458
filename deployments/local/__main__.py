"""`python -m deployments.local`: the simulated fleet as the child process of `demo`, `up` and tests."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from blocks.errors import ContinuumError
from blocks.fleet_file import load_fleet
from deployments.local.files import FLEET_FILE
from deployments.local.process import Served, Settings, serve
from deployments.local.simulation import Simulation


def settings(arguments: list[str]) -> Settings:
    """What the command line says.

    >>> settings(["--state", "there", "--start", "1970-01-02"]).start_s
    86400.0
    """
    parser = argparse.ArgumentParser(
        prog="python -m deployments.local", description="Serve a simulated fleet of Kubernetes clusters and clouds."
    )
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of its state and fleet.yaml")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second")
    parser.add_argument("--seed", type=int, default=7, help="of everything random, at a first start")
    parser.add_argument("--fleet", type=Path, metavar="FILE", default=FLEET_FILE, help="default: the built-in one")
    parser.add_argument("--start", type=_time, metavar="ISO", help="simulated time of a first start; default: now")
    parser.add_argument("--keep-nothing", action="store_true", help="write no state: a restart begins anew")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    given = parser.parse_args(arguments)
    return Settings(
        state=given.state,
        port=given.port,
        speed=given.speed,
        seed=given.seed,
        fleet=load_fleet(given.fleet),
        start_s=given.start,
        with_parent=given.with_parent,
        keeps_state=not given.keep_nothing,
    )


def _time(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time, UTC unless it says otherwise."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def main(arguments: list[str]) -> int:
    """Serve until told to stop; the exit code."""
    try:
        serve(settings(arguments), _tell)
    except ContinuumError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(served: Served, _: Simulation) -> None:
    told = {"url": served.url, "fleet": str(served.fleet_file), "kubeconfig": str(served.kubeconfig)}
    print(json.dumps(told | {"pid": os.getpid()}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
