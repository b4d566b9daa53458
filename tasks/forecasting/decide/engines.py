"""`fit` and `forecast`: a table of engines, and which series each of them may serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Calendar, Float, Forecast, Series
from tasks.forecasting.decide.almanac import almanac
from tasks.forecasting.decide.calibration import Calibration, neutral
from tasks.forecasting.decide.features import window_width
from tasks.forecasting.decide.history import Bool, Index, Past, last_column, past, recent, steps_in_a_day
from tasks.forecasting.decide.known_features import known_features
from tasks.forecasting.decide.linear import TRAINING_WINDOWS, fit_linear
from tasks.forecasting.decide.model import Model, checked, floor_of, opinions_of
from tasks.forecasting.decide.naive import predict_last_value, predict_seasonal_naive
from tasks.forecasting.decide.quantiles import highest_so_far
from tasks.forecasting.decide.replays import calibrate
from tasks.forecasting.decide.trees import fit_trees
from tasks.forecasting.decide.windows import ROWS_AT_ONCE, Examples, eligible, examples, pooled

LINEAR, TREES, SEASONAL_NAIVE, LAST_VALUE, NONE = "linear", "trees", "seasonal-naive", "last-value", "none"


@dataclass(frozen=True)
class GlobalEngine:
    """One model for all series: from how many windows it learns, and how."""

    windows: int
    fit: Callable[[Examples, int, tuple[float, ...]], Model | None]


@dataclass(frozen=True)
class Baseline:
    """A plain forecast that learns nothing: which of N windows it may serve, and their (N, H, Q) quantiles."""

    serves: Callable[[Past], Bool]
    predict: Callable[[Past, int, tuple[float, ...]], Float]


def _lived_a_day(view: Past) -> Bool:
    """A day of life, a value within the last day, and a quarter of a day of values in the week."""
    enough = view.observed.sum(axis=1) * 4 >= view.day
    return np.asarray((view.age() >= view.day) & (view.staleness() < view.day) & enough)


def _seen_today(view: Past) -> Bool:
    """At least one value within the last day."""
    return np.asarray(view.staleness() < view.day)


GLOBAL_ENGINES: dict[str, GlobalEngine] = {
    LINEAR: GlobalEngine(TRAINING_WINDOWS, fit_linear),
    TREES: GlobalEngine(TRAINING_WINDOWS, fit_trees),
}
# In the order in which they are tried where the engine that was asked for may not serve a series.
BASELINES: dict[str, Baseline] = {
    SEASONAL_NAIVE: Baseline(_lived_a_day, predict_seasonal_naive),
    LAST_VALUE: Baseline(_seen_today, predict_last_value),
}
ENGINES = (*GLOBAL_ENGINES, *BASELINES)


def fit(
    history: Series, horizon: int, levels: Sequence[float], as_of: datetime, *, engine: str = LINEAR,
    calendar: Calendar | None = None,
) -> Model | None:  # fmt: skip
    """Fit a global engine on the columns at or before `as_of`, to be used by later calls of `forecast`.

    Parameters
    ----------
    calendar:
        local time and known-future features of the series; the model learns the features' names.

    Returns
    -------
    The model; None where there are fewer than 200 windows to learn from (a single series needs about two days).

    Raises
    ------
    InvalidInput: as `forecast`; an engine that learns nothing.
    """
    checked(history, horizon, levels)
    if engine not in GLOBAL_ENGINES:
        raise InvalidInput(f"engine {engine!r} learns nothing", where="fit", fix=f"use {', '.join(GLOBAL_ENGINES)}")
    return fit_panels([(history, as_of)], horizon, levels, engine=engine, calendars=[calendar])


def fit_panels(
    panels: Sequence[tuple[Series, datetime]], horizon: int, levels: Sequence[float], *, engine: str = LINEAR,
    calendars: Sequence[Calendar | None] | None = None,
) -> Model | None:  # fmt: skip
    """Fit one model on several matrices of one step, each up to a moment of its own; else as `fit`.

    A panel of n series gives windows in proportion to the root of n, so that a large one does not drown the others.
    Calendars are one a panel, all of the same features; a panel without one lives by UTC, its features as usual.
    """
    wanted = next(checked(history, horizon, levels) for history, _ in panels)
    found, roots = GLOBAL_ENGINES[engine], np.sqrt([max(1, len(history.unique_id)) for history, _ in panels])
    laid = [(calendar, history, last_column(history, as_of))
            for (history, as_of), calendar in zip(panels, calendars or [None] * len(panels), strict=True)]  # fmt: skip
    known = known_features(laid)
    parts = [
        examples(history, last, horizon, steps_in_a_day(history.step_s), round(share), calendar, known)
        for (calendar, history, last), share in zip(laid, found.windows * roots / roots.sum(), strict=True)
    ]
    learned = [part for part in parts if part is not None]
    return found.fit(pooled(learned), panels[0][0].step_s, wanted) if learned else None


def forecast(
    history: Series,
    horizon: int,
    levels: Sequence[float],
    as_of: datetime,
    *,
    engine: str = LINEAR,
    model: Model | None = None,
    calibration: Calibration | None = None,
    calendar: Calendar | None = None,
) -> Forecast:
    """Quantiles of each series over the `horizon` steps after `as_of`.

    Rules: only columns at or before `as_of` are read. NaN, infinite and beyond 1e17 is missing; missing is never zero
    (`history.fill`). A series that the engine may not serve goes to the first baseline that may:

    - `linear`, `trees`: three hours of life, a value within the last hour, measured values for half of its life or half
      a day in the week;
    - `seasonal-naive`: a day of life, a value within the last day, a quarter of a day of values in the last week;
    - `last-value`: a value within the last day;
    - `none`: NaN.

    A series that was never negative in the last week is never forecast below 0. A constant week goes on as it is, with
    a band of no width. Quantiles never cross.

    Parameters
    ----------
    history:
        (S, T) matrix; a step that divides a day.
    horizon:
        H steps.
    levels:
        Q quantile levels, ascending, inside 0-1.
    as_of:
        aware time.
    engine:
        a name in `ENGINES`.
    model, calibration:
        of `fit` and `calibrate`, for the same step, horizon and levels; without them they are made here. A series that
        the calibration does not know is served by the model nearly alone, without offsets.

    calendar:
        local time and known-future features of the series, as far ahead as they are known. Without it, or where it does
        not know a series, the time is UTC and every feature as on the last day; so it is where a value is NaN.

    Raises
    ------
    InvalidInput: a duplicate name, a wrong shape, horizon, level, step or engine, an `as_of` without time zone, a model
        of another horizon, step, set of levels or features than the calendar's.
    """
    wanted = checked(history, horizon, levels, model)
    if engine not in ENGINES:
        raise InvalidInput(f"no engine is called {engine!r}", where="forecast", fix=f"use one of {', '.join(ENGINES)}")
    day, last = steps_in_a_day(history.step_s), last_column(history, as_of)
    if engine in GLOBAL_ENGINES:
        model = model or fit(history, horizon, wanted, as_of, engine=engine, calendar=calendar)
        if model and not calibration:
            calibration = calibrate(history, model, as_of, calendar=calendar)
    known = calibration.of(history.unique_id) if calibration else neutral(history.unique_id, wanted, horizon)
    whole = almanac(calendar, history, model.known if model else None, horizon, (last, last))
    block = recent(history, last, window_width(day))
    served = _Served.nothing(len(block), horizon, wanted)
    for begin in range(0, len(block), ROWS_AT_ONCE):
        rows = np.arange(begin, min(begin + ROWS_AT_ONCE, len(block)))
        view = past(block[rows[0] : rows[-1] + 1], day, whole.at(rows, np.array([last])) if whole else None)
        if model is not None and engine in GLOBAL_ENGINES:
            served.by_model(view, rows, model, known, engine)
        served.by_baselines(view, rows, _baselines_from(engine))
        served.cut_at(floor_of(view), rows)
    return served.forecast(history, as_of, history.start_s + (last + 1) * history.step_s)


def _baselines_from(engine: str) -> Sequence[str]:
    """The baselines to try, in order: from the one that was asked for on, or all."""
    names = list(BASELINES)
    return names[names.index(engine) :] if engine in BASELINES else names


@dataclass(frozen=True)
class _Served:
    """(S, H, Q) quantiles and peaks, and (S,) the engine that gave them, filled in a few hundred rows at a time."""

    levels: tuple[float, ...]
    values: Float
    peaks: Float
    method: NDArray[np.object_]

    @classmethod
    def nothing(cls, series: int, horizon: int, levels: tuple[float, ...]) -> _Served:
        values = np.full((series, horizon, len(levels)), np.nan, np.float32)
        return cls(levels, values, values.copy(), np.full(series, NONE, dtype=object))

    def by_model(self, view: Past, rows: Index, model: Model, known: Calibration, engine: str) -> None:
        """Fill in the rows that a global model may serve."""
        fit_rows = eligible(view)
        if not fit_rows.any():
            return
        at = rows[fit_rows]
        # A wild series may overflow float32 here: it is left to a baseline, and no other series notices.
        with np.errstate(over="ignore", invalid="ignore"):
            said = opinions_of(view if fit_rows.all() else view.rows(fit_rows), model)
            steps, tops = known.rows(at).applied(said)
        self._fill(at, steps, tops, engine)

    def by_baselines(self, view: Past, rows: Index, names: Sequence[str]) -> None:
        """Fill in the rows that are still open, trying the baselines in order."""
        for name in names:
            waiting = np.flatnonzero(self.method[rows] == NONE)
            if not len(waiting):
                return
            waiting = waiting[BASELINES[name].serves(view.rows(waiting))]
            if not len(waiting):
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                found = BASELINES[name].predict(view.rows(waiting), self.values.shape[1], self.levels)
            self._fill(rows[waiting], found, highest_so_far(found), name)

    def _fill(self, rows: Index, steps: Float, peaks: Float, name: str) -> None:
        """Keep what is finite throughout."""
        whole = np.isfinite(steps).all(axis=(1, 2)) & np.isfinite(peaks).all(axis=(1, 2))
        at = rows[whole]
        self.values[at], self.peaks[at], self.method[at] = steps[whole], peaks[whole], name

    def cut_at(self, floor: Float, rows: Index) -> None:
        """Nothing below the (N,) floor of each row."""
        for each in (self.values, self.peaks):
            each[rows] = np.maximum(each[rows], floor[:, None, None])

    def forecast(self, history: Series, as_of: datetime, start_s: int) -> Forecast:
        return Forecast(history.unique_id, as_of, start_s, history.step_s, self.levels, self.values, self.peaks,
                        tuple(self.method.tolist()))  # fmt: skip
