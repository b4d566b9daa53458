"""A seeded campaign of faults against moves: no workload lost, none below its floor, none doubled, nothing left behind.

`make test-faults` strikes hundreds (CONTINUUM_MOVE_FAULTS), prints fault by stage and writes `build/faults.json`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import pytest

from blocks.fleet_file import load_fleet
from blocks.store import Store
from blocks.store.tables import State
from deployments.simulation import Simulation, ready, starting_simulation
from tasks.migration.moves import STAGES
from tests.faults.conftest import SPEED, START
from tests.faults.move_faults import FAULTS, Scene, settle
from tests.faults.move_hook import Hook, keeping, remove_claims
from tests.faults.move_scenes import (
    SOURCE,
    START_S,
    TARGET,
    Clusters,
    Watcher,
    deploy,
    look,
    planned,
    tidy,
    until,
)  # fmt: skip

pytestmark = pytest.mark.server

WANTED = int(os.environ.get("CONTINUUM_MOVE_FAULTS", "0"))  # 0: each fault once, at a stage that the seed draws
SEED = int(os.environ.get("CONTINUUM_MOVE_SEED", "11"))
LANES = int(os.environ.get("CONTINUUM_MOVE_LANES", "3"))  # side by side: a move waits more than it works
TWO_CLUSTERS = Path(__file__).with_name("two_clusters.yaml")


@dataclass
class Tally:
    """What faults did: by fault, by fault and stage, and in words what must not have been."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    moves: int = 0
    gaps: int = 0
    cpu_s: float = 0.0

    @property
    def faults(self) -> int:
        return sum(each["faults"] for each in self.counts.values())

    def add(self, other: Tally) -> None:
        for fault, tally in other.counts.items():
            self.counts.setdefault(fault, Counter()).update(tally)
        for key, ended in other.outcomes.items():
            self.outcomes.setdefault(key, Counter()).update(ended)
        self.wrong += other.wrong
        self.moves, self.gaps, self.cpu_s = self.moves + other.moves, self.gaps + other.gaps, self.cpu_s + other.cpu_s


def drawn(seed: int) -> Iterator[list[tuple[str, str]]]:
    """Series of one to three faults, each with the stage at which it strikes; every fault comes first equally often."""
    source, first = random.Random(seed), 0
    while True:
        names = [list(FAULTS)[first % len(FAULTS)], *source.choices(list(FAULTS), k=source.randint(0, 2))]
        yield [(name, source.choice(STAGES)) for name in names]
        first += 1


def test_no_fault_loses_a_workload_or_leaves_something_behind(tmp_path: Path) -> None:
    begun, tally = time.monotonic(), Tally()
    with ProcessPoolExecutor(LANES, mp_context=get_context("spawn")) as lanes:
        for told in [lanes.submit(lane, number, tmp_path / f"lane-{number}") for number in range(LANES)]:
            tally.add(told.result())
    if WANTED:
        write(tally)
        took = f"{time.monotonic() - begun:.0f} s, {tally.cpu_s:.0f} CPU-s"
        sys.stderr.write(f"{tally.moves} moves in {took}; {tally.gaps} times a watch did not hear all\n")
    assert tally.wrong == []
    assert tally.faults >= (WANTED or 0.8 * len(FAULTS))


