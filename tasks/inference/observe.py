"""What edge and cloud have answered of late, and the threshold that is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.manifest import Manifest
from blocks.models import Registry
from blocks.store.edges import told_by
from blocks.store.tables import OutboxItem, now
from tasks.inference.decide.threshold import Predictions
from tasks.inference.files import read_predictions
from tasks.run import Run

KIND = "prediction"  # of an outbox item whose body has model, edge_confidence, edge_correct and cloud_correct


@dataclass(frozen=True)
class View:
    """The version in force and the rows of late; `trouble` names rows that could not be read."""

    as_of: datetime
    manifest: Manifest
    rows: Predictions
    trouble: tuple[str, ...]


@task(name="observe predictions", cache_policy=NO_CACHE, persist_result=False)
def observe_predictions(
    run: Run, model: str, version: str, file: str, hours: float, edge_cost: float, cloud_cost: float
) -> View:
    """Rows of a file, or of what edges have told in the last hours."""
    registry, refused, at = Registry.open(run.store), list[str](), now()
    manifest = registry.manifest(registry.version(model, version).digest)
    if file:
        rows = read_predictions(Path(file), edge_cost, cloud_cost, refused)
    else:
        told = told_by(run.store, KIND, at - timedelta(hours=hours))
        rows = rows_of(told, model, edge_cost, cloud_cost, refused)
    return View(at, manifest, rows, tuple(refused[:5]))


def rows_of(
    told: Sequence[OutboxItem], model: str, edge_cost: float, cloud_cost: float, refused: list[str]
) -> Predictions:  # fmt: skip
    """What edges have told of a model; an item that does not fit is left out and named in `refused`."""
    good: list[tuple[float, bool, bool]] = []
    for item in told:
        if item.body.get("model") != model:
            continue
        confidence, *correct = (item.body.get(name) for name in ("edge_confidence", "edge_correct", "cloud_correct"))
        fits = isinstance(confidence, int | float) and 0 <= confidence <= 1
        if fits and all(each in (0, 1) for each in correct):
            good.append((float(confidence or 0.0), bool(correct[0]), bool(correct[1])))
        else:
            refused.append(f"edge {item.edge}, item {item.seq}: is no prediction: left out")
    columns = list(zip(*good, strict=True)) if good else [(), (), ()]
    return Predictions(np.array(columns[0], np.float64), np.array(columns[1], np.bool_), np.array(columns[2], np.bool_),
                       np.full(len(good), edge_cost), np.full(len(good), cloud_cost))  # fmt: skip
