"""Which engine serves a set of series: the one with the lowest weighted quantile loss on their own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from blocks.series import Calendar, Series
from tasks.forecasting.decide.backtest import backtest
from tasks.forecasting.decide.engines import LINEAR, SEASONAL_NAIVE, TREES

ORIGINS, MOST_ORIGINS = 8, 40
WINDOWS = 160  # are wanted: fewer series are judged from more origins
SERIES = 100  # judge for all, evenly spaced in the order of their names
# Trees are tried on files of 8,000 to 50,000 values. Measured against linear, 20 origins, each file alone: with fewer
# values (22 NAB files) their WQL is 1.01 times linear's 2 h ahead and 1.09 times 24 h ahead; between (World Cup, three
# data centres) 0.94 times 2 h ahead; with more (49 Bitbrains VMs, 1,052 PlanetLab VMs) 1.02 and 1.00. They cost 5 to 10
# times linear's CPU everywhere.
TREES_FROM, TREES_UP_TO = 8_000, 50_000


@dataclass(frozen=True)
class Choice:
    """An engine and why.

    Attributes
    ----------
    engine: its name. wql, mase: of each engine that was tried, mean over the windows where they are defined for all;
    empty where nothing could be scored. windows: how many gave the scores. series: how many were judged.
    """

    engine: str
    wql: dict[str, float]
    mase: dict[str, float]
    windows: int
    series: int


def choose(history: Series, horizon: int, levels: Sequence[float], *, calendar: Calendar | None = None) -> Choice:
    """The engine with the lowest weighted quantile loss (WQL), from 8 to 40 origins in a history's newest quarter.

    Rules: linear and seasonal naive are tried, trees on 8,000 to 50,000 values. A model that does not beat seasonal
    naive is never chosen; where the past is too short to score anything, seasonal naive is.

    Parameters
    ----------
    history:
        (S, T) matrix; at most 100 of its series are judged.
    horizon, levels:
        as of `forecast`; a median of 0.5 among the levels.
    calendar:
        what is known beforehand.
    """
    tried = [SEASONAL_NAIVE, LINEAR]
    if TREES_FROM <= np.isfinite(history.values).sum() <= TREES_UP_TO:
        tried.append(TREES)
    judged = _judged(history)
    origins = min(max(ORIGINS, WINDOWS // max(1, len(judged.unique_id))), MOST_ORIGINS)
    found = {engine: backtest([judged], horizon, levels, engine=engine, origins=origins, calendars=[calendar])[0]
             for engine in tried}  # fmt: skip
    wql, windows = _common({engine: made.wql() for engine, made in found.items()})
    mase, _ = _common({engine: made.mase for engine, made in found.items()})
    best = min(tried, key=lambda engine: wql[engine]) if windows else SEASONAL_NAIVE
    return Choice(best, wql, mase, windows, len(judged.unique_id))


def _judged(history: Series) -> Series:
    count = len(history.unique_id)
    if count <= SERIES:
        return history
    rows = np.argsort(np.array(history.unique_id))[np.linspace(0, count - 1, SERIES).astype(np.int64)]
    return replace(history, unique_id=tuple(history.unique_id[row] for row in rows), values=history.values[rows])


def _common(scores: dict[str, np.ndarray]) -> tuple[dict[str, float], int]:
    """Mean of each engine over the windows where all are defined, and how many these are."""
    known = np.all([np.isfinite(found) for found in scores.values()], axis=0)
    if not known.any():
        return {}, 0
    return {engine: float(found[known].mean()) for engine, found in scores.items()}, int(known.sum())
