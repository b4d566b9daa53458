"""Conformal calibration: shift each quantile so that it holds, for a group of series and then for each series alone."""

from __future__ import annotations

import numpy as np

from blocks.series import Float
from tasks.forecasting.decide.history import Index

RATE = 0.5  # of a unit that a quantile moves after an origin whose steps all lay on its wrong side
MEMORY = 0.05  # share of a new origin in a series' unit
FARTHEST = 1.0  # units that a group's offset may reach: beyond it the scores are outliers of few series


def split_conformal(scores: Float, levels: tuple[float, ...], *, holds_median: bool) -> Float:
    """Offset of each quantile level that the scores ask for, one-sided.

    The k-th smallest score with k = ceil((n + 1) q) for q > 0.5 and, mirrored, floor((n + 1) q) for q < 0.5, within
    1..n (Vovk et al. 2005; Romano, Patterson and Candes 2019, "Conformalized quantile regression", taken one side at a
    time).

    Parameters
    ----------
    scores:
        (N, Q) actual - quantile, NaN where nothing was measured.
    levels:
        Q quantile levels in 0-1.
    holds_median:
        whether the median stays as it is.

    Returns
    -------
    (Q,) float32; 0 where no score is known.

    >>> split_conformal(np.array([[-3.0, 1], [-1, 2], [0, 4]], np.float32), (0.25, 0.75), holds_median=True).tolist()
    [-3.0, 4.0]
    """
    ordered = np.sort(scores, axis=0)
    count = np.isfinite(scores).sum(axis=0)
    if not count.any():
        return np.zeros(len(levels), np.float32)
    wanted = np.array(levels)
    rank = np.where(wanted >= 0.5, np.ceil((count + 1) * wanted), np.floor((count + 1) * wanted))
    place = np.clip(rank - 1, 0, np.maximum(count - 1, 0)).astype(np.int64)
    found = np.take_along_axis(ordered, place[None], axis=0)[0]
    shifted = (np.abs(wanted - 0.5) > 1e-9) | (not holds_median)
    return np.where((count > 0) & shifted, found, 0).astype(np.float32)


class Track:
    """Offsets of N series' quantiles that follow each series' own misses: adaptive conformal inference online.

    After each origin a quantile that was exceeded too often moves up, one that was exceeded too seldom down, by
    RATE x unit x (q - share below) x 0.3 / sqrt(q (1 - q)): its long-run coverage is right whatever the series does
    (Gibbs and Candes 2021, "Adaptive conformal inference under distribution shift"; in the form of quantile tracking,
    Angelopoulos, Candes and Tibshirani 2023, "Conformal PID control"). The unit is the series' mean |median error|.

    Attributes
    ----------
    offset: (N, Q) now. unit: (N,) now, 0 before anything is known.
    """

    def __init__(self, count: int, levels: tuple[float, ...], *, holds_median: bool) -> None:
        self.offset = np.zeros((count, len(levels)), np.float32)
        self.unit = np.zeros(count, np.float32)
        self._levels = np.array(levels, np.float32)
        self._low = self._levels < 0.5
        self._middle = int(np.argmin(np.abs(self._levels - 0.5)))
        moves = (np.abs(self._levels - 0.5) > 1e-6) | (not holds_median)
        root = np.sqrt(self._levels * (1 - self._levels))
        self._rate = np.where(moves, RATE * 0.3 / root, 0).astype(np.float32)

    def learn(self, scores: Float, offsets: Float) -> None:
        """Move by what has newly come.

        Parameters
        ----------
        scores:
            (N, K, Q) actual - quantile of K steps, without any offset; NaN unknown.
        offsets:
            (N, K, Q) or (N, 1, Q) offset that was in force at each.
        """
        known = np.isfinite(scores[:, :, self._middle])
        count = known.sum(axis=1)
        error = scores - offsets
        # a value on the border is inside the band, on either side
        below = np.where(self._low, error < 0, error <= 0)
        share = (below & known[:, :, None]).sum(axis=1) / np.maximum(count, 1)[:, None]
        size = np.where(known, np.abs(scores[:, :, self._middle]), 0).sum(axis=1) / np.maximum(count, 1)
        some = count > 0
        fresh = np.where(self.unit > 0, self.unit + (size - self.unit) * np.float32(MEMORY), size)
        self.unit = np.where(some, fresh, self.unit).astype(np.float32)
        move = self._rate * (self._levels - share.astype(np.float32)) * self.unit[:, None]
        self.offset = np.where(some[:, None], self.offset + move, self.offset)


def track(
    scores: Float, origins: Index, last: int, levels: tuple[float, ...], spread: Float, *, holds_median: bool
) -> Track:
    """Follow M past origins in time, on top of the groups' offsets: at each, only what had come until then is known.

    Parameters
    ----------
    scores:
        (M, N, H, Q) actual - quantile, NaN where not known at `last`.
    origins:
        (M,) columns, ascending.
    last:
        the present column.
    spread:
        (N, H, Q) the groups' offsets, in units.
    holds_median:
        whether the median stays as it is.
    """
    horizon = scores.shape[2]
    state = Track(scores.shape[1], levels, holds_median=holds_median)
    offsets = np.zeros((len(scores), scores.shape[1], 1, len(levels)), np.float32)
    units = np.zeros((len(scores), scores.shape[1]), np.float32)
    moments = [*origins.tolist(), last]
    for a, now in enumerate(moments):
        parts, at = [], []
        for b in range(a - 1, -1, -1):
            begin, end = max(moments[a - 1] - moments[b], 0), min(now - moments[b], horizon)
            if begin >= horizon:
                break
            parts.append(scores[b][:, begin:end])
            at.append(offsets[b] + units[b][:, None, None] * spread[:, begin:end])
        if parts:
            state.learn(np.concatenate(parts, axis=1), np.concatenate(at, axis=1))
        if a < len(scores):
            offsets[a, :, 0], units[a] = state.offset, state.unit
    return state
