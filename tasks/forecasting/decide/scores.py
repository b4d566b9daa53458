"""How good a forecast was: MASE, weighted quantile loss, coverage; one number a series. Missing values are left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blocks.series import Float

Scores = NDArray[np.float64]


def usual_change(history: Float, season: int) -> Scores:
    """(S,) mean |y[t] - y[t - season]| over the history: the scale of MASE.

    Where the history spans less than a season and an hour, the mean |y[t] - y[t - 1]| instead.

    >>> usual_change(np.array([[1.0, 2.0, 3.0, 5.0]]), 2)
    array([2.5])
    """
    lag = season if history.shape[1] > season + season // 24 else 1
    return _mean(np.abs(history[:, lag:] - history[:, :-lag]))


def scaled_error(actual: Float, predicted: Float, change: Scores) -> Scores:
    """MASE of one window = mean |y - f| over the horizon / `usual_change` of the history before it.

    Below 1 it beats what seasonal naive did on the history. Hyndman and Koehler 2006, "Another look at measures of
    forecast accuracy".

    Parameters
    ----------
    actual, predicted:
        (S, H) values.
    change:
        (S,) as of `usual_change`.

    Returns
    -------
    (S,); NaN where the history repeats exactly (the denominator is 0) or nothing is known.

    >>> scaled_error(np.array([[3.0]]), np.array([[4.0]]), np.array([2.0]))
    array([0.5])
    """
    error = _mean(np.abs(actual - predicted))
    return np.asarray(np.divide(error, change, out=np.full(len(error), np.nan), where=change > 0))


def quantile_loss(actual: Float, quantiles: Float, levels: Sequence[float]) -> tuple[Scores, Scores]:
    """Mean over steps and levels of rho_q(y - f_q), rho_q(e) = max(q e, (q - 1) e); and mean |y| of the same steps.

    Twice the one over the other is the weighted quantile loss (WQL); with the median alone, the sum of |errors| over
    the sum of |y|.

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
    (S,) and (S,); NaN where nothing is known.

    >>> quantile_loss(np.array([[4.0]]), np.array([[[3.0]]]), [0.5])
    (array([0.5]), array([4.]))
    """
    wanted = np.asarray(levels)
    error = actual[:, :, None] - quantiles
    loss = np.maximum(wanted * error, (wanted - 1) * error).mean(axis=2)
    return _mean(loss), _mean(np.where(np.isfinite(loss), np.abs(actual), np.nan))


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
