"""Local search over open sites: swap one in for one out, open one, close one; every move is rated at once.

Whitaker's fast interchange (1983), as Resende and Werneck (2007) write it: with the nearest and second nearest open
site of every client, opening j for r changes the cost by
sum_i -max(0, d1_i - c_ij) + sum_{i served by r} (min(max(c_ij, d1_i), d2_i) - d1_i).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

MOVES = 2_000


def interchange(cost: Float, open_cost: Float, start: Int, free_count: bool) -> tuple[Int, float]:
    """Open sites, sorted, and their whole cost, such that no move of one site is better.

    Parameters
    ----------
    cost: (I, J). open_cost: (J,). start: sites that are open at first.
    free_count: sites may also be opened and closed on their own.
    """
    chosen = np.sort(start)
    for _ in range(MOVES):
        near, first, second = _two_nearest(cost, chosen)
        save = np.maximum(first[:, None] - cost, 0.0).sum(axis=0)  # by opening each site
        closed = np.setdiff1d(np.arange(cost.shape[1]), chosen, assume_unique=True)
        moves: list[tuple[float, int, int]] = []
        if len(closed):
            change = _swaps(cost[:, closed], near, first, second, len(chosen))
            change += (open_cost[closed] - save[closed])[None, :] - open_cost[chosen][:, None]
            at = int(change.argmin())
            out, into = divmod(at, len(closed))
            moves.append((float(change.flat[at]), out, int(closed[into])))
            if free_count:
                alone = open_cost[closed] - save[closed]
                moves.append((float(alone.min()), -1, int(closed[int(alone.argmin())])))
        if free_count and len(chosen) > 1:
            lost = np.bincount(near, weights=second - first, minlength=len(chosen)) - open_cost[chosen]
            moves.append((float(lost.min()), int(lost.argmin()), -1))
        if not moves:
            break
        change_by, out, into = min(moves)
        if change_by >= -1e-9 * max(1.0, float(first.sum())):
            break
        kept = chosen if out < 0 else np.delete(chosen, out)
        chosen = np.sort(kept if into < 0 else np.append(kept, into))
    _, first, _ = _two_nearest(cost, chosen)
    return chosen, float(first.sum() + open_cost[chosen].sum())


def _two_nearest(cost: Float, chosen: Int) -> tuple[Int, Float, Float]:
    """(I,) position of the nearest open site, cost there, and at the second nearest (infinite for one open)."""
    at = cost[:, chosen]
    near = at.argmin(axis=1)
    rows = np.arange(len(cost))
    first = at[rows, near]
    if len(chosen) == 1:
        return near, first, np.full(len(cost), np.inf)
    return near, first, np.partition(at, 1, axis=1)[:, 1]


def _swaps(cost: Float, near: Int, first: Float, second: Float, count: int) -> Float:
    """(open, closed) what closing each open site costs its clients, if the closed one is open in its place."""
    order = np.argsort(near, kind="stable")
    worse = np.clip(cost[order], first[order, None], second[order, None]) - first[order, None]
    begins = np.searchsorted(near[order], np.arange(count))
    # a last row of zeros: `reduceat` needs every begin to exist; sites that serve nobody are zeroed
    total = np.add.reduceat(np.vstack([worse, np.zeros((1, cost.shape[1]))]), begins, axis=0)
    total[np.bincount(near, minlength=count) == 0] = 0.0
    return total
