"""`fit`, `calibrate`, `forecast`: a table of engines, and which series each of them may serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from blocks.series import Calendar, Float, Forecast, Series
from tasks.forecasting.decide.almanac import almanac
from tasks.forecasting.decide.calibration import (
    ORIGINS,
    SERIES_OF_A_GROUP,
    Calibration,
    Replay,
    grouped,
    joined,
    neutral,
    past_origins,
)
from tasks.forecasting.decide.combination import Opinions, opinions
from tasks.forecasting.decide.features import Design, design, window_width
from tasks.forecasting.decide.history import LARGEST, Bool, Index, Past, last_column, past, recent, steps_in_a_day
from tasks.forecasting.decide.known_features import Known, known_features
from tasks.forecasting.decide.linear import TRAINING_WINDOWS, fit_linear
from tasks.forecasting.decide.naive import predict_last_value, predict_seasonal_naive
from tasks.forecasting.decide.trees import fit_trees
from tasks.forecasting.decide.windows import ROWS_AT_ONCE, Examples, eligible, examples, pooled

LINEAR, TREES, SEASONAL_NAIVE, LAST_VALUE, NONE = "linear", "trees", "seasonal-naive", "last-value", "none"


class Model(Protocol):
    """A fitted global quantile model."""

    @property
    def step_s(self) -> int:
        """Seconds between steps."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Q quantile levels, ascending."""

    @property
    def horizon(self) -> int:
        """H steps ahead."""

    @property
    def known(self) -> Known:
        """Known-future features it has learned."""

    def shares(self, windows: Design) -> Float:
        """(N, H, Q) quantiles as shares of each window's scale above its centre, ascending along Q."""


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
    _checked(history, horizon, levels)
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
    wanted = next(_checked(history, horizon, levels) for history, _ in panels)
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


def calibrate(
    history: Series, model: Model, as_of: datetime, *, groups: Sequence[str] | None = None, origins: int = ORIGINS,
    calendar: Calendar | None = None,
) -> Calibration:  # fmt: skip
    """Replay a model over past origins of each series: whom to trust, and how far its quantiles must move.

    Rules: past origins two hours and ten minutes apart (closer where less is known), each seeing only what was known
    then; of its outcomes, those at or before `as_of` count. First the groups' offsets, then each series' own.

    Parameters
    ----------
    groups:
        a label a series; the series of a group share a split-conformal offset. None is one group.
    origins:
        how many.
    calendar:
        local time and known-future features of the series.

    Raises
    ------
    InvalidInput: as `forecast`; other than one label a series.
    """
    _checked(history, model.horizon, model.levels, model)
    names, labels = history.unique_id, list(groups or [""] * len(history.unique_id))
    if len(labels) != len(names):
        raise InvalidInput(f"{len(labels)} groups for {len(names)} series", where="calibrate", fix="pass one a series")
    day, last = steps_in_a_day(history.step_s), last_column(history, as_of)
    at = past_origins(last, min(last, history.values.shape[1]), day, origins)
    if not len(at) or not names:
        return neutral(names, model.levels, model.horizon)
    group = np.unique(np.array(labels, dtype=str), return_inverse=True)[1].astype(np.int64)
    chosen, members = _representatives(names, group)
    part = replace(history, unique_id=tuple(names[row] for row in chosen), values=history.values[chosen])
    blind = neutral(names, model.levels, model.horizon)
    first = [
        replay.settle(last, at, model.levels, blind.of(replay.unique_id))
        for replay in replays(part, model, at, calendar)
    ]
    steps, peaks = grouped(first, members, model.levels, model.horizon)
    known = replace(
        blind, group=group, steps=replace(blind.steps, group=steps), peaks=replace(blind.peaks, group=peaks)
    )
    parts = []
    for replay in replays(history, model, at, calendar):
        mine = known.of(replay.unique_id)
        parts.append(mine.moved(replay.settle(last, at, model.levels, mine)))
    return joined(parts)


