"""Rolling-origin scores: forecast again and again from moments of the past, and compare with what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from blocks.series import Series
from tasks.forecasting.decide.engines import LINEAR, SEASONAL_NAIVE, fit, forecast
from tasks.forecasting.decide.history import last_column, recent, steps_in_a_day
from tasks.forecasting.decide.scores import Scores, coverage, mean_absolute_scaled_error, weighted_quantile_loss


@dataclass(frozen=True)
class Backtest:
    """Scores of S series over all origins; NaN where a score is not defined.

    Attributes
    ----------
    mase: (S,) mean over the origins. wql: (S,) over all steps of all origins together.
    coverage: (S, B) share of actuals inside each central band, the widest band first.
    """

    mase: Scores
    wql: Scores
    coverage: Scores


def backtest(
    history: Series, horizon: int, levels: Sequence[float], origins: Sequence[datetime], *, engine: str = LINEAR
) -> Backtest:
    """Score an engine over rolling origins. The linear engine is fitted once, at the first origin.

    Parameters
    ----------
    history:
        (S, T) matrix that reaches at least `horizon` steps beyond the last origin.
    horizon:
        steps.
    levels:
        quantile levels, symmetric about a median of 0.5.
    origins:
        ascending moments to forecast from.
    engine:
        a name in `ENGINES`.

    Raises
    ------
    InvalidInput: as `forecast`.
    """
    season = steps_in_a_day(history.step_s)
    model = fit(history, horizon, levels, origins[0]) if engine == LINEAR else None
    if engine == LINEAR and model is None:
        engine = SEASONAL_NAIVE
    middle, mase, actuals, quantiles = list(levels).index(0.5), [], [], []
    for origin in origins:
        made = forecast(history, horizon, levels, origin, engine=engine, model=model)
        last = last_column(history, origin)
        actual = recent(history, last + horizon, horizon)
        before = history.values[:, : last + 1]
        mase.append(mean_absolute_scaled_error(actual, made.values[:, :, middle], before, season))
        actuals.append(actual)
        quantiles.append(made.values)
    actual, quantile = np.concatenate(actuals, axis=1), np.concatenate(quantiles, axis=1)
    known = np.isfinite(mase)
    total = np.where(known, mase, 0).sum(axis=0)
    bands = [coverage(actual, quantile[:, :, i], quantile[:, :, -1 - i]) for i in range(middle)]
    return Backtest(
        np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0)),
        weighted_quantile_loss(actual, quantile, levels),
        np.stack(bands, axis=1),
    )
