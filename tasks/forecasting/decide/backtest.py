"""Rolling-origin scores: forecast again and again from moments of the past, and compare with what came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from blocks.series import Calendar, Float, Series, utc
from tasks.forecasting.decide.calibration import ORIGINS, Calibration, joined, past_origins
from tasks.forecasting.decide.engines import GLOBAL_ENGINES, SEASONAL_NAIVE, fit_panels, forecast
from tasks.forecasting.decide.history import Index, last_column, recent, steps_in_a_day
from tasks.forecasting.decide.model import Model
from tasks.forecasting.decide.replays import calibrate, replays
from tasks.forecasting.decide.scores import Scores, coverage, quantile_loss, scaled_error, usual_change

SCORED_SHARE = 0.25  # of a history, its newest part: the origins lie in it


@dataclass(frozen=True)
class Backtest:
    """Scores of S series over O origins, NaN where a score is not defined.

    Attributes
    ----------
    mase: (S, O) of each window. loss: (S, O) mean quantile loss of each window, in the series' own unit.
    size: (S, O) mean |actual| of each window.
    coverage: (S, B) share of actuals inside each central band, the widest band first.
    peak_coverage: (S, Q) share of windows whose highest value stayed at or below each quantile of the peak.
    """

    mase: Scores
    loss: Scores
    size: Scores
    coverage: Scores
    peak_coverage: Scores

    def wql(self) -> Scores:
        """(S, O) weighted quantile loss: each window's loss over the mean |actual| of its series' windows."""
        known = np.isfinite(self.loss)
        total = np.where(known, self.size, 0).sum(axis=1, keepdims=True)
        usual = np.divide(total, known.sum(axis=1, keepdims=True), out=np.zeros_like(total), where=total > 0)
        answer = np.full_like(self.loss, np.nan)
        return np.asarray(np.divide(2 * self.loss, usual, out=answer, where=usual > 0))


def rolling_origins(history: Series, horizon: int, count: int) -> list[datetime]:
    """`count` moments spread evenly over the last quarter of a history; fewer where it has fewer steps."""
    steps = history.values.shape[1]
    newest = steps - horizon - 1
    columns = np.unique(np.linspace(min(steps * (1 - SCORED_SHARE), newest), newest, count).astype(np.int64))
    return [utc(history.start_s + int(column) * history.step_s) for column in columns if column >= 0]


def backtest(
    panels: Sequence[Series],
    horizon: int,
    levels: Sequence[float],
    *,
    engine: str,
    origins: int = 40,
    lessons: Callable[[Series, datetime], Series] = lambda panel, _: panel,
    progress: Callable[[], None] = lambda: None,
    calendars: Sequence[Calendar | None] | None = None,
) -> list[Backtest]:
    """Score an engine over rolling origins of several matrices of one step.

    One model is fitted on all panels, each up to its own first origin; its calibration moves on from origin to origin
    with what has come until then. Where there is too little past for a model, seasonal naive is scored.

    Parameters
    ----------
    panels:
        histories of one step.
    horizon:
        steps.
    levels:
        quantile levels, symmetric about a median of 0.5.
    engine:
        a name in `ENGINES`.
    origins:
        how many; they lie in the last quarter of each history.
    lessons:
        what a model learns of a panel up to its first origin, e.g. without its anomalies; forecasts are made of the
        panel as it is.
    progress:
        called after each panel.
    calendars:
        local time and known-future features, one a panel, all of the same features.

    Raises
    ------
    InvalidInput: as `forecast`.
    """
    moments = [rolling_origins(panel, horizon, origins) for panel in panels]
    model, laid = None, list(calendars or [None] * len(panels))
    if engine in GLOBAL_ENGINES:
        known = [number for number, when in enumerate(moments) if when]
        some = [(lessons(panels[number], moments[number][0]), moments[number][0]) for number in known]
        model = fit_panels(some, horizon, levels, engine=engine, calendars=[laid[n] for n in known]) if known else None
    found = []
    for panel, when, calendar in zip(panels, moments, laid, strict=True):
        made = (_of_model(panel, model, engine, when, calendar) if model
                else _of_baseline(panel, horizon, levels, engine, when, calendar))  # fmt: skip
        found.append(_scored(panel, horizon, tuple(levels), when, made))
        progress()
    return found


def _of_baseline(
    panel: Series,
    horizon: int,
    levels: Sequence[float],
    engine: str,
    origins: Sequence[datetime],
    calendar: Calendar | None,
) -> Iterator[tuple[Float, Float]]:
    """Quantiles of the steps and of the peaks, (S, H, Q) each, origin by origin."""
    plain = SEASONAL_NAIVE if engine in GLOBAL_ENGINES else engine
    for origin in origins:
        made = forecast(panel, horizon, levels, origin, engine=plain, calendar=calendar)
        yield made.values, made.peaks


def _of_model(
    panel: Series, model: Model, engine: str, origins: Sequence[datetime], calendar: Calendar | None
) -> Iterator[tuple[Float, Float]]:
    """The same of a model: replayed at all origins at once, then calibrated at each with what was known by then."""
    if not origins:
        return
    start = calibrate(panel, model, origins[0], calendar=calendar)
    day = steps_in_a_day(panel.step_s)
    columns = np.array([last_column(panel, origin) for origin in origins], np.int64)
    before = past_origins(int(columns[0]), int(columns[0]), day, ORIGINS)
    known = moved_on(panel, start, model, columns, before, day, calendar)
    for origin, calibration in zip(origins, known, strict=True):
        made = forecast(panel, model.horizon, model.levels, origin, engine=engine, model=model, calibration=calibration,
                        calendar=calendar)  # fmt: skip
        yield made.values, made.peaks


def moved_on(
    panel: Series, start: Calibration, model: Model, columns: Index, before: Index, day: int, calendar: Calendar | None
) -> list[Calibration]:
    """The calibration at each column: every series' own part moved on, the groups' as at the first."""
    found: list[list[Calibration]] = [[] for _ in columns]
    for replay in replays(panel, model, np.concatenate([before, columns]), calendar):
        known = start.of(replay.unique_id)
        for place, column in enumerate(columns.tolist()):
            at = past_origins(column, column, day, ORIGINS)
            found[place].append(known.moved(replay.settle(column, at, model.levels, known)))
    return [joined(parts) for parts in found]


def _scored(
    panel: Series, horizon: int, levels: tuple[float, ...], origins: Sequence[datetime],
    made: Iterator[tuple[Float, Float]],
) -> Backtest:  # fmt: skip
    middle, season = levels.index(0.5), steps_in_a_day(panel.step_s)
    mase, loss, size, actuals, quantiles, tops = [], [], [], [], [], []
    for origin, (values, peaks) in zip(origins, made, strict=True):
        last = last_column(panel, origin)
        actual = recent(panel, last + horizon, horizon)
        mase.append(scaled_error(actual, values[:, :, middle], usual_change(panel.values[:, : last + 1], season)))
        lost, mean = quantile_loss(actual, values, levels)
        loss.append(lost)
        size.append(mean)
        actuals.append(actual)
        quantiles.append(values)
        tops.append(np.where(np.isfinite(actual.max(axis=1, keepdims=True)), actual.max(axis=1, keepdims=True)
                             <= peaks[:, -1], np.nan))  # fmt: skip
    count = len(panel.unique_id)
    if not origins:
        empty, bands = np.empty((count, 0)), np.full((count, middle), np.nan)
        return Backtest(empty, empty, empty, bands, np.full((count, len(levels)), np.nan))
    actual, quantile = np.concatenate(actuals, axis=1), np.concatenate(quantiles, axis=1)
    bands = np.stack([coverage(actual, quantile[:, :, i], quantile[:, :, -1 - i]) for i in range(middle)], axis=1)
    with np.errstate(invalid="ignore"):
        top = np.stack(tops)
        known = np.isfinite(top).sum(axis=0)
        held = np.divide(np.nansum(top, axis=0), known, out=np.full(known.shape, np.nan), where=known > 0)
    return Backtest(np.stack(mase, axis=1), np.stack(loss, axis=1), np.stack(size, axis=1), bands, held)
