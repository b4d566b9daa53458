"""What edge and cloud have answered of late, and the threshold that is in force."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import NotFound
from blocks.manifest import Manifest
from blocks.models import Registry
from blocks.store.edges import told_by
from blocks.store.tables import OutboxItem, now
from tasks.inference.decide.calibration import Floats
from tasks.inference.decide.drift import LEAST_ROWS
from tasks.inference.decide.threshold import Predictions
from tasks.inference.files import read_predictions
from tasks.run import Run

# Of an outbox item whose body has model and edge_confidence; where it is known, edge_correct and cloud_correct as well.
KIND = "prediction"


@dataclass(frozen=True)
class View:
    """The version in force and the rows of late; `trouble` names rows that could not be read.

    rows: answered by both, from a file or from edges. confidence: (N,) of the edges' answers of late, whoever was
    right; those of the file where edges have told of too few.
    """

    as_of: datetime
    manifest: Manifest
    rows: Predictions
    confidence: Floats
    trouble: tuple[str, ...]


@task(name="observe predictions", cache_policy=NO_CACHE, persist_result=False)
def observe_predictions(
    run: Run, model: str, version: str, file: str, hours: float, edge_cost: float, cloud_cost: float
) -> View:
    """What edges have told in the last hours, and rows that both have answered: of a file, or among those."""
    registry, refused, at = Registry.open(run.store), list[str](), now()
    manifest = registry.manifest(registry.version(model, version).digest)
    told = told_of(registry, manifest, told_by(run.store, KIND, at - timedelta(hours=hours)))
    rows, confidence = rows_of(told, edge_cost, cloud_cost, refused)
    if file:
        rows = read_predictions(Path(file), edge_cost, cloud_cost, refused)
        confidence = confidence if len(confidence) >= LEAST_ROWS else rows.confidence
    return View(at, manifest, rows, confidence, tuple(refused[:5]))


def told_of(registry: Registry, manifest: Manifest, told: Sequence[OutboxItem]) -> list[OutboxItem]:
    """Items about this version's model, of versions that answer as it does."""
    mine = [each for each in told if each.body.get("model") == manifest.model]
    alike = _same_files(registry, manifest, {str(each.body.get("digest", "")) for each in mine})
    return [each for each in mine if each.body.get("digest", "") in alike]


def _same_files(registry: Registry, manifest: Manifest, digests: Collection[str]) -> set[str]:
    """Those of the digests whose versions answer as this one does: the same files, perhaps under another threshold.
    "" (not told) counts as such.
    """
    alike = {""}
    for digest in filter(None, digests):
        try:
            if registry.manifest(digest).files == manifest.files:
                alike.add(digest)
        except NotFound:
            continue
    return alike


def rows_of(
    told: Sequence[OutboxItem], edge_cost: float, cloud_cost: float, refused: list[str]
) -> tuple[Predictions, Floats]:  # fmt: skip
    """What edges have told: the rows of which it is known who was right, and the confidences of all. An item that does
    not fit is left out and named in `refused`.
    """
    good, sure = list[tuple[float, bool, bool]](), list[float]()
    for item in told:
        confidence, *correct = (item.body.get(name) for name in ("edge_confidence", "edge_correct", "cloud_correct"))
        known = [each for each in correct if each is not None]
        if not (isinstance(confidence, int | float) and 0 <= confidence <= 1 and all(each in (0, 1) for each in known)):
            refused.append(f"edge {item.edge}, item {item.seq}: is no prediction: left out")
            continue
        sure.append(float(confidence))
        if len(known) == len(correct):
            good.append((float(confidence), bool(correct[0]), bool(correct[1])))
    columns = list(zip(*good, strict=True)) if good else [(), (), ()]
    rows = Predictions(np.array(columns[0], np.float64), np.array(columns[1], np.bool_), np.array(columns[2], np.bool_),
                       np.full(len(good), edge_cost), np.full(len(good), cloud_cost))  # fmt: skip
    return rows, np.array(sure, np.float64)
