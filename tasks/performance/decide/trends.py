"""Does a number rise or fall from day to day? A slope that outliers do not move, and how surely it is one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SURE = 0.95
"""A trend is told from here on; on seven days that is at most four pairs of days out of order."""


@dataclass(frozen=True, eq=False)
class Trends:
    """(N,) each: what the last day would be by the trend, its slope a day, and the chance that it is no accident.

    NaN slope and 0 confidence where fewer than three days are known.
    """

    level: Floats
    slope_per_day: Floats
    confidence: Floats


def trends(days: Floats) -> Trends:
    """Theil-Sen slopes of (N, D) daily values, NaN where a day is not known; D is a handful.

    The slope is the median over all pairs of days, the level the median of the values moved to the last day by it. The
    confidence is that of Mann and Kendall's test, one-sided and exact: 1 - P(so many pairs in this order by accident).

    >>> found = trends(np.array([[1.0, 2.0, 3.0, 4.0, 50.0], [5.0, np.nan, np.nan, np.nan, 1.0]]))
    >>> float(found.slope_per_day[0]), round(float(found.confidence[0]), 3), float(found.confidence[1])
    (1.0, 0.992, 0.0)
    """
    count = days.shape[1]
    pairs = list(combinations(range(count), 2))
    rises = np.stack([(days[:, b] - days[:, a]) / (b - a) for a, b in pairs], axis=1)
    known = np.isfinite(days).sum(axis=1)
    usable = known >= 3
    slope = np.full(len(days), np.nan)
    slope[usable] = np.nanmedian(rises[usable], axis=1)
    level = np.full(len(days), np.nan)
    ages = np.arange(count)[::-1]
    level[usable] = np.nanmedian(days[usable] + slope[usable, None] * ages, axis=1)
    ordered = np.abs(np.nansum(np.sign(rises), axis=1)).astype(int)
    sure = [1 - accident(int(n), int(s)) if n >= 3 else 0.0 for n, s in zip(known, ordered, strict=True)]
    return Trends(level, slope, np.array(sure, dtype=np.float64))


def accident(days: int, score: int) -> float:
    """Chance that n values in random order have a Kendall score (pairs in order less pairs out of it) of at least S.

    The permutations of n with i inversions are counted by the product of 1 + x + ... + x^(m-1) over m = 1..n.

    >>> [round(accident(7, score), 3) for score in (21, 15, 11)], accident(3, -3)
    ([0.0, 0.015, 0.068], 1.0)
    """
    counts = np.ones(1)
    for m in range(2, days + 1):
        counts = np.convolve(counts, np.ones(m))
    scores = days * (days - 1) // 2 - 2 * np.arange(len(counts))
    return float(counts[scores >= score].sum() / counts.sum())
