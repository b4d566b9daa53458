"""A device's part of a federated round: arithmetic of `tasks/federation`, on rows that never leave the device."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blocks.errors import InvalidInput, Refused
from tasks.federation.decide.models import Labels, Rows, Shape, Vector, log_probabilities
from tasks.federation.decide.training import Training, train
from tasks.federation.decide.updates import pack
from tasks.federation.decide.wire import read_model, write_update

MOST_BASE_BYTES = 256 * 2**20
LABEL = "label"
_HEX = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Scaling:
    """What rows go through first: (row - middle) / spread, cut to +-farthest; (features,) each."""

    middle: Vector
    spread: Vector
    farthest: float

    def __call__(self, rows: Rows) -> Rows:
        """The rows as they are trained on, float32."""
        return np.asarray(np.clip((rows - self.middle) / self.spread, -self.farthest, self.farthest), np.float32)


@dataclass(frozen=True)
class Round:
    """What the hub asks for. base: sha256 of the model that all start from, in hexadecimal."""

    id: str
    model: str
    base: str
    seed: int
    deadline: str
    how: Training
    kind: str
    scaling: Scaling | None = None


@dataclass(frozen=True)
class LocalData:
    """The device's own rows (N, features) float32 and labels (N,)."""

    rows: Rows
    labels: Labels


def read_round(document: Any) -> Round:
    """The round in a desired state.

    Raises
    ------
    InvalidInput: a field is missing or out of its range.
    """
    try:
        base = _HEX.fullmatch(document["base"])
        how = Training(_whole(document["epochs"], 1, 1_000), _rate(document["lr"]), _whole(document["batch"], 1, 10**6))
        found = Round(
            id=_text(document["id"]),
            model=_text(document["model"]),
            base=base[1] if base else "",
            seed=_whole(document["seed"], 0, 2**63),
            deadline=_text(document["deadline"]),
            how=how,
            kind=document["kind"],
            scaling=_scaling(document.get("scaling")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"a field does not fit: {error}", where="round", fix="publish it again") from None
    if not found.base or found.kind not in ("softmax", "mlp"):
        raise InvalidInput("no base digest, or an unknown kind", where=f"round {found.id}", fix="softmax or mlp")
    return found


def read_rows(path: Path) -> LocalData:
    """CSV with a header, a column `label` of whole numbers and features in all others; or .npz with rows and labels.

    Raises
    ------
    InvalidInput: cannot be read, or a cell is no finite number.
    """
    where = str(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                rows, labels = arrays["rows"].astype(np.float32), arrays["labels"]
        else:
            with path.open(newline="", encoding="utf-8") as file:
                names = next(csv.reader(file))
                at = names.index(LABEL)
                lines = file.read().split("\n")
            table = np.array([line.split(",") for line in lines if line.strip()], np.float64).reshape(-1, len(names))
            rows, labels = np.delete(table, at, axis=1).astype(np.float32), table[:, at]
    except (OSError, KeyError, ValueError, StopIteration, EOFError) as error:
        raise InvalidInput(f"no table of rows: {error}", where=where, fix=f"numbers, and a column {LABEL}") from None
    whole = labels.astype(np.int64)
    if rows.ndim != 2 or labels.shape != (len(rows),) or not len(rows):
        raise InvalidInput("rows and labels do not belong together", where=where, fix="a label a row")
    if not np.isfinite(rows).all() or (whole != labels).any() or (whole < 0).any():
        raise InvalidInput("a cell is no finite number, or a label no whole one", where=where, fix="mend the file")
    return LocalData(rows, whole)


def take_part(edge: str, asked: Round, blob: bytes, data: LocalData) -> bytes:
    """The update of this device, as it is sent: the same bytes for the same round, base and rows.

    Raises
    ------
    InvalidInput: the base does not fit the round or the rows. Refused: training diverged.
    """
    shape, base = read_model(blob)
    where = f"round {asked.id}"
    if bool(shape.hidden) != (asked.kind == "mlp"):
        raise InvalidInput(f"its base is no {asked.kind} model", where=where, fix="publish it again")
    if data.rows.shape[1] != shape.features or int(data.labels.max()) >= shape.classes:
        told = f"the model is for {shape.features} features and {shape.classes} classes"
        raise InvalidInput(told, where=where, fix="look at [training] rows")
    rows = data.rows
    if asked.scaling is not None:
        if asked.scaling.middle.shape != (shape.features,) or asked.scaling.spread.shape != (shape.features,):
            raise InvalidInput(f"`scaling` is not for {shape.features} features", where=where, fix="publish it again")
        rows = asked.scaling(rows)
    model = train(shape, base, rows, data.labels, asked.how, seed_of(edge, asked))
    delta = model - base
    if not np.isfinite(delta).all():
        raise Refused("training diverged", where=where, fix="ask with a smaller lr")
    return write_update(
        shape, pack(shape, delta), round_id=asked.id, edge=edge, base=f"sha256:{asked.base}", samples=len(rows),
        metrics={"loss_before": _loss(shape, base, rows, data.labels), "loss": _loss(shape, model, rows, data.labels)},
    )  # fmt: skip


def seed_of(edge: str, asked: Round) -> list[int]:
    """Of the order of the rows: differs by edge and round, and can be worked out again by whoever has the record."""
    about = hashlib.sha256(f"{asked.id}\n{edge}".encode()).digest()
    return [asked.seed, int.from_bytes(about[:8], "big")]


def _loss(shape: Shape, model: Vector, rows: Rows, labels: Labels) -> float:
    return float(-log_probabilities(shape, model, rows)[np.arange(len(labels)), labels].mean(dtype=np.float64))


def _scaling(given: Any) -> Scaling | None:
    if given is None:
        return None
    middle, spread = (np.array(given[name], np.float32) for name in ("middle", "spread"))
    farthest = float(given["farthest"])
    if not (np.isfinite(middle).all() and np.isfinite(spread).all() and (spread > 0).all() and farthest > 0):
        raise ValueError("scaling")
    return Scaling(middle, spread, farthest)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        raise ValueError(f"{value!r:.40}")
    return value


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r:.40} is not from {least} to {most}")
    return value


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
        raise ValueError(f"lr {value!r:.40}")
    return float(value)
