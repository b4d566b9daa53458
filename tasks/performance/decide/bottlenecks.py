"""Where work waits: rules that a person can check, each counted by days, and how surely the next day has it too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tasks.performance.decide.week import CPU, RESOURCES, Week
from tasks.placement.decide.queueing import erlang_c

Bool = NDArray[np.bool_]

CONFIDENT = 0.8
FULL_RATIO = 0.90
"""Of the nodes' allocatable: above it a pool counts as saturated, as in scaling's violation minutes."""

BUSY_RATIO = 0.80
LEAST_S = 900.0
WAIT_CHANCE = 0.2
MANY_CORES = 256
"""With more of them nothing waits below `FULL_RATIO` (a chance of 2 % at 90 %): the saturation rule sees it first."""


class Rule(StrEnum):
    """What makes a day of a pool a bad one."""

    AT_MAXIMUM = "at-maximum"  # 80 % in use for 15 minutes, with as many nodes as the pool may have
    SATURATED = "saturated"  # over 90 % in use for 15 minutes
    QUEUEING = "queueing"  # an hour in which work found every core busy with a chance of over 20 %


@dataclass(frozen=True)
class Bottleneck:
    """One rule that holds for a pool's resource.

    Attributes
    ----------
    bad_days, days: of so many known days. confidence: chance that the next day is a bad one (Jeffreys' mean).
    minutes: a day, the mean of the known days. worst: the highest share in use, or chance to wait, of the week.
    counted_ratio: share of the week for which Ready nodes were counted; elsewhere the present number stands in.
    """

    pool: str
    resource: str
    rule: Rule
    bad_days: int
    days: int
    confidence: float
    minutes: float
    worst: float
    counted_ratio: float


def confidence(bad: int, days: int) -> float:
    """Chance that the next day is a bad one after `bad` of `days`: the mean of Beta(bad + 1/2, good + 1/2).

    >>> confidence(7, 7), confidence(6, 7), round(confidence(5, 7), 2), confidence(0, 0)
    (0.9375, 0.8125, 0.69, 0.5)
    """
    return (bad + 0.5) / (days + 1)


def bottlenecks(week: Week) -> list[Bottleneck]:
    """All with a confidence above `CONFIDENT`, the surest and longest first; one a pool and resource.

    Of several rules the first of `Rule` is told: a pool at its maximum is not helped by advice for one that grows late.
    """
    used, known = week.used(), week.known_days()
    nodes = week.counted()
    minutes = week.step_s / 60
    with np.errstate(invalid="ignore"):
        full = used > FULL_RATIO
        capped = (used > BUSY_RATIO) & (nodes >= week.max_nodes[:, None, None])[:, None]
        waits = _waiting(week)
        checks = {
            Rule.AT_MAXIMUM: (capped.sum(axis=3) * minutes, LEAST_S / 60, _worst(np.where(capped, used, np.nan))),
            Rule.SATURATED: (full.sum(axis=3) * minutes, LEAST_S / 60, _worst(used)),
            Rule.QUEUEING: ((waits > WAIT_CHANCE).sum(axis=3) * 60.0, 60.0, _worst(waits)),
        }
    counted = np.isfinite(week.nodes).mean(axis=(1, 2))
    found: dict[tuple[int, int], Bottleneck] = {}
    for rule, (bad_minutes, least, worst) in checks.items():
        for row, column in _sure(bad_minutes >= least, known):
            if (row, column) in found:
                continue
            days = known[row, column]
            bad, count = int((bad_minutes[row, column][days] >= least).sum()), int(days.sum())
            found[row, column] = Bottleneck(
                week.unique_id[row], RESOURCES[column], rule, bad, count, confidence(bad, count),
                float(bad_minutes[row, column][days].mean()), float(worst[row, column]), float(counted[row]),
            )  # fmt: skip
    return sorted(found.values(), key=lambda each: (-each.confidence, -each.minutes, each.pool, each.resource))


def _sure(bad: Bool, known: Bool) -> Iterator[tuple[int, int]]:
    """Places (pool, resource) of which enough of the known days are bad."""
    sure = ((bad & known).sum(axis=2) + 0.5) / (known.sum(axis=2) + 1) > CONFIDENT
    return ((int(row), int(column)) for row, column in np.argwhere(sure))


def _waiting(week: Week) -> NDArray[np.float64]:
    """(P, R, D, H) chance by the hour that work finds every core busy (Erlang C, a core a server); NaN not known.

    The hour's mean is taken: a machine's scheduler shares cores within it. Of memory nothing waits.
    """
    load, nodes = hourly_load(week), _hourly(week, week.counted())
    cores = np.nan_to_num(np.floor(nodes * week.node_sizes[:, CPU, None, None]))
    few = (cores > 0) & (cores <= MANY_CORES)
    chance = np.where(np.isfinite(nodes * load), 0.0, np.nan)
    chance[few] = erlang_c(cores[few], load[few])
    found = np.full((len(load), len(RESOURCES), *load.shape[1:]), np.nan)
    found[:, CPU] = chance
    return found


def hourly_load(week: Week) -> NDArray[np.float64]:
    """(P, D, H) cores in use, the mean of each hour; NaN where not all of it is known."""
    return _hourly(week, week.demand[:, CPU])


def _hourly(week: Week, values: NDArray[np.float32]) -> NDArray[np.float64]:
    each = max(1, 3600 // week.step_s)
    pools, days, steps = values.shape
    hours = steps // each
    return np.asarray(values[:, :, : hours * each].reshape(pools, days, hours, each).mean(axis=3, dtype=np.float64))


def _worst(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(P, R) the highest; -inf where nothing is known."""
    return np.asarray(np.where(np.isfinite(values), values, -np.inf).max(axis=(2, 3)))