def _representatives(names: tuple[str, ...], group: Index) -> tuple[Index, list[Index]]:
    """Rows that stand for their groups, at most 200 of each, evenly spaced in the order of their names; and which of
    them are each group's.
    """
    order = np.argsort(np.array(names))
    found = [order[group[order] == g] for g in range(int(group.max()) + 1)]
    found = [rows[np.linspace(0, len(rows) - 1, min(len(rows), SERIES_OF_A_GROUP)).astype(np.int64)] for rows in found]
    ends = np.cumsum([len(rows) for rows in found])
    return np.concatenate(found), np.split(np.arange(ends[-1]), ends[:-1])


def replays(history: Series, model: Model, origins: Index, calendar: Calendar | None = None) -> Iterator[Replay]:
    """What the model and the plain experts said at past columns, for a few hundred series at once."""
    day = steps_in_a_day(history.step_s)
    whole = almanac(calendar, history, model.known, model.horizon, origins)
    for begin in range(0, len(history.unique_id), ROWS_AT_ONCE):
        part = Series(
            history.unique_id[begin : begin + ROWS_AT_ONCE], history.start_s, history.step_s,
            history.values[begin : begin + ROWS_AT_ONCE],
        )  # fmt: skip
        rows = np.arange(begin, begin + len(part.unique_id))
        views = (
            past(
                recent(part, int(origin), window_width(day)), day, whole.at(rows, np.array([origin])) if whole else None
            )
            for origin in origins
        )
        said = tuple(_said(view, model) for view in views)
        came = np.stack([recent(part, int(origin) + model.horizon, model.horizon) for origin in origins])
        yield Replay(part.unique_id, origins, said, np.where(np.abs(came) <= LARGEST, came, np.float32(np.nan)))


def _said(view: Past, model: Model) -> Opinions:
    """What the experts say of windows; NaN for those that the global models may not serve."""
    fit_rows = eligible(view)
    if fit_rows.all():
        return _opinions(view, model)
    if not fit_rows.any():
        shape = (len(view.values), model.horizon, len(model.levels))
        return Opinions(np.full(shape, np.nan, np.float32), np.full((4, *shape[:2]), np.nan, np.float32),
                        np.full((shape[0], shape[2]), np.nan, np.float32), _floor(view), 0)  # fmt: skip
    return _opinions(view.rows(fit_rows), model).spread(np.flatnonzero(fit_rows), len(view.values))


def _opinions(view: Past, model: Model) -> Opinions:
    windows = design(view, model.horizon)
    shares = model.shares(windows)
    said = opinions(windows, shares, model.levels, _floor(view))
    news = windows.news()
    if not len(news):
        return said
    effect = np.zeros(shares.shape[:2], np.float32)
    usual = model.shares(windows.take(news).as_usual())
    effect[news] = (shares[news] - usual)[:, :, said.middle] * windows.scale[news, None]
    return said.told(effect)


