"""Which edges may train, and what the held-back rows are that a model is judged by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.store.edges import edges
from blocks.store.rounds import rounds, rows_told
from blocks.store.tables import now
from tasks.federation.decide.cohort import Device
from tasks.federation.decide.models import Shape
from tasks.federation.decide.split import held_back
from tasks.federation.files import read_dataset
from tasks.federation.world import FARTHEST, HIDDEN, HOLD, Asked, World, build_world
from tasks.run import Run

PUBLIC = ("digits", "ai4i")  # the simulated devices hold the rest of these
GATE_OF_FILE = 0.4  # of a file's rows; the others are the test's


@dataclass(frozen=True)
class View:
    """The devices, and the rows that no device holds."""

    as_of: datetime
    devices: tuple[Device, ...]
    held: World
    classes: tuple[str, ...]
    trouble: tuple[str, ...]


@task(name="observe devices", cache_policy=NO_CACHE, persist_result=False)
def observe_devices(run: Run, model: str, data: str, label: str, kind: str, seed: int) -> View:
    """Every edge as the hub knows it, and the held-back rows."""
    refused: list[str] = []
    held, classes = held_rows(data, label, kind, seed, refused)
    return View(now(), tuple(devices(run, model)), held, classes, tuple(refused[:5]))


def devices(run: Run, model: str) -> list[Device]:
    """Every edge: when it was last heard of, its rows, and how often it was asked for this model."""
    at, told = now(), rows_told(run.store, model)
    asked = Counter(name for each in rounds(run.store, model) for name in each.content["selected"])
    return [Device(edge.name, (at - edge.seen_at).total_seconds() if edge.seen_at else None, told.get(edge.name, 0),
                   asked[edge.name]) for edge in edges(run.store)]  # fmt: skip


def held_rows(data: str, label: str, kind: str, seed: int, refused: list[str]) -> tuple[World, tuple[str, ...]]:
    """The gate's and the test's rows: a share of the public sets (15 % and 25 %), all rows of a file (40 % and 60 %).

    Raises
    ------
    InvalidInput, NotConfigured: see `read_dataset`.
    """
    dataset = read_dataset(data, label, refused)
    if data in PUBLIC:
        return build_world(dataset, Asked(devices=1, model=kind, seed=seed)), dataset.classes
    _, gate, test = held_back(dataset.units, (GATE_OF_FILE, 1 - GATE_OF_FILE), [seed, HOLD])
    middle, spread = dataset.rows[gate].mean(axis=0), dataset.rows[gate].std(axis=0)
    spread = np.where(spread > 0, spread, np.float32(1))
    rows = np.clip((dataset.rows - middle) / spread, -FARTHEST, FARTHEST).astype(np.float32)
    shape = Shape(rows.shape[1], len(dataset.classes), HIDDEN if kind == "mlp" else 0)
    return World(shape, rows, dataset.labels, [], gate, test, frozenset(), middle, spread), dataset.classes
