"""`calibrate`: a model replayed over past origins, each seeing only what was known then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Calendar, Series
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
from tasks.forecasting.decide.combination import Opinions
from tasks.forecasting.decide.features import window_width
from tasks.forecasting.decide.history import LARGEST, Index, Past, last_column, past, recent, steps_in_a_day
from tasks.forecasting.decide.model import Model, checked, floor_of, opinions_of
from tasks.forecasting.decide.windows import ROWS_AT_ONCE, eligible


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
    checked(history, model.horizon, model.levels, model)
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
        return opinions_of(view, model)
    if not fit_rows.any():
        shape = (len(view.values), model.horizon, len(model.levels))
        return Opinions(np.full(shape, np.nan, np.float32), np.full((4, *shape[:2]), np.nan, np.float32),
                        np.full((shape[0], shape[2]), np.nan, np.float32), floor_of(view), 0)  # fmt: skip
    return opinions_of(view.rows(fit_rows), model).spread(np.flatnonzero(fit_rows), len(view.values))
