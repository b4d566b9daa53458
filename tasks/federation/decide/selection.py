"""Which devices train in a round: seeded, fair over rounds, leaning to data and clean power where that is asked."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

TAIL = 0.01  # chance that a round holds more hostile devices than its rule stands


@dataclass(frozen=True)
class Fleet:
    """The devices, one entry each.

    Attributes
    ----------
    available: (N,) may be asked now (awake, charged, on an unmetered link). rows: (N,) rows that each says it holds.
    rounds: (N,) rounds that each has been asked for so far. gco2_per_kwh: (N,) of its power; None: not looked at.
    """

    available: NDArray[np.bool_]
    rows: NDArray[np.int64]
    rounds: NDArray[np.int64]
    gco2_per_kwh: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Leaning:
    """Powers of a device's weight in the draw: rows ** data * gco2_per_kwh ** -carbon * exp(-fairness * rounds).

    All 0 is a uniform draw. A fairness of 3 is nearly taking turns.
    """

    fairness: float = 3.0
    data: float = 0.0
    carbon: float = 0.0


UNIFORM = Leaning(fairness=0.0)  # what the tail of hostile devices and the privacy of a round are worked out for


@dataclass(frozen=True)
class Cohort:
    """How many devices to ask, and how many hostile ones among them the rule must stand (Multi-Krum's f)."""

    size: int
    hostile: int


def decide_cohort(devices: int, fraction: float, hostile_share: float) -> Cohort:
    """The smallest cohort of at least `fraction` of the devices for which Multi-Krum's n >= 2 f + 3 holds.

    Without a hostile share it is ceil(fraction * devices). Where no size will do (three devices, half of them
    hostile) it is every device, and `hostile` is what the rule can stand.

    >>> decide_cohort(20, 0.3, 0.0), decide_cohort(20, 0.3, 0.2)
    (Cohort(size=6, hostile=0), Cohort(size=11, hostile=4))
    """
    least = max(1, ceil(fraction * devices - 1e-9))
    if not hostile_share:
        return Cohort(least, 0)
    for size in range(least, devices + 1):
        hostile = hostile_among(size, devices, hostile_share)
        if size >= 2 * hostile + 3:
            return Cohort(size, hostile)
    return Cohort(devices, max(0, (devices - 3) // 2))


def hostile_among(sampled: int, devices: int, hostile_share: float) -> int:
    """The smallest f that a uniform sample exceeds with a chance of `TAIL` at most (hypergeometric tail).

    >>> hostile_among(6, 20, 0.2)
    3
    """
    hostile = ceil(hostile_share * devices - 1e-9)
    return next(f for f in range(hostile + 1) if hypergeom.sf(f, devices, hostile, sampled) <= TAIL)


def decide_selection(fleet: Fleet, size: int, leaning: Leaning, seed: list[int]) -> NDArray[np.int64]:
    """(<= size,) indices of available devices, ascending: a weighted sample without replacement.

    Adding Gumbel noise to the logarithm of each weight and taking the largest is that sample (Efraimidis and
    Spirakis 2006; Kool et al. 2019).
    """
    weight = leaning.data * np.log(np.maximum(fleet.rows, 1)) - leaning.fairness * fleet.rounds
    if fleet.gco2_per_kwh is not None:
        weight = weight - leaning.carbon * np.log(np.maximum(fleet.gco2_per_kwh, 1.0))
    key = weight + np.random.default_rng(seed).gumbel(size=len(weight))
    there = np.flatnonzero(fleet.available)
    return np.sort(there[np.argsort(-key[there], kind="stable")[:size]])


def poisson_selection(available: NDArray[np.bool_], fraction: float, seed: list[int]) -> NDArray[np.int64]:
    """Each available device by a coin of its own: the sampling that DP-FedAvg's accountant assumes; may be nobody."""
    drawn = np.random.default_rng(seed).random(len(available)) < fraction
    return np.flatnonzero(drawn & available)