def lane(number: int, folder: Path) -> Tally:
    """A share of the faults, in a process and on a simulated fleet of its own."""
    os.environ["CONTINUUM_HOME"] = str(folder / "empty")
    Store.open().close()
    every, tally = islice(drawn(SEED), number, None, LANES), Tally()
    if not WANTED:
        every = islice((faults[:1] for faults in every), -(-(len(FAULTS) - number) // LANES))
    begun = os.times()
    with starting_simulation(
        folder / "local", speed=SPEED, seed=7, start=START, fleet=TWO_CLUSTERS, keeps_state=False
    ) as child:
        simulation = ready(child)
        fleet = load_fleet(simulation.fleet_file)
        hook = Hook(keeping(Clusters(fleet)))
        with Watcher(fleet) as watcher:
            for count, faults in enumerate(every):
                shutil.copytree(folder / "empty", folder / str(count))
                os.environ["CONTINUUM_HOME"] = str(folder / str(count))
                strike(simulation, watcher, hook, f"shop-{number}-{count}", faults, tally, count % 4 == 3)
                tally.moves += 1
                if WANTED and tally.faults >= WANTED / LANES:
                    break
            tally.gaps = watcher.gaps
    tally.cpu_s = sum(os.times()[:4]) - sum(begun[:4])
    return tally


def strike(
    simulation: Simulation, watcher: Watcher, hook: Hook, name: str, faults: list[tuple[str, str]], tally: Tally,
    has_data: bool,
) -> None:  # fmt: skip
    """One workload, its move, the faults, runs without faults until all has ended; and then a look at what is there.

    has_data: it is a StatefulSet whose data the hook takes along.
    """
    clusters, before = Clusters(watcher.fleet), len(tally.wrong)
    deploy(clusters(SOURCE), name, START_S, hook=hook.url if has_data else "")
    movers = Clusters(watcher.fleet, quick=True)
    scene = Scene(simulation, movers, name, random.Random(f"{SEED} {name}"), planned(clusters, name))
    struck: list[tuple[str, str]] = []
    for fault, stage in faults:
        FAULTS[fault](scene, stage)
        struck += [(fault, scene.struck)] if scene.struck else []
    ended = settle(scene)
    done = ended.state == State.DONE or scene.moved_by_others
    with suppress(AssertionError):  # a StatefulSet that somebody edits has a pod less until its roll-out ends
        until(lambda: scene.removed_by_others or not look(clusters, name, done=done).lost(scene.expected))
    found = look(clusters, name, done=done)
    left = [each for each in found.left if each != scene.theirs]
    until(lambda: watcher.serving(name) == found.source + found.target)  # it has heard all
    least = watcher.least(name)
    tidy(clusters, name)
    remove_claims(clusters, name, *((SOURCE, TARGET) if has_data else ()))
    who = hook.last(
        name
    )  # nobody takes writes after `checkpoint`, the copy does after `restore`, the source by `resume`
    mute = who in (("resume",) if found.target else ("checkpoint", "restore")) and not scene.removed_by_others
    lost = found.lost(scene.expected) and not scene.removed_by_others
    below = least < scene.floor and not scene.forced
    for fault, stage in struck:
        tally.counts.setdefault(fault, Counter())["faults"] += 1
        tally.outcomes.setdefault((fault, stage), Counter())[str(ended.state)] += 1
    tally.counts.setdefault((struck or faults)[0][0], Counter()).update(
        lost=lost, under_floor=below, duplicates=found.doubled, orphans=len(left))  # fmt: skip
    if lost or below or found.doubled or left or mute or ended.state not in (State.DONE, State.UNDONE):
        told = ", ".join(f"{fault} at {stage}" for fault, stage in struck)
        tally.wrong.append(
            f"{name}: {told}: {ended.state} ({ended.detail}); {found}, least {least} of {scene.floor}, hook {who}"
        )
    if WANTED:
        said = f"\n{tally.wrong[-1]}\n" if len(tally.wrong) > before else ""
        sys.stderr.write(f"{said}\r{tally.faults} of {WANTED / LANES:.0f} faults, {len(tally.wrong)} wrong ")


def write(tally: Tally) -> None:
    """The table, and `build/faults.json`."""
    columns = ("faults", "lost", "under_floor", "duplicates", "orphans")
    by_fault = {fault: {name: each[name] for name in columns} for fault, each in sorted(tally.counts.items())}
    document = {name: sum(each[name] for each in by_fault.values()) for name in columns} | {"by_fault": by_fault}
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    (folder / "faults.json").write_text(json.dumps(document, indent=2) + "\n")
    lines = [f"{'fault':28}" + "".join(f"{stage:>14}" for stage in STAGES) + "   " + " ".join(columns)]
    for fault, counted in by_fault.items():
        cells = []
        for stage in STAGES:
            ended = tally.outcomes.get((fault, stage), Counter())
            cells.append(f"{'/'.join(f'{count} {state}' for state, count in sorted(ended.items())):>14}")
        lines.append(f"{fault:28}" + "".join(cells) + "   " + " ".join(str(counted[name]) for name in columns))
    lines.append(
        f"in all: {document['faults']} faults, " + ", ".join(f"{document[name]} {name}" for name in columns[1:])
    )
    sys.stderr.write("\n" + "\n".join(lines) + "\n")
