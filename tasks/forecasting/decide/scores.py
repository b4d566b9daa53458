"""How good a forecast was: MASE, weighted quantile loss, coverage; one number a series. Missing values are left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float

Scores = NDArray[np.float64]


def mean_absolute_scaled_error(actual: Float, predicted: Float, history: Float, season: int) -> Scores:
    """MASE = mean |y - f| over the horizon / mean |y[t] - y[t - season]| over the history.

    Below 1 it beats what seasonal naive did on the history. Hyndman and Koehler 2006, "Another look at measures of
    forecast accuracy".

    Parameters
    ----------
    actual, predicted:
        (S, H) values.
    history:
        (S, T) values before the forecast.
    season:
        steps, usually a day.

    Returns
    -------
    (S,); NaN where the history repeats exactly (the denominator is 0) or nothing is known.

    >>> mean_absolute_scaled_error(np.array([[3.0]]), np.array([[4.0]]), np.array([[1.0, 2.0, 3.0, 4.0]]), 2)
    array([0.5])
    """
    change = _mean(np.abs(history[:, season:] - history[:, :-season]))
    error = _mean(np.abs(actual - predicted))
    return np.asarray(np.divide(error, change, out=np.full(len(error), np.nan), where=change > 0))


def weighted_quantile_loss(actual: Float, quantiles: Float, levels: Sequence[float]) -> Scores:
    """WQL = mean over q of 2 sum rho_q(y - f_q) / sum |y|, with rho_q(e) = max(q e, (q - 1) e).

    With the median alone it is the sum of |errors| over the sum of |y|.

    Parameters
    ----------
    actual:
        (S, H) values.
    quantiles:
        (S, H, Q) of the forecast.
    levels:
        Q quantile levels in 0-1.

    Returns
    -------
    (S,); NaN where all actuals are 0 or missing.

    >>> weighted_quantile_loss(np.array([[4.0]]), np.array([[[3.0]]]), [0.5])
    array([0.25])
    """
    wanted = np.asarray(levels)
    error = actual[:, :, None] - quantiles
    loss = 2 * np.maximum(wanted * error, (wanted - 1) * error).mean(axis=2)
    size = np.where(np.isfinite(loss), np.abs(actual), 0).sum(axis=1, dtype=np.float64)
    total = np.nansum(loss, axis=1, dtype=np.float64)
    return np.asarray(np.divide(total, size, out=np.full(len(size), np.nan), where=size > 0))


def coverage(actual: Float, low: Float, high: Float) -> Scores:
    """Share of actuals inside [low, high]: 0.8 is the aim of the band between the quantiles 0.1 and 0.9.

    Parameters
    ----------
    actual, low, high:
        (S, H) values and the borders of the band.

    Returns
    -------
    (S,) in 0-1; NaN where nothing is known.

    >>> coverage(np.array([[1.0, 5.0, np.nan]]), np.array([[0.0, 0.0, 0.0]]), np.array([[2.0, 2.0, 2.0]]))
    array([0.5])
    """
    known = np.isfinite(actual) & np.isfinite(low) & np.isfinite(high)
    return _mean(np.where(known, (actual >= low) & (actual <= high), np.nan))


def _mean(values: NDArray[np.floating]) -> Scores:
    """Mean of each row without NaN; NaN for an empty one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "mean of empty slice" is the NaN we want
        return np.asarray(np.nanmean(values, axis=1, dtype=np.float64))
