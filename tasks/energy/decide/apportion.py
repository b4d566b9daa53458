"""Whole numbers shared out so that the parts add up to the total exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def apportion(totals: Ints, group: Ints, weights: Floats) -> Ints:
    """Share each total out among the rows of its group, by largest remainder.

    Parameters
    ----------
    totals: (G,) whole numbers of 0 or more. group: (K,) index of each row's group.
    weights: (K,) of 0 or more; they need not add up to 1. A group without any weight goes to the first of its rows.

    Returns
    -------
    (K,) whole numbers of 0 or more whose sum over a group is its total. A group without rows gives nothing away.

    >>> apportion(np.array([10, 5]), np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 0.0])).tolist()
    [4, 3, 3, 5]
    """
    count = len(totals)
    first = np.full(count, -1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    sums = np.bincount(group, weights, minlength=count)
    empty = first[(sums <= 0) & (first >= 0)]
    weights = weights.copy()
    weights[empty] = 1.0
    sums = np.bincount(group, weights, minlength=count)
    exact = totals[group] * (weights / sums[group])
    parts = np.floor(exact).astype(np.int64)
    # floats may have given away more than there is, of totals beyond 2**53; take it back from the largest part
    left = totals - np.bincount(group, parts, minlength=count).astype(np.int64)
    order = np.lexsort((np.arange(len(group)), -(exact - parts), group))
    rank = np.empty(len(group), np.int64)
    begins = np.searchsorted(group[order], np.arange(count))
    rank[order] = np.arange(len(group)) - begins[group[order]]
    parts += (rank < left[group]) & (weights > 0)
    left = totals - np.bincount(group, parts, minlength=count).astype(np.int64)
    odd = np.flatnonzero((left != 0) & (first >= 0))
    for each in odd:  # never in practice: a remainder beyond the rows that have weight
        rows = np.flatnonzero(group == each)
        parts[rows[weights[rows].argmax()]] += left[each]
    return parts
