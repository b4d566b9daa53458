"""What a serving workload's pods make of the requests they are offered: pure, vectorised over workloads or times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deployments.local import noise
from deployments.local.traces import Floats
from tasks.placement.decide.queueing import mean_wait, wait_quantile

TIMEOUT_S = 10.0
"""After so long a request that was not served is an error to its client; no latency is above it."""
BORDER_RHO = 0.99
"""The wait is reckoned with this utilisation at most: beyond it a queue does not settle within minutes."""
CPU_S_PER_REQUEST = (0.005, 0.020)
"""CPU seconds of one request: drawn for each workload from this range."""
SERVICE_SCV = (1.0, 4.0)
"""Squared coefficient of variation of the service time: drawn likewise. Arrivals are Poisson (1)."""


@dataclass(frozen=True)
class Service:
    """What one request costs a workload."""

    cpu_s: float
    scv: float


def service_of(name: str, seed: int) -> Service:
    """The service of a workload of that name; the same wherever it runs."""
    low, high = CPU_S_PER_REQUEST
    cpu_s = low * (high / low) ** noise.fraction(seed, name, "cpu")
    return Service(cpu_s, SERVICE_SCV[0] + (SERVICE_SCV[1] - SERVICE_SCV[0]) * noise.fraction(seed, name, "scv"))


@dataclass(frozen=True)
class Served:
    """What clients meet; arrays of one shape.

    Attributes
    ----------
    utilisation: offered over possible rate, rho; above 1 in overload, infinite without pods, 0 without requests.
    errors: share of requests that time out, 1 - 1/rho in overload.
    mean_s, p95_s: response times over all requests, those that time out included; NaN where none are offered to nobody.
    """

    utilisation: Floats
    errors: Floats
    mean_s: Floats
    p95_s: Floats


def served(service: Service, rate: ArrayLike, replicas: ArrayLike, cores: ArrayLike) -> Served:
    """How `replicas` Ready pods that may use `cores` together serve `rate` requests/s.

    Each pod is one server of rate mu = cores / replicas / cpu_s. Up to rho = 1 all requests are served, with Allen and
    Cunneen's wait at min(rho, `BORDER_RHO`). In overload as many as can be are served, with the wait of the border; the
    rest wait for `TIMEOUT_S` in vain. Means and quantiles are over both, so they pass rho = 1 without a jump and come
    to the time-out as pods go to none. The 95th percentile is that of the wait plus that of an exponential service,
    taken at the quantile that leaves 5 % of all requests above it.
    """
    offered, k, room = (np.asarray(each, dtype=np.float64) for each in (rate, replicas, cores))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        able = (k > 0) & (room > 0)
        rho = np.where(offered > 0, np.where(able, offered * service.cpu_s / room, np.inf), 0.0)
        errors = np.where(rho > 1, 1 - 1 / rho, 0.0)
        mu = np.where(able, room / k / service.cpu_s, 1.0)
        servers = np.where(able, k, 1.0)
        arrivals = np.minimum(rho, BORDER_RHO) * servers * mu
        typical = np.minimum(mean_wait(arrivals, mu, servers, 1 + service.scv) + 1 / mu, TIMEOUT_S)
        late = np.clip((0.05 - errors) / (1 - errors), 0.0, 1.0)
        wait = wait_quantile(arrivals, mu, servers, 1 + service.scv, quantile=1 - late)
        slow = np.where(late > 0, np.minimum(wait - np.log(late) / mu, TIMEOUT_S), TIMEOUT_S)
    nobody = (offered == 0) & ~able
    mean = np.where(nobody, np.nan, (1 - errors) * typical + errors * TIMEOUT_S)
    missing = np.isnan(offered) | np.isnan(k) | np.isnan(room)
    masked = [np.where(missing, np.nan, values) for values in (rho, errors, mean, np.where(nobody, np.nan, slow))]
    return Served(*masked)


def cores_in_use(service: Service, rate: ArrayLike, cores: ArrayLike) -> Floats:
    """CPU that serving takes: what the offered requests cost, up to what the pods may use."""
    return np.minimum(np.asarray(rate, dtype=np.float64) * service.cpu_s, np.asarray(cores, dtype=np.float64))
