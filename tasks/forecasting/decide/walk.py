"""Forecasts as a flow would have made them, column after column of a history: for replays of what acts on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from blocks.series import Calendar, Forecast, Series, utc
from tasks.forecasting.decide.backtest import moved_on
from tasks.forecasting.decide.calibration import ORIGINS, past_origins
from tasks.forecasting.decide.engines import GLOBAL_ENGINES, LINEAR, SEASONAL_NAIVE, fit, forecast
from tasks.forecasting.decide.history import Index, steps_in_a_day
from tasks.forecasting.decide.model import Model
from tasks.forecasting.decide.replays import calibrate

FIRST_FIT_DAYS = 1  # of history; until then the plain forecasts serve
LONGEST_FIT_DAYS = 7  # a model is fitted anew whenever the history has doubled, and at least this often


def walk(
    history: Series, horizon: int, levels: Sequence[float], columns: Index, *, engine: str = LINEAR, renewal: int = 1,
    calendar: Calendar | None = None,
) -> Iterator[Forecast]:  # fmt: skip
    """The forecast at each of some columns, made of what was known by then: model, calibration and values.

    Parameters
    ----------
    history:
        (S, T).
    columns:
        (C,) ascending columns to forecast from, one step apart.
    renewal:
        columns after which the calibration of each series moves on with what has come.

    Yields
    ------
    C forecasts of `horizon` steps, as of the time of the column.

    Raises
    ------
    InvalidInput: as `forecast`.
    """
    day = steps_in_a_day(history.step_s)
    for begin, end in pairwise(_stretches(int(columns[0]), int(columns[-1]) + 1, day)):
        mine = columns[(columns >= begin) & (columns < end)]
        as_of = utc(history.start_s + begin * history.step_s)
        model = fit(history, horizon, levels, as_of, engine=engine, calendar=calendar) if begin >= day else None
        if model is None:
            plain = SEASONAL_NAIVE if engine in GLOBAL_ENGINES else engine
            for column in mine.tolist():
                when = utc(history.start_s + column * history.step_s)
                yield forecast(history, horizon, levels, when, engine=plain, calendar=calendar)
        else:
            yield from _of_model(history, model, engine, mine, renewal, calendar)


def _of_model(
    history: Series, model: Model, engine: str, columns: Index, renewal: int, calendar: Calendar | None
) -> Iterator[Forecast]:
    first, day = int(columns[0]), steps_in_a_day(history.step_s)
    start = calibrate(history, model, utc(history.start_s + first * history.step_s), calendar=calendar)
    renewed = columns[::renewal]
    before = past_origins(first, first, day, ORIGINS)
    known = moved_on(history, start, model, renewed, before, day, calendar)
    for place, column in enumerate(columns.tolist()):
        when = utc(history.start_s + column * history.step_s)
        yield forecast(
            history, model.horizon, model.levels, when, engine=engine, model=model,
            calibration=known[place // renewal], calendar=calendar,
        )  # fmt: skip


def _stretches(first: int, end: int, day: int) -> list[int]:
    """Columns at which a model is fitted anew, from `first` on, and `end`.

    >>> _stretches(0, 20 * 10, 10)
    [0, 10, 20, 40, 80, 150, 200]
    """
    at = [FIRST_FIT_DAYS * day]
    while at[-1] < end:
        at.append(at[-1] + min(at[-1], LONGEST_FIT_DAYS * day))
    inside = [column for column in at if first < column < end]
    return [first, *inside, end]
