"""How far ahead is forecast, in which steps; and demand in longer steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blocks.errors import InvalidInput
from blocks.series import Series

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


@dataclass(frozen=True)
class Plan:
    """One kind of forecast: its step, its horizon in steps, the words that people know it by, its suffix in names."""

    step_s: int
    horizon: int
    words: str
    suffix: str = ""


PLANS = {
    "two-hours": Plan(300, 24, "2 hours in steps of 5 min"),
    "day-ahead": Plan(900, 96, "24 hours in steps of 15 min", "-day-ahead"),
}


def coarser(history: Series, step_s: int) -> Series:
    """The history in longer steps: the mean of what is known in each, NaN where nothing is; whole steps alone.

    A step that has only begun takes the mean of what is known of it.

    Parameters
    ----------
    history:
        (S, T) in steps that divide `step_s`; its columns before the first multiple of `step_s` are left out.

    Raises
    ------
    InvalidInput: the history's step does not divide the wanted one.

    >>> coarser(Series(("a",), 0, 300, np.array([[1, 3, np.nan, 5]], np.float32)), 900).values
    array([[2., 5.]], dtype=float32)
    """
    if step_s == history.step_s:
        return history
    if step_s % history.step_s:
        raise InvalidInput(f"steps of {history.step_s} s do not make steps of {step_s} s", where="history",
                           fix="ask for a multiple of its step")  # fmt: skip
    each, start_s = step_s // history.step_s, -(-history.start_s // step_s) * step_s
    values = history.values[:, (start_s - history.start_s) // history.step_s :]
    missing = -values.shape[1] % each
    if missing:
        values = np.pad(values, ((0, 0), (0, missing)), constant_values=np.nan)
    parts = values.reshape(len(values), -1, each)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    total = np.where(known, parts, 0).sum(axis=2, dtype=np.float64)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return Series(history.unique_id, start_s, step_s, mean.astype(np.float32))
