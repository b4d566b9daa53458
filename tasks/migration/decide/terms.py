"""What a place costs a workload, in slots of its usual cost: latency of its users, money, errors; and what comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.migration.decide.moves import Costs
from tasks.migration.decide.replay import LATENCY_WEIGHT, total_of

Floats = NDArray[np.float64]


def mean_latency(rates: Floats, rtt_ms: Floats) -> Floats:
    """(W, S) mean round trip of each workload's users to each site; 1 everywhere for a workload without users.

    Parameters
    ----------
    rates: (W, Z) requests per second by the users' zone. rtt_ms: (Z, S); NaN where it is not known.

    Returns
    -------
    NaN where the round trip of a zone that has users is not known: missing is not near.

    >>> mean_latency(np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([[10.0, 20.0], [30.0, np.nan]])).tolist()
    [[15.0, nan], [1.0, 1.0]]
    """
    asked = rates.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(asked > 0, rates @ np.nan_to_num(rtt_ms) / asked, 1.0)
    unknown = (rates > 0).astype(np.float64) @ np.isnan(rtt_ms).astype(np.float64) > 0
    return np.where(unknown, np.nan, found)


def latency_to_come(rates: Floats, growth: Floats, rtt_ms: Floats) -> NDArray[np.float32]:
    """(W, S) change of the objective over the horizon, as the zones' demand is forecast to shift; 0 where it is not.

    growth: (Z,) mean demand of the horizon over that of now; NaN where nothing is forecast. A workload one of whose
    zones has no forecast is taken to stay as it is: a part of the zones would draw it to the others.
    """
    now, then = mean_latency(rates, rtt_ms), mean_latency(rates * np.nan_to_num(growth, nan=1.0), rtt_ms)
    usual = _usual(now)
    known = ~((rates > 0) & np.isnan(growth)).any(axis=1, keepdims=True)
    change = np.float32(LATENCY_WEIGHT) * (then - now) / usual
    return np.where(known & np.isfinite(change), change, 0.0).astype(np.float32)


def costs_of(latency: Floats, money: Floats, errors: Floats, allowed: NDArray[np.bool_]) -> Costs:
    """In slots of each workload's usual cost; a place that is not allowed is not known.

    All (W, S). Where the money of one allowed place is not known, all places of that workload are taken to cost alike.
    """
    priced = np.where((np.isnan(money) & allowed).any(axis=1, keepdims=True), 1.0, money)
    one, other = (np.where(allowed, each / _usual(each), np.nan).astype(np.float32) for each in (latency, priced))
    wrong = errors.astype(np.float32)
    return Costs(total_of(one, other, wrong), one, other, wrong)


def _usual(values: Floats) -> Floats:
    """(W, 1) each workload's median over the places; 1 where nothing is known."""
    some = np.isfinite(values).any(axis=1, keepdims=True)
    return np.maximum(np.nanmedian(np.where(some, values, 1.0), axis=1, keepdims=True), 1e-9)
