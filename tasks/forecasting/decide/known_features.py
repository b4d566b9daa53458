"""Known-future features as a model learns them: which, and in what sizes; and whether a calendar fits a history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Calendar, Float, Series
from tasks.forecasting.decide.history import LARGEST

MOST_SERIES = 400  # of one calendar that give a feature's size, evenly spaced in the order of their names


@dataclass(frozen=True)
class Known:
    """K features as a model has learned them.

    Attributes
    ----------
    names: K names. sizes: K numbers above 0 that they are divided by.
    """

    names: tuple[str, ...] = ()
    sizes: tuple[float, ...] = ()


def known_features(panels: Sequence[tuple[Calendar | None, Series, int]]) -> Known:
    """The features of several calendars, and their sizes by what is known of each up to a column of its history.

    A size is the root mean square of a feature's distance from the median of its series, where it is not that: 1 for a
    flag however rare it is, the standard deviation for a bell curve.

    Raises
    ------
    InvalidInput: calendars of different features; as `first_column`.
    """
    named = [(calendar, history, last) for calendar, history, last in panels if calendar and calendar.names]
    if not named:
        return Known()
    names = named[0][0].names
    square, count = np.zeros(len(names)), np.zeros(len(names))
    for calendar, history, last in named:
        begin = first_column(calendar, history)
        order = np.argsort(np.array(calendar.unique_id))
        some = order[np.linspace(0, len(order) - 1, min(len(order), MOST_SERIES)).astype(np.int64)]
        away = _away(ordered(calendar, names)[:, some, : max(0, last + 1 - begin)])
        square += (away**2).sum(axis=(1, 2))
        count += (away > 0).sum(axis=(1, 2))
    size = np.sqrt(square / np.maximum(count, 1))
    return Known(names, tuple(np.where(size > 0, size, 1.0).tolist()))


def _away(values: Float) -> Float:
    """(K, S, T) distance from each series' median over time, 0 where not known."""
    known = np.abs(values) <= LARGEST
    if not values.size:
        return np.zeros(values.shape, np.float64)
    rows = np.sort(np.where(known, values, np.float32(np.inf)), axis=2)
    middle = np.maximum(known.sum(axis=2, keepdims=True) - 1, 0) // 2
    median = np.take_along_axis(rows, middle, axis=2).astype(np.float64)
    return np.asarray(np.abs(np.where(known, values, median) - np.where(np.isfinite(median), median, 0))) * known


def ordered(calendar: Calendar, names: tuple[str, ...]) -> Float:
    """(K, S', T') a calendar's features in the order of these names.

    Raises
    ------
    InvalidInput: the calendar has others.
    """
    if calendar.names == names:
        return calendar.values
    if sorted(calendar.names) != sorted(names):
        raise InvalidInput(f"the calendar's features are {_listed(calendar.names)}, the model's {_listed(names)}",
                           where="calendar", fix="pass the features that the model is fitted on")  # fmt: skip
    return np.asarray(calendar.values[[calendar.names.index(name) for name in names]])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names)) or "none"


def first_column(calendar: Calendar, history: Series) -> int:
    """Column of the history at which the calendar's first one lies.

    Raises
    ------
    InvalidInput: the calendar has another shape than it names, or another step or phase than the history.
    """
    count, names = len(calendar.unique_id), calendar.names
    wrong = ""
    if len(set(calendar.unique_id)) != count:
        twice = next(name for name, times in Counter(calendar.unique_id).items() if times > 1)
        wrong = f"series {twice!r} is there twice"
    elif len(calendar.zones) not in (0, count):
        wrong = f"{len(calendar.zones)} zones for {count} series"
    elif len(set(names)) != len(names):
        wrong = f"a name is there twice among the features {_listed(names)}"
    elif names and (calendar.values.ndim != 3 or calendar.values.shape[:2] != (len(names), count)):
        wrong = f"values have the shape {calendar.values.shape} for {len(names)} features of {count} series"
    elif names and (calendar.step_s != history.step_s or (calendar.start_s - history.start_s) % history.step_s):
        wrong = (f"steps of {calendar.step_s} s from {calendar.start_s} on, for a history in steps of "
                 f"{history.step_s} s from {history.start_s} on")  # fmt: skip
    if wrong:
        raise InvalidInput(wrong, where="calendar", fix="lay it out like the history: one row a name, the same steps")
    return (calendar.start_s - history.start_s) // history.step_s
