"""Whether a forecast of carbon intensity says something else than the one that was last announced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.carbon.decide.grid import HOUR_S, Intensity, Jobs, at_arrival
from tasks.carbon.decide.plan import decide_plan

COSTS_MORE = 0.05  # of what a start at the mean emits: what the best start of before costs more than the best one now
DIFFERS = 0.15  # mean absolute difference over the mean: half as much again as day-ahead forecasts usually err
LENGTHS_H = (1, 6)  # of the runs whose best starts are compared
LEAST_S = 6 * HOUR_S  # of common time: less says nothing


@dataclass(frozen=True)
class Movement:
    """How far apart two forecasts are over their common time; both 0 or more.

    Attributes
    ----------
    costs_more_ratio: what a run emits, by the new one, at the start that was best by the one before, less what it emits
    at the best start now, over what it would emit at the mean; the largest of `LENGTHS_H`.
    differs_ratio: mean absolute difference over the mean of the one before.
    """

    costs_more_ratio: float
    differs_ratio: float

    @property
    def moved(self) -> bool:
        """Whether it is worth planning anew at once."""
        return self.costs_more_ratio > COSTS_MORE or self.differs_ratio > DIFFERS


def decide_movement(before: Intensity, after: Intensity, now_s: int) -> Movement | None:
    """Compare two forecasts of one zone and signal; None where they share too little time from `now_s` on.

    >>> high, low = [300.0] * 6, [100.0] * 6
    >>> noon, night = (Intensity(0, 3600, np.array(each)) for each in (high + low, low + high))
    >>> decide_movement(noon, noon, 0)
    Movement(costs_more_ratio=0.0, differs_ratio=0.0)
    >>> decide_movement(noon, night, 0)
    Movement(costs_more_ratio=1.0, differs_ratio=1.0)
    """
    begin, end = max(now_s, before.start_s, after.start_s), min(before.end_s, after.end_s)
    if end - begin < LEAST_S:
        return None
    step = min(before.step_s, after.step_s)
    at = np.arange(begin, end, step)
    old, new = (each.g_per_kwh[(at - each.start_s) // each.step_s] for each in (before, after))
    mean = float(old.mean())
    differs = float(np.abs(new - old).mean()) / mean if mean > 0 else float(new.any())
    return Movement(max(_costs_more(before, after, begin, end, hours * HOUR_S) for hours in LENGTHS_H), differs)


def _costs_more(before: Intensity, after: Intensity, begin_s: int, end_s: int, lasts_s: int) -> float:
    job = _one(begin_s, lasts_s, end_s - begin_s - lasts_s)
    then = int(decide_plan(before, job).start_s[0])
    best = float(decide_plan(after, job).planned_g[0])
    there = float(at_arrival(after, _one(then, lasts_s, 0))[0])
    usual = float(at_arrival(after, _one(begin_s, end_s - begin_s, 0))[0]) * lasts_s / (end_s - begin_s)
    return max(0.0, there - best) / usual if usual > 0 else 0.0


def _one(arrival_s: int, lasts_s: int, slack_s: int) -> Jobs:
    return Jobs(np.array([arrival_s]), np.array([lasts_s]), np.array([slack_s]), np.array([1.0]), np.array([False]))
