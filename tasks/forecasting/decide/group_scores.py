"""Which engine serves which group of series: by score, never by taste."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tasks.forecasting.decide.backtest import Backtest
from tasks.forecasting.decide.engines import SEASONAL_NAIVE
from tasks.forecasting.decide.scores import Scores

NOMINAL = {"coverage_95": 0.95, "coverage_80": 0.80}  # bands in the order of `Backtest.coverage`
PEAK_LEVEL = 3  # of the levels, 0.9


def scores_of(made: Backtest, cpu_s: float) -> dict[str, float]:
    """One engine's scores of one group, as numbers of a scorecard; a score that is not defined is left out.

    mase, wql: means over all windows. coverage_80, coverage_95: shares of the actual values inside the central bands.
    within_5, within_8: shares of the series whose both coverages lie within 5 and 8 points of nominal. peak_90: share
    of the windows whose highest value stayed at or below the 0.9 quantile of the peak. cpu_s: what the backtest took;
    series_per_cpu_s: forecasts of one series (of one origin) a CPU second of it. series, origins: how many.

    Parameters
    ----------
    made:
        of the levels `plans.LEVELS`.
    """
    off = np.abs(made.coverage - list(NOMINAL.values()))
    known = np.isfinite(off).all(axis=1)
    series, origins = made.mase.shape
    found = {
        "mase": _mean(made.mase),
        "wql": _mean(made.wql()),
        **{name: _mean(made.coverage[:, place]) for place, name in enumerate(NOMINAL)},
        **{
            f"within_{points}": _mean(np.where((off[known] <= points / 100).all(axis=1), 1.0, 0.0)) for points in (5, 8)
        },
        "peak_90": _mean(made.peak_coverage[:, PEAK_LEVEL]),
        "series": float(series),
        "origins": float(origins),
        "cpu_s": cpu_s,
        "series_per_cpu_s": series * origins / cpu_s if cpu_s > 0 else np.nan,
    }
    return {name: round(float(value), 6) for name, value in found.items() if np.isfinite(value)}


def choose(scores: Mapping[str, Mapping[str, float]]) -> str:
    """The engine with the lowest weighted quantile loss; seasonal naive unless another one is better than it.

    Parameters
    ----------
    scores:
        by engine, as of `scores_of`.

    >>> choose({"linear": {"wql": 0.2}, "trees": {"wql": 0.1}, "seasonal-naive": {"wql": 0.3}})
    'trees'
    >>> choose({"linear": {"wql": 0.3}, "seasonal-naive": {"wql": 0.3}}), choose({"linear": {"wql": 0.3}})
    ('seasonal-naive', 'seasonal-naive')
    """
    naive = scores.get(SEASONAL_NAIVE, {}).get("wql", -np.inf)
    better = {name: row["wql"] for name, row in scores.items() if row.get("wql", np.inf) < naive}
    return min(better, key=lambda name: (better[name], name), default=SEASONAL_NAIVE)


def _mean(values: Scores) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan
