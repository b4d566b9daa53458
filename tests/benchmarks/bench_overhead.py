"""How much of each flow's wall time is Prefect's, at the demo's size and over 1,000 clusters; prints a table.

Run: `python -m tests.benchmarks.bench_overhead [--clusters 1000]`. Must: 10 % at the demo's size, 5 % over 1,000.

A pass of each flow in act mode on a simulated fleet, after one that is not counted (imports, first connections), with a
Prefect server on SQLite. A hundred times a second a thread looks at the stack of every other one: a moment is ours
where the innermost frame of Prefect or of ours is ours in any of them, else Prefect's where the main one is in Prefect.
What we ask of Prefect (artifacts, events, variables, blocks) is Prefect's. Heartbeats are off: when a run has ended,
outside of the time that is recorded for it, Prefect 3.8 waits up to a second for the thread that sends them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.benchmarks.bench_scaling_flow import fleet_text
from tests.benchmarks.soak_day import due, everything

OURS = ("flows", "tasks", "blocks", "deployments")
PERIOD_S = 0.01


class Sampler:
    """Counts moments that are "ours" and "prefect" while the block runs."""

    def __init__(self) -> None:
        self.moments: Counter[str] = Counter()
        self._ended = threading.Event()
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def overhead_ratio(self) -> float:
        return self.moments["prefect"] / max(1, self.moments.total())

    def _look(self) -> None:
        while not self._ended.wait(PERIOD_S):
            kinds = {thread: whose(frame) for thread, frame in sys._current_frames().items()}
            self.moments["ours" if "ours" in kinds.values() else kinds[self._main]] += 1


def whose(frame: FrameType | None) -> str:
    """Of the innermost frame that is Prefect's or ours; "" where there is none."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package == "prefect":
            return "prefect"
        if package in OURS:
            return "ours"
        frame = frame.f_back
    return ""


def measure(fleet: Path | None) -> dict[str, dict[str, float | str]]:
    """Wall seconds, Prefect's share and the state of a pass of every flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from deployments.first_training import train_first

    told: dict[str, dict[str, float | str]] = {}
    with everything(fleet) as simulation, temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        train_first()
        flows = list(due())
        for counted in (False, True):
            for each in flows:
                simulation.advance(300)
                begun = time.perf_counter()
                with Sampler() as sampler:
                    state = each.call()
                told[each.name] = {"wall_s": round(time.perf_counter() - begun, 2), "state": state.name,
                                   "overhead_ratio": round(sampler.overhead_ratio, 4)}  # fmt: skip
                if counted:
                    row = told[each.name]
                    print(f"{each.name:32} {row['wall_s']:8} s {row['overhead_ratio']:7.1%}  {state.name}", flush=True)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--clusters", type=int, default=1000, help="of the large fleet, each with one pool; 0: only small"
    )
    parser.add_argument("--json", type=Path, default=Path("build/overhead.json"))
    asked = parser.parse_args()
    found = {}
    for clusters in filter(lambda each: each is not None, (0, asked.clusters or None)):
        with tempfile.TemporaryDirectory() as home:
            os.environ["CONTINUUM_HOME"] = home
            file = Path(home) / "fleet.yaml"
            file.write_text(fleet_text(clusters or 1, of_a_cluster=1))
            print(f"{clusters} clusters" if clusters else "the demo's fleet")
            found[clusters] = measure(file if clusters else None)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
