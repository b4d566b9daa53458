"""The scorecard of a backtest: one line a model, all models on the same windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.series import Series
from tasks.forecasting.decide.backtest import Backtest, rolling_origins
from tasks.forecasting.decide.history import last_column, recent
from tasks.forecasting.decide.scores import Scores


@dataclass(frozen=True)
class Line:
    """Scores of one model; NaN where nothing defines them. Shares are 0-1.

    Attributes
    ----------
    mase, wql: mean over the windows where they are defined for every model. mase_to_seasonal_naive,
    wql_to_seasonal_naive: sum over these windows, over the same sum of seasonal naive.
    coverage: by percent, pooled over all steps. worst_panel: by percent, that of the panel farthest from its aim.
    within: by points, the share of series whose every band covers within so many points of its aim.
    peak_coverage: share of windows whose highest value stayed at or below the upper quantile of the 80 % band of the
    peak. windows: how many gave the scores.
    """

    mase: float
    wql: float
    mase_to_seasonal_naive: float
    wql_to_seasonal_naive: float
    coverage: dict[float, float]
    worst_panel: dict[float, float]
    within: dict[int, float]
    peak_coverage: float
    windows: int


def scorecard(
    panels: Sequence[Series],
    made: Mapping[str, Sequence[Backtest]],
    naive: Sequence[Backtest],
    horizon: int,
    origins: int,
    percents: Sequence[float],
) -> dict[str, Line]:
    """One line for each model.

    Parameters
    ----------
    panels:
        P histories.
    made:
        P backtests of each model on them.
    naive:
        P backtests of seasonal naive, which the models are set against.
    horizon, origins:
        of the backtests.
    percents:
        B central bands, the widest first: those of the backtests, with 80 among them.
    """
    mase = {name: np.concatenate([part.mase.ravel() for part in parts]) for name, parts in made.items()}
    wql = {name: np.concatenate([part.wql().ravel() for part in parts]) for name, parts in made.items()}
    plain_mase, plain_wql = (np.concatenate([part.mase.ravel() for part in naive]),
                             np.concatenate([part.wql().ravel() for part in naive]))  # fmt: skip
    common, common_wql = (np.all([np.isfinite(found) for found in table.values()], axis=0) for table in (mase, wql))
    card = {}
    for name, parts in made.items():
        weights = [_steps(panel, part, horizon, origins) for panel, part in zip(panels, parts, strict=True)]
        bands = [part.coverage for part in parts]
        by_panel = [_weighted(band, weight) for band, weight in zip(bands, weights, strict=True)]
        aims = np.array(percents) / 100
        card[name] = Line(
            _mean(mase[name][common]),
            _mean(wql[name][common_wql]),
            _ratio(mase[name], plain_mase, common),
            _ratio(wql[name], plain_wql, common_wql),
            _named(percents, _weighted(np.concatenate(bands), np.concatenate(weights))),
            _named(percents, _farthest(np.stack(by_panel), aims)),
            {points: _within(np.concatenate(bands), aims, points / 100) for points in (5, 8)},
            _mean(np.concatenate([part.peak_coverage[:, -1 - list(percents).index(80)] for part in parts])),
            int(common_wql.sum()),
        )
    return card


def _steps(panel: Series, part: Backtest, horizon: int, origins: int) -> NDArray[np.float64]:
    """(S,) steps of each series that were scored."""
    count = np.zeros(len(panel.unique_id))
    for place, origin in enumerate(rolling_origins(panel, horizon, origins)):
        known = np.isfinite(recent(panel, last_column(panel, origin) + horizon, horizon)).sum(axis=1)
        count += np.where(np.isfinite(part.loss[:, place]), known, 0)
    return count


def _weighted(bands: Scores, weight: NDArray[np.float64]) -> Scores:
    """(B,) mean of (S, B) shares by the (S,) steps behind them; NaN where there are none."""
    known = np.isfinite(bands)
    total = (known * weight[:, None]).sum(axis=0)
    held = (np.where(known, bands, 0) * weight[:, None]).sum(axis=0)
    return np.asarray(np.divide(held, total, out=np.full(len(total), np.nan), where=total > 0))


def _farthest(by_panel: Scores, aims: NDArray[np.float64]) -> Scores:
    """(B,) of (P, B) shares those farthest from the aims."""
    off = np.where(np.isfinite(by_panel), np.abs(by_panel - aims), -1)
    return np.asarray(by_panel[off.argmax(axis=0), np.arange(len(aims))])


def _within(bands: Scores, aims: NDArray[np.float64], points: float) -> float:
    """Share of series whose every band lies within `points` of its aim; a border counts as within."""
    known = bands[np.isfinite(bands).all(axis=1)]
    return _mean(np.asarray((np.abs(known - aims) <= points + 1e-9).all(axis=1), dtype=np.float64))


def _ratio(found: Scores, plain: Scores, common: NDArray[np.bool_]) -> float:
    rows = common & np.isfinite(plain)
    total = plain[rows].sum()
    return float(found[rows].sum() / total) if total > 0 else float("nan")


def _named(percents: Sequence[float], shares: Scores) -> dict[float, float]:
    return dict(zip(percents, shares.tolist(), strict=True))


def _mean(values: Scores) -> float:
    """Mean of what is known; NaN of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
