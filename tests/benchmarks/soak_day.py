"""Every scheduled flow over hours of simulated time in one process: failures, and does memory grow?

`make soak-day HOURS=24`. The flows and their intervals are those of prefect.yaml (nightly ones come at their hour);
besides, a workload is placed every six hours. Prints a table by flow, memory by the hour, and its growth. Linux only.
make sets MALLOC_ARENA_MAX=2, as the image does: with more arenas glibc keeps free pieces that it cannot give back.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import inspect
import json
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

START = "2026-03-10T00:00:00+00:00"
STEP_S = 300
SPEED = 30.0  # while passes work: the clouds' operations, which they wait for, take minutes
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Due:
    """One deployment: `every` so many seconds, at `offset` of them."""

    name: str
    call: Any
    every_s: int
    offset_s: int
    states: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0


def due() -> Iterator[Due]:
    """Deployments with an active schedule, and one by hand."""
    from deployments.deploy import declared

    for entry in declared():
        module, name = entry["entrypoint"].rsplit(".", 1)
        flow = getattr(importlib.import_module(module), name)
        for schedule in entry.get("schedules", ()):
            if schedule.get("active", True) and "interval" in schedule:
                every = int(schedule["interval"])
                anchor = datetime.fromisoformat(schedule.get("anchor_date", "2026-01-01T00:00:00+00:00"))
                yield Due(entry["name"], _call(flow, _parameters(flow, entry)), every, int(anchor.timestamp()) % every)
    from flows.workload_placement import PlacementRequest, workload_placement

    asked = {"name": "soak", "image": "registry.example/soak:1", "cpu_cores": 0.1, "memory_gib": 0.1}
    request = PlacementRequest.model_validate({"mode": "act", "workloads": [asked]})
    yield Due("workload-placement", _call(workload_placement, {"request": request}), 6 * 3600, 1800)


def _parameters(flow: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """What prefect.yaml gives, in act mode where the flow has modes."""
    form = inspect.signature(flow.fn, eval_str=True).parameters["request"].annotation
    told = entry.get("parameters", {}).get("request", {})
    return {"request": form.model_validate(told | ({"mode": "act"} if "mode" in form.model_fields else {}))}


def _call(flow: Any, parameters: dict[str, Any]) -> Any:
    return lambda: flow(**parameters, return_state=True)


@contextmanager
def everything(fleet: Path | None = None) -> Iterator[Any]:
    """A simulated fleet (the demo's, or that of a file) and a Prefect server, of which this process is a client."""
    from blocks.fleet_file import load_fleet
    from deployments.own_home import own_home
    from deployments.prefect_server import prefect_server
    from deployments.simulation import ready, starting_simulation

    with (
        own_home("soak") as home,
        starting_simulation(
            home / "local", speed=SPEED, seed=7, start=START, fleet=fleet, keeps_state=fleet is None
        ) as child,
        prefect_server(home / "prefect") as server,
    ):
        os.environ |= {"PREFECT_LOGGING_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false"}
        server.become_client()
        simulation = ready(child)
        from blocks.inventory import save_fleet

        save_fleet(load_fleet(simulation.fleet_file), "default")
        yield simulation


def rss_bytes() -> int:
    """Resident memory after the allocator has given back what is free: what is held, not what once was."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def growth_ratio(memory: list[int]) -> float:
    """Growth over the second half by its least-squares line, as a share of its mean."""
    half = np.array(memory[len(memory) // 2 :], float)
    slope = np.polyfit(np.arange(len(half)), half, 1)[0] if len(half) > 1 else np.nan
    return float(slope * (len(half) - 1) / half.mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--json", type=Path, default=Path("build/soak-day.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["CONTINUUM_HOME"] = home
        with everything() as simulation:
            return soak(simulation, asked.hours, asked.json)


def soak(simulation: Any, hours: float, told: Path) -> int:
    from deployments.first_training import train_first

    train_first()
    flows = list(due())
    begin = int(datetime.fromisoformat(START).timestamp())
    memory, failures = list[int](), list[str]()
    for step in range(int(hours * 3600 / STEP_S)):
        at = begin + step * STEP_S
        here = datetime.fromisoformat(simulation.status()["time"]).timestamp()
        simulation.advance(max(0.0, at + STEP_S - here))  # what the passes took has gone by already
        for each in flows:
            if (at - each.offset_s) % each.every_s < STEP_S:
                spent = resource.getrusage(resource.RUSAGE_SELF)
                state = each.call()
                now = resource.getrusage(resource.RUSAGE_SELF)
                each.cpu_s += now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime
                each.states[state.name] += 1
                if not state.is_completed():
                    failures.append(f"{each.name} at {simulation.status()['time']}: {state.name}: {state.message}")
        if step % 12 == 11:
            memory.append(rss_bytes())
            print(
                f"hour {len(memory)}: {memory[-1] / 2**20:.0f} MiB, {len(failures)} failures",
                file=sys.stderr,
                flush=True,
            )
    growth = growth_ratio(memory)
    print(f"{'flow':32} {'runs':>5} {'failed':>6} {'CPU s a run':>12}")
    for each in flows:
        runs, good = sum(each.states.values()), each.states["Completed"]
        print(f"{each.name:32} {runs:5} {runs - good:6} {each.cpu_s / max(runs, 1):12.2f}")
    print(f"{hours:g} simulated hours, {len(failures)} failures; memory {memory[0] / 2**20:.0f} -> "
          f"{memory[-1] / 2**20:.0f} MiB, its second half grows by {growth:+.1%}")  # fmt: skip
    for line in failures:
        print(line)
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps({"hours": hours, "failures": failures, "rss_bytes": memory, "growth_ratio": growth,
                                "flows": {each.name: dict(each.states) for each in flows}}, indent=2))  # fmt: skip
    return 1 if failures or not abs(growth) <= 0.02 else 0


if __name__ == "__main__":
    sys.exit(main())
