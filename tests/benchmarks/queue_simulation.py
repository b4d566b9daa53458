"""Exact G/G/k queues, many at once: the recursion of Kiefer and Wolfowitz (1955) on sorted vectors of work."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def two_phase(draw: np.random.Generator, scv: float, size: tuple[int, ...]) -> Floats:
    """Times of mean 1: exponential for SCV 1, else hyperexponential with balanced means (H2)."""
    p = (1 + math.sqrt((scv - 1) / (scv + 1))) / 2
    return draw.exponential(1.0, size) / np.where(draw.random(size) < p, 2 * p, 2 * (1 - p))


def simulate(
    k: int, rho: float, arrival_scv: float, service_scv: float, *, customers: int, copies: int, seed: int
) -> tuple[Floats, Floats]:
    """Waits and responses (customers kept, copies) of `copies` queues of k servers, service time 1, from empty.

    The first quarter of the customers is left out.
    """
    draw = np.random.default_rng(seed)
    work = np.zeros((copies, k))
    waits, responses = np.empty((customers, copies)), np.empty((customers, copies))
    gaps = two_phase(draw, arrival_scv, (customers, copies)) / (rho * k)
    services = two_phase(draw, service_scv, (customers, copies))
    for at in range(customers):
        waits[at] = work[:, 0]
        responses[at] = waits[at] + services[at]
        work[:, 0] += services[at]
        work -= gaps[at][:, None]
        np.maximum(work, 0, out=work)
        work.sort(axis=1)
    return waits[customers // 4 :], responses[customers // 4 :]
