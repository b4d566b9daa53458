"""Tables of accuracy from backtests, and what the project has promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from forecast_panels import Matrix

from tasks.forecasting.decide.backtest import Backtest
from tasks.forecasting.decide.scores import coverage, quantile_loss, scaled_error

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
NOMINAL = np.array([0.95, 0.8])  # of the bands, as in `Backtest.coverage`
P90 = LEVELS.index(0.9)


@dataclass(frozen=True)
class Goal:
    """A promise: the row of a table, what must be reached, what would be better."""

    row: str
    must: float
    stretch: float
    larger: bool = False

    def verdict(self, value: float | None, better: float | None = None) -> str:
        """`stretch`, `ok` or `MISSED`; `better` is judged for the stretch where another row says it."""
        if value is None or not np.isfinite(value):
            return "not measured"
        best = value if better is None else better
        sign = -1 if self.larger else 1
        if sign * best <= sign * self.stretch and sign * value <= sign * self.must:
            return "ok (stretch)"
        return "ok" if sign * value <= sign * self.must else "MISSED"


HORIZONS = {"2 h, 5 min": 24, "24 h, 15 min": 96}
SHARED = (
    Goal("coverage_error_pooled", 0.015, 0.01),
    Goal("coverage_error_worst_panel", 0.05, 0.03),
    Goal("series_within_8_points", 0.9, 0.9, larger=True),
)
GOALS = {
    "2 h, 5 min": (Goal("mase_ratio", 0.70, 0.62), Goal("wql_ratio", 0.58, 0.52), *SHARED),
    "24 h, 15 min": (Goal("mase_ratio", 0.82, 0.75), Goal("wql_ratio", 0.78, 0.72), *SHARED),
}


def ratio(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Sum over sum, of the windows for which both are defined.

    >>> ratio(np.array([1.0, np.nan, 3.0]), np.array([2.0, 5.0, 6.0]))
    0.5
    """
    both = np.isfinite(ours) & np.isfinite(theirs)
    return float(ours[both].sum() / theirs[both].sum()) if theirs[both].sum() > 0 else None


def flat(parts: Sequence[Backtest], of: str) -> np.ndarray:
    """(N,) a score of every window."""
    return np.concatenate([(part.wql() if of == "wql" else getattr(part, of)).ravel() for part in parts])


def held(parts: Sequence[Backtest], of: str = "coverage") -> np.ndarray:
    """Coverage over all windows: each series counts by its windows with an outcome."""
    shares = np.concatenate([getattr(part, of) for part in parts])
    windows = np.concatenate([np.isfinite(part.loss).sum(axis=1) for part in parts])[:, None]
    known = np.where(np.isfinite(shares), windows, 0)
    total = known.sum(axis=0)
    return np.divide(np.nansum(shares * known, axis=0), total, out=np.full(len(total), np.nan), where=total > 0)


def by_panel(found: Sequence[Matrix], parts: Sequence[Backtest]) -> dict[str, list[Backtest]]:
    """The backtests of each panel."""
    answer: dict[str, list[Backtest]] = {}
    for matrix, part in zip(found, parts, strict=True):
        answer.setdefault(matrix.panel, []).append(part)
    return answer


def scored(found: Sequence[Matrix], parts: Sequence[Backtest], naive: Sequence[Backtest]) -> dict[str, Any]:
    """What is said of one engine over some matrices.

    `coverage_error_*` is the larger one of both bands, in 0-1; a series' share within n points asks both bands.
    """
    bands = np.concatenate([part.coverage for part in parts])
    off = np.abs(bands[np.isfinite(bands).all(axis=1)] - NOMINAL).max(axis=1)
    pooled = held(parts)
    worst = {panel: np.abs(held(mine) - NOMINAL).max() for panel, mine in by_panel(found, parts).items()}
    panel = max(worst, key=lambda name: np.nan_to_num(worst[name]))
    mase, wql = flat(parts, "mase"), flat(parts, "wql")
    return {
        "series": len(bands), "windows": int(np.isfinite(mase).sum()), "windows_wql": int(np.isfinite(wql).sum()),
        "mase": float(np.nanmean(mase)), "mase_median": float(np.nanmedian(mase)), "wql": float(np.nanmean(wql)),
        "mase_ratio": ratio(mase, flat(naive, "mase")), "wql_ratio": ratio(wql, flat(naive, "wql")),
        "coverage_80": float(pooled[1]), "coverage_95": float(pooled[0]),
        "coverage_error_pooled": float(np.abs(pooled - NOMINAL).max()),
        "coverage_error_worst_panel": float(worst[panel]), "worst_panel": panel,
        "series_within_5_points": float((off <= 0.05).mean()), "series_within_8_points": float((off <= 0.08).mean()),
        "peak_coverage_p90": float(held(parts, "peak_coverage")[P90]),
        "heaviest": heaviest(found, parts),
    }  # fmt: skip


def heaviest(found: Sequence[Matrix], parts: Sequence[Backtest]) -> dict[str, Any]:
    """The series with the largest part of the sum of MASE and of WQL, and that part: whether a few rule the score."""
    names = [f"{matrix.panel}/{matrix.file}/{name}" for matrix in found for name in matrix.history.unique_id]
    answer = {}
    for of in ("mase", "wql"):
        sums = np.concatenate([np.nansum(part.wql() if of == "wql" else part.mase, axis=1) for part in parts])
        place = int(sums.argmax())
        answer[of] = {"series": names[place], "share": float(sums[place] / sums.sum())}
    return answer


def verdicts(row: dict[str, Any], horizon: str) -> dict[str, str]:
    """Each promise of a horizon, kept or not."""
    answer = {}
    for goal in GOALS[horizon]:
        better = row["series_within_5_points"] if goal.row == "series_within_8_points" else None
        answer[goal.row] = goal.verdict(row[goal.row], better)
    return answer


def judged(series: np.ndarray, actual: np.ndarray, change: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Means over N windows; WQL is each window's loss over the mean |actual| of its series' windows among these.

    Parameters
    ----------
    series: (N,) number of each window's series. actual: (N, H). change: (N,) as of `usual_change`.
    values: (N, H, Q) quantiles.
    """
    mase = scaled_error(actual, values[:, :, LEVELS.index(0.5)], change)
    loss, size = quantile_loss(actual, values, LEVELS)
    known = np.isfinite(loss)
    usual = np.bincount(series, np.where(known, size, 0)) / np.maximum(np.bincount(series, known), 1)
    wql = np.divide(2 * loss, usual[series], out=np.full_like(loss, np.nan), where=usual[series] > 0)
    weight = np.isfinite(actual).sum(axis=1)
    wide, narrow = (np.nansum(coverage(actual, values[:, :, at], values[:, :, -1 - at]) * weight) / weight.sum()
                    for at in (0, 1))  # fmt: skip
    return {
        "mase": float(np.nanmean(mase)), "mase_median": float(np.nanmedian(mase)), "wql": float(np.nanmean(wql)),
        "coverage_80": float(narrow), "coverage_95": float(wide),
    }  # fmt: skip
