"""`forecast`: the one entry, a table of engines, and which series each of them may serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Float, Forecast, Series
from tasks.forecasting.decide.features import window_width
from tasks.forecasting.decide.history import Bool, Past, last_column, past, recent, steps_in_a_day
from tasks.forecasting.decide.linear import LinearModel, fit_linear, predict_linear
from tasks.forecasting.decide.naive import predict_last_value, predict_seasonal_naive
from tasks.forecasting.decide.windows import ROWS_AT_ONCE, eligible

LINEAR, SEASONAL_NAIVE, LAST_VALUE, NONE = "linear", "seasonal-naive", "last-value", "none"


@dataclass(frozen=True)
class Engine:
    """One way to forecast.

    Attributes
    ----------
    serves: which of N windows it may serve, (N,) bool.
    predict: (N, H, Q) quantiles of windows; the model is None for engines that fit nothing.
    """

    serves: Callable[[Past], Bool]
    predict: Callable[[Past, int, tuple[float, ...], LinearModel | None], Float]


def _lived_a_day(view: Past) -> Bool:
    """A day of life, a value within the last day, and a quarter of a day of values in the week."""
    enough = view.observed.sum(axis=1) * 4 >= view.day
    return np.asarray((view.age() >= view.day) & (view.staleness() < view.day) & enough)


def _seen_today(view: Past) -> Bool:
    """At least one value within the last day."""
    return np.asarray(view.staleness() < view.day)


def _linear(view: Past, horizon: int, levels: tuple[float, ...], model: LinearModel | None) -> Float:
    if model is None:
        return np.full((len(view.values), horizon, len(levels)), np.nan, np.float32)
    return predict_linear(model, view)


# In the order in which they are tried: an engine that may not serve a series leaves it to those below it.
ENGINES: dict[str, Engine] = {
    LINEAR: Engine(eligible, _linear),
    SEASONAL_NAIVE: Engine(
        _lived_a_day, lambda view, horizon, levels, _: predict_seasonal_naive(view, horizon, levels)
    ),
    LAST_VALUE: Engine(_seen_today, lambda view, horizon, levels, _: predict_last_value(view, horizon, levels)),
}


def fit(history: Series, horizon: int, levels: Sequence[float], as_of: datetime) -> LinearModel | None:
    """Fit the linear engine on the columns at or before `as_of`, to be used by later calls of `forecast`.

    Returns
    -------
    The model; None where there are fewer than 200 windows to learn from (a single series needs about three days).

    Raises
    ------
    InvalidInput: as `forecast`.
    """
    wanted = _checked(history, horizon, levels)
    return fit_linear(history, last_column(history, as_of), horizon, wanted, steps_in_a_day(history.step_s))


def forecast(
    history: Series,
    horizon: int,
    levels: Sequence[float],
    as_of: datetime,
    *,
    engine: str = LINEAR,
    model: LinearModel | None = None,
) -> Forecast:
    """Quantiles of each series over the `horizon` steps after `as_of`.

    Rules: only columns at or before `as_of` are read. NaN, infinite and beyond 1e17 is missing; missing is never zero
    (`history.fill`). A series goes to the first engine, from `engine` downwards, that may serve it:

    - `linear`: two days of life, a value within the last hour, half a day of values in the last week;
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
    model:
        a model of `fit` for the same step, horizon and levels; without it the linear engine is fitted here.

    Raises
    ------
    InvalidInput: a duplicate name, a wrong shape, horizon, level, step or engine, an `as_of` without time zone, a model
        of another horizon, step or set of levels.
    """
    wanted = _checked(history, horizon, levels)
    if engine not in ENGINES:
        raise InvalidInput(f"no engine is called {engine!r}", where="forecast", fix=f"use one of {', '.join(ENGINES)}")
    if model is not None and (model.horizon, model.step_s, model.levels) != (horizon, history.step_s, wanted):
        raise InvalidInput(f"the model is for {model.horizon} steps of {model.step_s} s at levels {model.levels}",
                           where="forecast", fix="fit one with the same step, horizon and levels")  # fmt: skip
    day, last = steps_in_a_day(history.step_s), last_column(history, as_of)
    if engine == LINEAR and model is None:
        model = fit_linear(history, last, horizon, wanted, day)
    chain = list(ENGINES)[list(ENGINES).index(engine) :]
    block = recent(history, last, window_width(day))
    values = np.empty((len(block), horizon, len(wanted)), np.float32)
    method: list[str] = []
    for begin in range(0, len(block), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        values[rows], names = _serve(past(block[rows], day), chain, horizon, wanted, model)
        method += names
    start_s = history.start_s + (last + 1) * history.step_s
    return Forecast(history.unique_id, as_of, start_s, history.step_s, wanted, values, tuple(method))


def _serve(
    view: Past, names: Sequence[str], horizon: int, levels: tuple[float, ...], model: LinearModel | None
) -> tuple[Float, list[str]]:
    """(N, H, Q) quantiles and the N names of the engines that served, trying `names` in order."""
    values = np.full((len(view.values), horizon, len(levels)), np.nan, np.float32)
    method = np.full(len(values), NONE, dtype=object)
    open_rows = np.ones(len(values), dtype=bool)
    for name in names:
        waiting = open_rows & ENGINES[name].serves(view)
        if not waiting.any():
            continue
        part = view if waiting.all() else view.rows(waiting)
        # A wild series may overflow float32 here: it is left to the next engine, and no other series notices.
        with np.errstate(over="ignore", invalid="ignore"):
            found = ENGINES[name].predict(part, horizon, levels, model)
        served = np.isfinite(found).all(axis=(1, 2))
        rows = np.flatnonzero(waiting)[served]
        values[rows], method[rows], open_rows[rows] = found[served], name, False
    signed = np.asarray((view.values < 0).any(axis=1))
    np.maximum(values, 0, out=values, where=~signed[:, None, None])
    return values, method.tolist()


def _checked(history: Series, horizon: int, levels: Sequence[float]) -> tuple[float, ...]:
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
    return wanted
