"""A seeded campaign of faults against moves: no workload lost, none below its floor, none doubled, nothing left behind.

`make test-faults` strikes hundreds (CONTINUUM_MOVE_FAULTS), prints fault by stage and writes `build/faults.json`.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from blocks.fleet import Fleet
from blocks.store.tables import State
from deployments.simulation import Simulation
from tests.faults.move_faults import FAULTS, STAGES, Scene, settle
from tests.faults.move_scenes import REPLICAS, SLOW_S, SOURCE, Clusters, Watcher, deploy, look, planned

pytestmark = pytest.mark.server

WANTED = int(os.environ.get("CONTINUUM_MOVE_FAULTS", "0"))
SEED = int(os.environ.get("CONTINUUM_MOVE_SEED", "11"))
SLOWLY = 3  # every third workload starts so slowly that the watcher sees when its pods are too few
FEW = 18  # in the default suite: each fault once, at a stage that the seed draws


def drawn(seed: int, count: int) -> list[list[tuple[str, str]]]:
    """Series of one to three faults, each with the stage at which it strikes; every fault comes first equally often."""
    source = random.Random(seed)
    names, series, made = list(FAULTS), [], 0
    while made < count:
        first = names[len(series) % len(names)]
        rest = [source.choice(names) for _ in range(source.randint(0, 2))]
        series.append([(name, source.choice(STAGES)) for name in (first, *rest)])
        made += len(series[-1])
    return series


def test_no_fault_loses_a_workload_or_leaves_something_behind(
    fleet: Fleet, simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = Clusters(fleet)
    series = drawn(SEED, WANTED) if WANTED else [faults[:1] for faults in drawn(SEED, 10 * FEW)[:FEW]]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    outcomes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    for number, faults in enumerate(series):
        monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path / str(number)))
        name = f"shop-{number}"
        deploy(clusters(SOURCE), name, SLOW_S if number % SLOWLY == 0 else 0)
        scene = Scene(simulation, clusters, name, random.Random(SEED * 1000 + number), planned(clusters, name))
        with Watcher(fleet, name) as watcher:
            for fault, stage in faults:
                FAULTS[fault](scene, stage)
            ended = settle(scene)
            found = look(clusters, name, ended)
        told = ", ".join(f"{fault} at {stage}" for fault, stage in faults)
        lost = found.lost and not scene.removed_by_others
        forced = scene.removed_by_others or any(fault in ("target never Ready", "edited") for fault, _ in faults)
        below = watcher.least < scene.plan.floor and not forced
        for fault, stage in faults:
            tally = counts[fault]
            tally["faults"] += 1
            outcomes[fault, stage][str(ended.state)] += 1
        blamed = counts[faults[0][0]]
        blamed["lost"] += lost
        blamed["under_floor"] += below
        blamed["duplicates"] += found.doubled
        blamed["orphans"] += len(found.left)
        if lost or below or found.doubled or found.left or ended.state not in (State.DONE, State.UNDONE):
            wrong.append(f"{name}: {told}: {ended.state} ({ended.detail}); {found}, least {watcher.least}")
        if WANTED:
            sys.stderr.write(f"\r{sum(each['faults'] for each in counts.values())} faults, {len(wrong)} wrong ")
    if WANTED:
        write(counts, outcomes)
    assert wrong == []
    assert sum(REPLICAS for _ in series) > 0


def write(counts: dict[str, Counter[str]], outcomes: dict[tuple[str, str], Counter[str]]) -> None:
    """The table, and `build/faults.json`."""
    columns = ("faults", "lost", "under_floor", "duplicates", "orphans")
    by_fault = {fault: {name: tally[name] for name in columns} for fault, tally in sorted(counts.items())}
    document = {name: sum(each[name] for each in by_fault.values()) for name in columns} | {"by_fault": by_fault}
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    (folder / "faults.json").write_text(json.dumps(document, indent=2) + "\n")
    lines = [f"{'fault':28}" + "".join(f"{stage:>14}" for stage in STAGES) + "   " + " ".join(columns)]
    for fault, tally in by_fault.items():
        cells = []
        for stage in STAGES:
            ended = outcomes.get((fault, stage), Counter())
            cells.append(f"{'/'.join(f'{count} {state}' for state, count in sorted(ended.items())):>14}")
        lines.append(f"{fault:28}" + "".join(cells) + "   " + " ".join(str(tally[name]) for name in columns))
    lines.append(
        f"in all: {document['faults']} faults, " + ", ".join(f"{document[name]} {name}" for name in columns[1:])
    )
    sys.stderr.write("\n" + "\n".join(lines) + "\n")
