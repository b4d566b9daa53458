"""A made-up fleet for replays: users who wake by longitude, sites of unlike price, outages, drift, noisy measurements.

400 workloads, 40 sites and a cloud, a slot of 15 minutes, five days. A workload's users live in some of eight zones and
are asleep at night, so that the best site travels round the world in a day; prices differ by site, by its own hour, and
by how well a workload fits a site's machines; sites go down for hours; each workload's mix of users drifts. What is
measured is 15 % (log-normal) off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SLOT_S = 900
ZONES = np.array([-120.0, -90.0, -60.0, 0.0, 30.0, 75.0, 110.0, 145.0])  # degrees east
NOISE = 0.15


@dataclass(frozen=True)
class Trace:
    """(T, W, S) of a slot each; NaN where nothing was measured. `measured_*` is what a policy may look at.

    Attributes
    ----------
    latency_ms, cost_usd, errors: as they were. moved_gb: (W,) that a move has to carry.
    """

    latency_ms: Floats
    cost_usd: Floats
    errors: Floats
    measured_latency_ms: Floats
    measured_cost_usd: Floats
    moved_gb: Floats
    slot_s: float = SLOT_S


def made_up(seed: int, workloads: int = 400, sites: int = 40, days: int = 5) -> Trace:
    """The trace of a seed; the cloud is the last site."""
    rng = np.random.default_rng(seed)
    slots = days * 86_400 // SLOT_S
    hours = np.arange(slots) * SLOT_S / 3600
    longitude = np.append(rng.choice(ZONES, sites) + rng.normal(0, 8, sites), -75.0)
    awake = np.clip(0.5 + 0.6 * np.sin(2 * np.pi * (hours[:, None] + ZONES / 15 - 8) / 24), 0.05, None)  # (T, Z)
    degrees = np.abs((ZONES[:, None] - longitude + 180) % 360 - 180)  # (Z, S)
    rtt = 6 + 0.9 * degrees + np.where(np.arange(sites + 1) == sites, 25.0, 0.0)
    share = rng.dirichlet(np.full(len(ZONES), 1.0), workloads)  # (W, Z)
    drift = np.exp(np.cumsum(rng.normal(0, 0.06, (slots, workloads, len(ZONES))), axis=0))
    weight = awake[:, None, :] * share * drift
    latency = np.einsum("twz,zs->tws", weight / weight.sum(axis=2, keepdims=True), rtt)
    local_hour = (hours[:, None] + longitude / 15) % 24
    price = np.append(rng.lognormal(0, 0.12, sites), 0.95) * (1 + 0.15 * np.sin(2 * np.pi * (local_hour - 9) / 24))
    size = rng.lognormal(0, 0.5, workloads)
    fit = rng.lognormal(0, 0.2, (workloads, sites + 1))
    cost = price[:, None, :] * size[:, None] * fit
    errors = np.zeros((slots, sites + 1))
    for site in range(sites):
        for begin in np.flatnonzero(rng.random(slots) < 1 / (96 * 4)):  # one in four days
            errors[begin : begin + int(rng.integers(4, 16)), site] = rng.uniform(0.2, 1.0)

    def seen(truth: NDArray[np.float64]) -> Floats:
        return (truth * rng.lognormal(0, NOISE, truth.shape)).astype(np.float32)

    return Trace(
        latency.astype(np.float32), cost.astype(np.float32),
        np.broadcast_to(errors[:, None, :], latency.shape).astype(np.float32), seen(latency), seen(cost),
        rng.lognormal(1.0, 0.7, workloads).astype(np.float32),
    )  # fmt: skip
