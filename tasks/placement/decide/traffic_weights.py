"""Whole-number weights out of shares: rounded by largest remainder, moved by some points a pass, off the dead at once.

A row is one (zone, function), a column a site. Weights of a row sum to `total` (100 for per cent, 255 for records
of DNS and accelerators), or to 0 where nothing may be routed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def whole_weights(shares: Floats, total: int = 100) -> Ints:
    """(R, S) whole numbers nearest to `shares` (R, S) >= 0, each row in proportion; a row of zeros stays so.

    Largest remainder (Hamilton's method): what is left after rounding down goes, one each, to the greatest fractions;
    of equal fractions to the greater share, then to the first. Each weight is its share rounded up or down.

    >>> whole_weights(np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0]]), 100).tolist()
    [[34, 33, 33], [0, 75, 25]]
    """
    sums = shares.sum(axis=1, keepdims=True)
    exact = np.round(np.divide(shares, sums, out=np.zeros_like(shares), where=sums > 0) * total, 9)
    low = np.floor(exact)
    left = np.where(sums[:, 0] > 0, total, 0) - low.sum(axis=1)
    order = np.lexsort((np.broadcast_to(np.arange(shares.shape[1]), shares.shape), -exact, low - exact), axis=1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(shares.shape[1]), shares.shape), axis=1)
    return np.asarray(low + (rank < left[:, None]), dtype=np.int64)


def failover(weights: Ints, alive: Bools, spare: Floats, total: int = 100) -> Ints:
    """(R, S) weights with those of dead sites spread over the living, in proportion to what these have.

    `alive` (R, S). Where no living site has a weight, `spare` (R, S) >= 0 says how to share (0 where dead); where
    that is 0 too, all weights are 0: nothing can be routed there.

    >>> failover(np.array([[50, 30, 20]]), np.array([[False, True, True]]), np.zeros((1, 3))).tolist()
    [[0, 60, 40]]
    """
    kept = np.where(alive, weights, 0).astype(np.float64)
    lost = kept.sum(axis=1) == 0
    kept[lost] = np.where(alive[lost], spare[lost], 0)
    touched = lost | (kept != weights).any(axis=1)
    return np.where(touched[:, None], whole_weights(kept, total), weights)


def limited(weights: Ints, target: Floats, most: int, total: int = 100) -> Ints:
    """(R, S) weights on the way from `weights` to shares `target`, none changed by more than `most` points.

    The whole row goes the same part of its way, so that it sums to `total` at every pass; rounding keeps to the limit,
    since weights and limit are whole numbers. A row that routed nothing, or is to route nothing, is set at once.

    >>> limited(np.array([[100, 0, 0]]), np.array([[0.0, 0.5, 0.5]]), 20).tolist()
    [[80, 10, 10]]
    """
    sums = target.sum(axis=1, keepdims=True)
    wanted = np.divide(target, sums, out=np.zeros_like(target), where=sums > 0) * total
    far = np.abs(wanted - weights).max(axis=1, initial=0)
    part = np.divide(most, far, out=np.ones_like(far), where=far > most)
    fresh = (weights.sum(axis=1) == 0) | (sums[:, 0] == 0)
    part[fresh] = 1.0
    return whole_weights(weights + part[:, None] * (wanted - weights), total)
