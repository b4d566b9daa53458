"""Which edges may train, and what the held-back rows are that a model is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.store.edges import edges
from blocks.store.rounds import rounds, rows_told
from blocks.store.tables import TrainingRound, now
from tasks.carbon.offline import zone_series
from tasks.federation.decide.cohort import Device
from tasks.federation.decide.models import Shape
from tasks.federation.decide.privacy import Ledger
from tasks.federation.decide.split import held_back
from tasks.federation.files import PUBLIC, read_dataset
from tasks.federation.world import FARTHEST, HIDDEN, HOLD, Asked, World, build_world
from tasks.run import Run

GATE_OF_FILE = 0.4  # of a file's rows; the others are the test's


@dataclass(frozen=True)
class View:
    """The devices, the rows that no device holds, and what the model's rounds have spent of its privacy budget."""

    as_of: datetime
    devices: tuple[Device, ...]
    held: World
    classes: tuple[str, ...]
    ledger: Ledger
    trouble: tuple[str, ...]


@task(name="observe devices", cache_policy=NO_CACHE, persist_result=False)
def observe_devices(
    run: Run, model: str, data: str, label: str, kind: str, seed: int, *, carbon: bool
) -> View:  # fmt: skip
    """Every edge as the hub knows it, and the held-back rows."""
    refused: list[str] = []
    held, classes = held_rows(data, label, kind, seed, refused)
    found = devices(run, model, carbon=carbon, trouble=refused)
    return View(now(), tuple(found), held, classes, ledger_of(rounds(run.store, model)), tuple(refused[:5]))


def devices(run: Run, model: str, *, carbon: bool, trouble: list[str]) -> list[Device]:
    """Every edge: when it was last heard of, its rows, how often it was asked for this model.

    carbon: look up the intensity of its power as well; `trouble` gets a line for each region where it is not known.
    """
    at, told, known = now(), rows_told(run.store, model), edges(run.store)
    asked = Counter(name for each in rounds(run.store, model) for name in each.content["selected"])
    regions = sorted({edge.region for edge in known}) if carbon else []
    intensity = {region: _carbon(run, region, at, trouble) for region in regions}
    return [Device(edge.name, (at - edge.seen_at).total_seconds() if edge.seen_at else None, told.get(edge.name, 0),
                   asked[edge.name], intensity.get(edge.region)) for edge in known]  # fmt: skip


def _carbon(run: Run, region: str, at: datetime, trouble: list[str]) -> float | None:
    """g/kWh now in an edge's region: a site of the fleet, or else a grid zone such as DE."""
    zone = next((site.grid_zone for site in run.fleet.sites if site.name == region), region)
    if not zone:
        return None
    try:
        return float(zone_series(zone, int(at.timestamp()), int(at.timestamp()) + 1).g_per_kwh[0])
    except ContinuumError as error:
        trouble.append(f"{error}; edges of {region} count as on usual power")
        return None


def ledger_of(opened: Sequence[TrainingRound]) -> Ledger:
    """What rounds have spent; one counts from when it is opened, accepted or not. opened: newest first."""
    private = [each.content["privacy"] for each in opened if each.content.get("privacy")]
    kinds = Counter((float(each["noise"]), float(each["share"])) for each in private)
    return Ledger(
        tuple((noise, share, many) for (noise, share), many in sorted(kinds.items())), len(opened) - len(private),
        min((float(each["delta"]) for each in private), default=1.0), private[0]["budget"] if private else None,
    )  # fmt: skip


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
