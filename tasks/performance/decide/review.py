"""The whole review of a week: trends, bottlenecks, advice, breaches. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.performance.decide.advice import Advice, Breach, advise, breaches
from tasks.performance.decide.bottlenecks import Bottleneck, bottlenecks
from tasks.performance.decide.trends import SURE, trends
from tasks.performance.decide.week import RESOURCES, Floats, Week

BUSY_SHARE = 0.95
"""Quantile of a day that stands for it: a spike of an hour does not make a trend."""

LEAST_GROWTH = 0.05
"""In a week; a smaller change is none."""


@dataclass(frozen=True)
class Trend:
    """A number that rises or falls: `change_ratio` in a week, of `level` now (share of health, cores or bytes)."""

    subject: str
    what: str
    level: float
    change_ratio: float
    confidence: float


@dataclass(frozen=True)
class Review:
    """What a week came to; `known_ratio`: share of the pools' days of which at least half is known."""

    trends: tuple[Trend, ...]
    bottlenecks: tuple[Bottleneck, ...]
    advice: tuple[Advice, ...]
    breaches: tuple[Breach, ...]
    known_ratio: float


def decide_review(week: Week, health: Mapping[str, Floats]) -> Review:
    """Every finding of the week; nothing is guessed for pools and days that are not known.

    Parameters
    ----------
    health: (D,) daily means, 0-1, by part of the fleet's health.
    """
    pools, resources, days, _ = week.demand.shape
    known = week.known_days()
    busy = np.full((pools, resources, days), np.nan)
    busy[known] = np.nanquantile(week.demand[known], BUSY_SHARE, axis=1)
    found = trends(busy.reshape(pools * resources, days))
    shape = pools, resources
    level, slope, sure = (each.reshape(shape) for each in (found.level, found.slope_per_day, found.confidence))
    names = [(pool, resource) for pool in week.unique_id for resource in RESOURCES]
    told = _told(names, level.ravel(), slope.ravel(), sure.ravel())
    if health:
        parts = trends(np.stack(list(health.values())))
        told += _told([("health", name) for name in health], parts.level, parts.slope_per_day, parts.confidence)
    slow = bottlenecks(week)
    return Review(
        tuple(sorted(told, key=lambda each: (-abs(each.change_ratio), each.subject, each.what))), tuple(slow),
        tuple(advise(week, slow)), tuple(breaches(week, level, slope, sure, SURE)), float(known.mean()),
    )  # fmt: skip


def _told(names: list[tuple[str, str]], level: Floats, slope: Floats, sure: Floats) -> list[Trend]:
    with np.errstate(invalid="ignore", divide="ignore"):
        change = 7 * slope / level
    return [
        Trend(*names[row], float(level[row]), float(change[row]), float(sure[row]))
        for row in np.flatnonzero((sure > SURE) & (level > 0) & (np.abs(change) >= LEAST_GROWTH))
    ]
