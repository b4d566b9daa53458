"""Split-conformal calibration: shift each quantile so that it held on origins the model was not fitted to."""

from __future__ import annotations

import numpy as np

from blocks.series import Float


def offsets(scores: Float, levels: tuple[float, ...]) -> Float:
    """Offset of each horizon and quantile level, one-sided.

    offset[h, q] = the k-th smallest score with k = ceil((n + 1) q) for q > 0.5 and, mirrored, floor((n + 1) q) for
    q < 0.5, within 1..n (Vovk et al. 2005; Romano, Patterson and Candes 2019, "Conformalized quantile regression",
    taken one side at a time). The median is not shifted.

    Parameters
    ----------
    scores:
        (N, H, Q) (actual - quantile) / level of calibration windows, NaN where nothing was measured.
    levels:
        Q quantile levels in 0-1.

    Returns
    -------
    (H, Q) float32; 0 where no score is known.
    """
    if not len(scores):
        return np.zeros(scores.shape[1:], np.float32)
    ordered = np.sort(scores, axis=0)
    count = np.isfinite(scores).sum(axis=0)
    wanted = np.array(levels)
    rank = np.where(wanted > 0.5, np.ceil((count + 1) * wanted), np.floor((count + 1) * wanted))
    place = np.clip(rank - 1, 0, np.maximum(count - 1, 0)).astype(np.int64)
    found = np.take_along_axis(ordered, place[None], axis=0)[0]
    return np.where((count > 0) & (wanted != 0.5), found, 0).astype(np.float32)
