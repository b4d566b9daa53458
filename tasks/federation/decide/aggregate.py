"""Many updates into one: rules that a few hostile devices cannot steer, without holding the updates in memory.

Updates come as a sequence of rows, e.g. an (N, P) memory map; every rule reads them row by row or a few columns at a
time. Their order decides the last bit of a float32 sum: give them in the order of the devices, not of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import saxpy

from tasks.federation.decide.models import Vector
from tasks.federation.decide.updates import Answer, norm

CHUNK = 2048  # columns at a time: 8 MB for 1,000 updates


class Deltas(Sequence[Vector]):
    """The numbers of answers, each asked for when it is read: many need no memory where they lie on a disk."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __len__(self) -> int:
        return len(self._answers)

    def __getitem__(self, at: Any) -> Any:
        return self._answers[at].delta


class Picked(Sequence[Vector]):
    """Some rows of others, in the order given."""

    def __init__(self, rows: UpdateRows, places: Sequence[int]) -> None:
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        return self._rows[self._places[at]]


UpdateRows = Sequence[Vector] | NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stand:
    """What a rule works with: (N,) weights (rows of each device), (N,) norms, and the hostile updates to stand."""

    weights: Floats
    norms: Floats
    hostile: int = 0


def _clipped_mean(updates: UpdateRows, stand: Stand) -> Vector:
    """Weighted mean of updates no longer than the median: u_i * min(1, c / |u_i|), c the median of |u_i|.

    One model in memory beside the row that is read.
    """
    bound = float(np.median(stand.norms))
    shrink = np.minimum(1.0, bound / np.maximum(stand.norms, np.finfo(np.float32).tiny))
    return mean(updates, stand.weights * shrink, float(stand.weights.sum()))


def mean(updates: UpdateRows, weights: Floats, total: float) -> Vector:
    """sum(w_i u_i) / total, streaming."""
    out = np.zeros(len(updates[0]), np.float32)
    for row, weight in zip(updates, weights, strict=True):
        out = saxpy(row, out, a=weight / total)  # in place: no temporary
    return out


def _multi_krum(updates: UpdateRows, stand: Stand) -> Vector:
    """Mean of the n - f updates that lie closest to their n - f - 2 nearest (Blanchard et al. 2017), clipped.

    Without weights: how many rows it has is a device's own word. f is cut to (n - 3) / 2, beyond which the rule
    promises nothing; fewer than 3 updates are taken as they are.
    """
    count = len(updates)
    hostile = min(stand.hostile, max(0, (count - 3) // 2))
    kept = np.arange(count)
    if count > 2:
        near = np.sort(_distances(updates), axis=1)[:, 1 : count - hostile - 1]  # column 0 is the update itself
        kept = np.sort(np.argsort(near.sum(axis=1), kind="stable")[: count - hostile])
    return _clipped_mean(Picked(updates, kept.tolist()), Stand(np.ones(len(kept)), stand.norms[kept]))


def _trimmed_mean(updates: UpdateRows, stand: Stand) -> Vector:
    """Mean of each coordinate without its f lowest and f highest values (Yin et al. 2018); f is cut to (n - 1) / 2."""
    cut = min(stand.hostile, (len(updates) - 1) // 2)
    return _trimmed(updates, cut)


def median(updates: UpdateRows, _: Stand) -> Vector:
    """Median of each coordinate."""
    return _trimmed(updates, (len(updates) - 1) // 2)


RULES: dict[str, Callable[[UpdateRows, Stand], Vector]] = {
    "mean": _clipped_mean,  # nobody is thought hostile; a long update cannot outweigh the others
    "multi-krum": _multi_krum,  # a hostile share is assumed
    "trimmed-mean": _trimmed_mean,
    "median": median,
}


def rule_of(name: str, hostile_share: float) -> str:
    """`auto` is Multi-Krum as soon as a hostile share is assumed, else the clipped mean."""
    if name != "auto":
        return name
    return "multi-krum" if hostile_share else "mean"


def _trimmed(updates: UpdateRows, cut: int) -> Vector:
    count = len(updates)
    out = np.empty(len(updates[0]), np.float32)
    for at, block in _columns(updates):
        block.sort(axis=1)  # NumPy sorts float32 by vector instructions: faster than to partition at two places
        out[at : at + len(block)] = block[:, cut : count - cut].mean(axis=1, dtype=np.float64)
    return out


def _distances(updates: UpdateRows) -> Floats:
    """(N, N) squared distances, from the products of the updates summed over columns."""
    products = np.zeros((len(updates), len(updates)))
    for _, block in _columns(updates):
        products += block.T @ block
    squares = np.diag(products)
    found = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0)
    np.fill_diagonal(found, -1.0)  # sorts first, whatever is rounded
    return found


def _columns(updates: UpdateRows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first column, (columns, N) block) with each coordinate's values side by side."""
    for at in range(0, len(updates[0]), CHUNK):
        yield at, np.ascontiguousarray(np.stack([np.array(row[at : at + CHUNK]) for row in updates]).T)


def norms_of(updates: UpdateRows) -> Floats:
    """(N,) lengths, row by row."""
    return np.array([norm(row) for row in updates])
