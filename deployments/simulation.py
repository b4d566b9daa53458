"""The simulated fleet as a child process of `demo` and `up`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blocks.errors import Unreachable
from blocks.http import fetch_json, session
from deployments.children import Child


@dataclass(frozen=True)
class Simulation:
    """A running simulated fleet: its base URL, and the fleet.yaml that points at it."""

    url: str
    fleet_file: Path

    def status(self) -> dict[str, Any]:
        """Simulated time, speed and clusters."""
        return dict(self._ask("GET", "/simulation"))

    def operations(self) -> list[dict[str, Any]]:
        """The simulated clouds' own log of node-pool operations, oldest first."""
        return list(self._ask("GET", "/simulation/operations"))

    def advance(self, seconds: float) -> None:
        """Let that much simulated time pass at once."""
        self._ask("POST", "/simulation/advance", json={"seconds": seconds})

    def set_speed(self, speed: float) -> None:
        """Simulated seconds per second from now on."""
        self._ask("POST", "/simulation/speed", json={"speed": speed})

    def faults(self) -> dict[str, Any]:
        """Faults by state, and the campaign that would play them again."""
        return dict(self._ask("GET", "/faults"))

    def add_fault(self, fault: Any) -> dict[str, Any]:
        """Schedule a fault, or a campaign of them."""
        return dict(self._ask("POST", "/faults", json=fault))

    def lift_fault(self, fault_id: str | None = None) -> dict[str, Any]:
        """End a fault now; all of them without an id."""
        return dict(self._ask("DELETE", f"/faults/{quote(fault_id, safe='')}" if fault_id else "/faults"))

    def edge(self, path: str = "", method: str = "GET") -> dict[str, Any]:
        """The simulated edge caches and what their users will ask for: see `deployments/local/edge_caches.py`."""
        return dict(self._ask(method, f"/edge{path}"))

    def edge_log(self) -> str:
        """Their access log, as CSV."""
        with session(timeout_s=60.0) as http:
            return http.get(f"{self.url}/edge/log.csv").text

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        with session(timeout_s=60.0) as http:
            return fetch_json(http, method, f"{self.url}{path}", where="simulated fleet", **body)


@contextmanager
def starting_simulation(
    state: Path,
    *,
    speed: float,
    seed: int,
    start: str | None,
    port: int = 0,
    fleet: Path | None = None,
    keeps_state: bool = True,
) -> Iterator[Child]:
    """Start the process; it is of use once `ready` says so. It ends with the block, and with this process."""
    command = [sys.executable, "-m", "deployments.local", "--state", str(state), "--port", str(port),
               "--speed", str(speed), "--seed", str(seed), *(["--start", start] if start else []),
               *(["--fleet", str(fleet)] if fleet else []),
               *([] if keeps_state else ["--keep-nothing"])]  # fmt: skip
    with Child("simulated fleet", command, env=os.environ, log=state.parent / "simulation.log") as child:
        yield child


def ready(child: Child) -> Simulation:
    """Wait until every simulated API accepts requests.

    Raises
    ------
    Unreachable: the process ended before.
    """
    line = child.first_line()
    if not line:
        raise Unreachable(f"ended at once: {child.last_words()}", where="simulated fleet", fix=f"read {child.log}")
    told = json.loads(line)
    return Simulation(told["url"], Path(told["fleet"]))
