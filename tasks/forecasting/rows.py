"""Rows of a file: (series, time, value, features), and the distances between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """N readable rows.

    Attributes
    ----------
    names: series by number. number: (N,) series of each row. time_s: (N,) seconds since 1970 UTC.
    value: (N,) float64, NaN where missing. line: (N,) line in the file.
    features: (N, K) float32, known beforehand, NaN where not.
    """

    names: list[str]
    number: Index
    time_s: Index
    value: NDArray[np.float64]
    line: Index
    features: NDArray[np.float32]

    def take(self, rows: Index | NDArray[np.bool_]) -> Rows:
        """The same series, some of the rows."""
        return Rows(
            self.names, self.number[rows], self.time_s[rows], self.value[rows], self.line[rows], self.features[rows]
        )

    def joined(self, other: Rows) -> Rows:
        """These rows and others of the same series."""
        return Rows(
            self.names, np.concatenate([self.number, other.number]), np.concatenate([self.time_s, other.time_s]),
            np.concatenate([self.value, other.value]), np.concatenate([self.line, other.line]),
            np.concatenate([self.features, other.features]),
        )  # fmt: skip


def distances(ordered: Rows) -> tuple[Index, Index]:
    """Series number and distance in seconds of each pair of neighbouring rows of one series, equal times left out."""
    distance = np.diff(ordered.time_s)
    inside = (np.diff(ordered.number) == 0) & (distance > 0)
    return ordered.number[1:][inside], distance[inside]


def runs(number: Index, count: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each series' part of an ascending (N,) array of numbers.

    >>> list(runs(np.array([0, 0, 2]), 3))
    [(0, 2), (2, 2), (2, 3)]
    """
    starts = np.searchsorted(number, np.arange(count + 1))
    return pairwise(int(start) for start in starts)


def usual_step(rows: Rows) -> int | None:
    """Most frequent distance in seconds between neighbouring rows of a series; None where no series has two."""
    apart = distances(rows.take(np.lexsort((rows.time_s, rows.number))))[1]
    if not len(apart):
        return None
    found, count = np.unique(apart, return_counts=True)
    return int(found[count.argmax()])