def _floor(view: Past) -> Float:
    """(N,) 0 where nothing was below it in the week."""
    return np.where(view.values.min(axis=1) < 0, -np.inf, 0).astype(np.float32)


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
    wanted = _checked(history, horizon, levels, model)
    if engine not in ENGINES:
        raise InvalidInput(f"no engine is called {engine!r}", where="forecast", fix=f"use one of {', '.join(ENGINES)}")
    day, last = steps_in_a_day(history.step_s), last_column(history, as_of)
    if engine in GLOBAL_ENGINES:
        model = model or fit(history, horizon, wanted, as_of, engine=engine, calendar=calendar)
        if model and not calibration:
            calibration = calibrate(history, model, as_of, calendar=calendar)
    known = calibration.of(history.unique_id) if calibration else neutral(history.unique_id, wanted, horizon)
    chain = list(BASELINES)[list(BASELINES).index(engine) :] if engine in BASELINES else list(BASELINES)
    whole = almanac(calendar, history, model.known if model else None, horizon, (last, last))
    block = recent(history, last, window_width(day))
    values = np.full((len(block), horizon, len(wanted)), np.nan, np.float32)
    peaks, method = values.copy(), np.full(len(block), NONE, dtype=object)
    for begin in range(0, len(block), ROWS_AT_ONCE):
        rows = np.arange(begin, min(begin + ROWS_AT_ONCE, len(block)))
        view = past(block[rows[0] : rows[-1] + 1], day, whole.at(rows, np.array([last])) if whole else None)
        if model is not None and engine in GLOBAL_ENGINES:
            _serve_by_model(view, model, known, engine, rows, values, peaks, method)
        _serve_by_baselines(view, chain, wanted, rows, values, peaks, method)
        floor = _floor(view)[:, None, None]
        values[rows], peaks[rows] = np.maximum(values[rows], floor), np.maximum(peaks[rows], floor)
    start_s = history.start_s + (last + 1) * history.step_s
    return Forecast(history.unique_id, as_of, start_s, history.step_s, wanted, values, peaks, tuple(method.tolist()))


def _serve_by_model(
    view: Past, model: Model, known: Calibration, engine: str, rows: Index, values: Float, peaks: Float,
    method: NDArray[np.object_],
) -> None:  # fmt: skip
    """Fill in the rows that a global model may serve."""
    fit_rows = eligible(view)
    if not fit_rows.any():
        return
    at = rows[fit_rows]
    # A wild series may overflow float32 here: it is left to a baseline, and no other series notices.
    with np.errstate(over="ignore", invalid="ignore"):
        said = _opinions(view if fit_rows.all() else view.rows(fit_rows), model)
        steps, tops = known.rows(at).applied(said)
    served = np.isfinite(steps).all(axis=(1, 2)) & np.isfinite(tops).all(axis=(1, 2))
    values[at[served]], peaks[at[served]], method[at[served]] = steps[served], tops[served], engine


def _serve_by_baselines(
    view: Past, names: Sequence[str], levels: tuple[float, ...], rows: Index, values: Float, peaks: Float,
    method: NDArray[np.object_],
) -> None:  # fmt: skip
    """Fill in the rows that are still open, trying the baselines in order."""
    for name in names:
        waiting = (method[rows] == NONE) & BASELINES[name].serves(view)
        if not waiting.any():
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            found = BASELINES[name].predict(view.rows(waiting), values.shape[1], levels)
        served = np.isfinite(found).all(axis=(1, 2))
        at = rows[waiting][served]
        values[at], peaks[at], method[at] = found[served], np.maximum.accumulate(found[served], axis=1), name


def _checked(history: Series, horizon: int, levels: Sequence[float], model: Model | None = None) -> tuple[float, ...]:
    """The levels as a tuple, after everything has been checked."""
    shape, names = history.values.shape, history.unique_id
    if len(shape) != 2 or shape[0] != len(names):
        raise InvalidInput(f"values have the shape {shape} for {len(names)} names", where="history",
                           fix="pass one row a name")  # fmt: skip
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InvalidInput(f"series {twice!r} is there twice", where="history", fix="give every series its own name")
    if horizon < 1:
        raise InvalidInput(f"a horizon of {horizon} steps", where="forecast", fix="ask for at least 1 step")
    wanted = tuple(float(level) for level in levels)
    inside = all(0 < level < 1 for level in wanted)
    if not wanted or not inside or any(b <= a for a, b in pairwise(wanted)):
        raise InvalidInput(f"quantile levels {wanted}", where="forecast", fix="give ascending levels inside 0-1")
    if model is not None and (model.horizon, model.step_s, model.levels) != (horizon, history.step_s, wanted):
        raise InvalidInput(f"the model is for {model.horizon} steps of {model.step_s} s at levels {model.levels}",
                           where="forecast", fix="fit one with the same step, horizon and levels")  # fmt: skip
    return wanted
