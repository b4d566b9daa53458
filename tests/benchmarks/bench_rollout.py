"""A roll-out to 1,000 simulated edges of which 5 % die, killed in the middle and carried on: is any mixed?

`make bench-rollout`. The edges speak HTTP to a hub in the same process; a process that rolls out is killed (SIGKILL).
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from blocks.models import Registry
from blocks.store import Store
from blocks.store.edges import NewEdge, add_edges, set_wanted
from blocks.store.rollouts import rollouts
from deployments.hub import Hub, running_hub
from deployments.local.edges import STEPS, SimulatedEdge, on_disks, running_edges
from tasks.rollout import act
from tasks.rollout.decide import Pace
from tests.faults.kill_in_rollout import decided, killed_at, run_of

EDGES, DYING = int(os.environ.get("EDGES", "1000")), 0.05
KILL = "set_wanted:3:after"
PACE = Pace(soak_s=0, patience_s=600)


def main() -> None:
    home = Path(os.environ.setdefault("CONTINUUM_HOME", tempfile.mkdtemp()))
    store, draw = Store.open(), random.Random(7)
    registry = Registry.open(store)
    tokens = add_edges(store, (NewEdge(f"edge-{n:04}", ("near-edge", "far-edge")[n % 2], f"region-{n % 5}",
                                       simulated=True) for n in range(EDGES)))  # fmt: skip
    first = _publish(registry, "1")
    set_wanted(store, "digits", dict.fromkeys(tokens, first))
    begin, cpu = time.perf_counter(), time.process_time()
    with running_hub(Hub(store, registry)) as url:
        edges = [SimulatedEdge(name, token, url, registry.key.public_key(), home / "edges" / name)
                 for name, token in tokens.items()]  # fmt: skip
        with running_edges(edges):
            while on_disks(edges, "digits")[first] < EDGES:
                time.sleep(3)
            second = _publish(registry, "2")
            dying = draw.sample(edges, round(DYING * EDGES))
            for edge in dying:
                edge.dies_at = draw.choice(STEPS)
            killed_at(KILL, home, "digits", PACE)
            at_kill = dict(on_disks(edges, "digits"))
            run = run_of("next")
            act.finish_left_over.fn(run)
            act.roll_out(run, decided(run, "digits", PACE), PACE)
            while on_disks(edges, "digits")[second] + len(dying) < EDGES:
                time.sleep(3)
            with_dead = dict(on_disks(edges, "digits"))
            for edge in dying:
                edge.start_again()
            while on_disks(edges, "digits")[second] < EDGES:
                time.sleep(3)
    names = {first: "old", second: "new", "mixed": "mixed", "": "none"}
    told = {
        "edges (simulated)": EDGES, "died": len(dying), "killed at": KILL,
        "on disks at the kill": {names[each]: many for each, many in at_kill.items()},
        "after it was carried on, before the dead came back": {names[each]: many for each, many in with_dead.items()},
        "at the end": {names[each]: many for each, many in on_disks(edges, "digits").items()},
        "roll-out": rollouts(store)[0].state, "mixed": at_kill.get("mixed", 0) + with_dead.get("mixed", 0),
        "wall s": round(time.perf_counter() - begin), "CPU s": round(time.process_time() - cpu),
    }  # fmt: skip
    json.dump(told, sys.stdout, indent=1)
    print()
    sys.exit(bool(told["mixed"]))


def _publish(registry: Registry, version: str) -> str:
    return registry.publish("digits", version, {"model.onnx": version.encode() * 2600, "labels.json": b"[]"}).digest


if __name__ == "__main__":
    main()
