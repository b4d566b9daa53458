"""When a forecast first exceeds a capacity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blocks.errors import InvalidInput
from blocks.series import Forecast


def crossings(forecast: Forecast, capacity: ArrayLike, level: float) -> NDArray[np.float64]:
    """First time at which the quantile of each series exceeds its capacity.

    Parameters
    ----------
    forecast:
        quantiles of S series.
    capacity:
        (S,) or one number, in the series' own unit; NaN where it is not known.
    level:
        one of the forecast's quantile levels, e.g. 0.9.

    Returns
    -------
    (S,) seconds since 1970 UTC; NaN where it never does, or where forecast or capacity are not known.

    Raises
    ------
    InvalidInput: the forecast has no such level, or the capacities are not one a series.
    """
    if level not in forecast.levels:
        raise InvalidInput(f"the forecast has no quantile level {level}", where="crossings",
                           fix=f"use one of {', '.join(map(str, forecast.levels))}")  # fmt: skip
    limit = np.asarray(capacity, dtype=np.float64)
    if limit.shape not in {(), (len(forecast.unique_id),)}:
        raise InvalidInput(f"capacities have the shape {limit.shape} for {len(forecast.unique_id)} series",
                           where="crossings", fix="pass one capacity a series")  # fmt: skip
    above = forecast.values[:, :, forecast.levels.index(level)] > np.atleast_1d(limit)[:, None]
    return np.where(above.any(axis=1), forecast.times()[above.argmax(axis=1)], np.nan)
