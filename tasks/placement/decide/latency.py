"""Response times under load: propagation + processing + cold start + waiting, or a reason why none is predicted.

Waiting is that of G/G/k by Allen and Cunneen on Erlang-C (`queueing`). All functions broadcast; nothing raises for one
bad element of a vector: it is NaN, and `Latency.refused` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc

from tasks.placement.decide.queueing import PREDICTABLE_RHO, erlang_c, mean_wait

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HALVINGS = 50
"""Of the bracket of a quantile: its width falls below rounding errors."""


class Refusal(IntEnum):
    """Why no response time is predicted."""

    NONE = 0
    NOT_KNOWN = 1  # an input is NaN, infinite or negative
    NO_SERVER = 2  # nothing serves
    SATURATED = 3  # utilisation above `queueing.PREDICTABLE_RHO`: there the wait hangs on the load's third digit


@dataclass(frozen=True)
class Service:
    """What N queues face and what serves them; scalars stand for all.

    Attributes
    ----------
    arrivals_rps: requests/s. processing_ms: mean service time of one request on one server, > 0.
    servers: whole number of equal servers in parallel (replicas x concurrency).
    arrival_scv, processing_scv: squared coefficients of variation of the times between arrivals (1 Poisson) and of
        service; from a histogram by `scv`.
    propagation_ms: round trip between user and site. cold_start_ms: added to a request that meets a cold replica.
    cold_ratio: share of requests that do, 0-1.
    """

    arrivals_rps: ArrayLike
    processing_ms: ArrayLike
    servers: ArrayLike
    arrival_scv: ArrayLike = 1.0
    processing_scv: ArrayLike = 1.0
    propagation_ms: ArrayLike = 0.0
    cold_start_ms: ArrayLike = 0.0
    cold_ratio: ArrayLike = 0.0


@dataclass(frozen=True)
class Latency:
    """Predictions, NaN where `refused` is not 0.

    Attributes
    ----------
    mean_ms, p95_ms: of the response. propagation_ms, processing_ms, cold_ms, waiting_ms: the parts of the mean.
    utilisation_ratio: of the servers; known even where the rest is refused as saturated.
    refused: `Refusal` numbers.
    """

    mean_ms: Floats
    p95_ms: Floats
    propagation_ms: Floats
    processing_ms: Floats
    cold_ms: Floats
    waiting_ms: Floats
    utilisation_ratio: Floats
    refused: Ints


def response_under_load(service: Service) -> Latency:
    """Mean and 95th percentile of the response time of each queue.

    Mean = propagation + processing + cold_ratio x cold start + Wq, with Wq = C / (k mu - lambda) x (Ca2 + Cs2) / 2.
    Cold starts delay the request that meets them; that they hold a server as well is left out.

    The percentile takes waiting plus processing as gamma distributed with their mean and variance: a share C waits,
    exponentially with mean Wq / C, so Var Wq = (2 / C - 1) Wq^2; a share `cold_ratio` is cold start later. Exact for
    M/M/1 without cold starts. A fit of two moments: not in every digit monotone in the load, and for service times of
    great spread too short or too long (SCV 4, H2: median error 4-10 %, 90th percentile 24-30 %; SCV 16: 15 %, 195 %).

    >>> found = response_under_load(Service([50, 96, 50], 10.0, [1, 1, 0], propagation_ms=30.0))
    >>> found.mean_ms.tolist(), found.refused.tolist()
    ([50.0, nan, nan], [0, 3, 2])
    """
    rate, processing, servers, ca2, cs2, propagation, cold_start, cold = (
        np.array(value, dtype=np.float64)
        for value in np.broadcast_arrays(
            service.arrivals_rps, service.processing_ms, service.servers, service.arrival_scv, service.processing_scv,
            service.propagation_ms, service.cold_start_ms, service.cold_ratio,
        )
    )  # fmt: skip
    inputs = np.stack([rate, processing, servers, ca2, cs2, propagation, cold_start, cold])
    strange = ~(np.isfinite(inputs) & (inputs >= 0)).all(axis=0) | (processing == 0) | (cold > 1)
    lambda_ms = np.where(strange, 0, rate) / 1000
    mu, k = 1 / np.where(strange, 1, processing), np.where(strange, 0, servers).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        utilisation = np.where(strange, np.nan, np.where(k > 0, lambda_ms / (k * mu), np.nan))
    refused = np.where(utilisation > PREDICTABLE_RHO, Refusal.SATURATED, Refusal.NONE)
    refused = np.where(k == 0, Refusal.NO_SERVER, refused)
    refused = np.where(strange, Refusal.NOT_KNOWN, refused)
    given = refused == Refusal.NONE
    waiting = np.where(given, mean_wait(lambda_ms, mu, k, np.where(strange, 2, ca2 + cs2)), np.nan)
    cold_ms = cold * cold_start
    tail = _tail(waiting, erlang_c(k, lambda_ms / mu), processing, cs2, cold, cold_start)
    return Latency(
        np.where(given, propagation + processing + cold_ms + waiting, np.nan),
        np.where(given, propagation + tail, np.nan),
        np.where(given, propagation, np.nan), np.where(given, processing, np.nan), np.where(given, cold_ms, np.nan),
        waiting, utilisation, refused.astype(np.int64),
    )  # fmt: skip


def _tail(
    waiting: Floats,
    waits: Floats,
    processing: Floats,
    scv_: Floats,
    cold: Floats,
    cold_start: Floats,
    late: float = 0.05,
) -> Floats:
    """The time that waiting + processing + cold start exceed with probability `late`, by bisection; NaN gives NaN."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        spread = np.where(waiting > 0, (2 / waits - 1) * waiting**2, 0)
        mean, variance = waiting + processing, spread + scv_ * processing**2
        shape = np.where(variance > 0, mean**2 / variance, np.inf)
    shape = np.minimum(shape, 1e6)  # all but certain: gamma stays a distribution
    scale = mean / shape
    low, high = np.zeros_like(mean), mean + 60 * np.sqrt(variance) + cold_start
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        beyond = (1 - cold) * gammaincc(shape, middle / scale)
        beyond = beyond + cold * gammaincc(shape, np.maximum(middle - cold_start, 0) / scale)
        low, high = np.where(beyond > late, middle, low), np.where(beyond > late, high, middle)
    return np.asarray(np.where(np.isnan(mean), np.nan, (low + high) / 2))


def scv(upper: Floats, counts: Floats) -> Floats:
    """(...) squared coefficient of variation from histograms: bucket edges `upper` (B,) ms, `counts` (..., B) in each.

    Each bucket stands at its middle, the last (+Inf) at its lower edge; NaN where nothing was counted. Waiting grows
    with it in proportion, so buckets should be narrow where the requests are.

    >>> scv(np.array([10.0, 20.0, np.inf]), np.array([0.0, 8.0, 0.0])).tolist()
    0.0
    """
    lower = np.concatenate([[0.0], upper[:-1]])
    middle = np.where(np.isfinite(upper), (lower + upper) / 2, lower)
    total = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = counts @ middle / total
        return np.asarray(counts @ middle**2 / total / mean**2 - 1)
