"""How the requests of each user zone are spread over the replicas of each function: weights for DNS and gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blocks.errors import InvalidInput
from tasks.placement.decide.latency import Latency, Refusal, Service, response_under_load
from tasks.placement.decide.traffic_flow import Optimum, Prices, cheapest_flow
from tasks.placement.decide.traffic_weights import failover, limited, whole_weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FILL_RATIO = 0.9
"""Share of a replica's capacity that is planned for; the rest is for rounding and for what forecasts miss."""

STRATEGIES: dict[str, dict[str, float]] = {
    "performance": {"latency_ms": 1.0},  # the fewest milliseconds
    "geographic": {"distance_km": 0.99, "latency_ms": 0.01},  # the nearest on the map
    "cost": {"usd_per_million": 0.9, "latency_ms": 0.1},  # the cheapest, unless it is far away
    "carbon": {"g_per_million": 0.9, "latency_ms": 0.1},  # the cleanest, unless it is far away
}
"""Weights of the terms of the objective; each term is divided by its largest value first."""


@dataclass(frozen=True)
class Traffic:
    """Demand of F functions from U user zones, and the replicas at S sites.

    Attributes
    ----------
    zones, functions, sites: names.
    demand: (U, F) requests/s >= 0. capacity: (F, S) requests/s, 0 where a function has no replica.
    latency_ms: (U, S), NaN where a zone does not reach a site.
    alive: (F, S) which replicas are healthy; None all.
    site_capacity: (S,) requests/s of all functions together, inf where only replicas are limited; None nowhere.
    processing_ms: (F,) mean service time of a request, and servers: (F, S) requests served at a time; NaN not known.
    distance_km: (U, S). usd_per_million, g_per_million: (S,) of a million requests. None where no strategy needs them.
    """

    zones: tuple[str, ...]
    functions: tuple[str, ...]
    sites: tuple[str, ...]
    demand: Floats
    capacity: Floats
    latency_ms: Floats
    alive: Bools | None = None
    site_capacity: Floats | None = None
    processing_ms: Floats | None = None
    servers: Floats | None = None
    distance_km: Floats | None = None
    usd_per_million: Floats | None = None
    g_per_million: Floats | None = None


@dataclass(frozen=True)
class Routing:
    """Weights, and what they come to.

    Attributes
    ----------
    weights: (U, F, S) whole numbers; they sum to the total, or to 0 where no replica can be reached.
    shares: (U, F, S) the optimum they are on the way to, sums to 1 or 0.
    mean_latency_ms: of a request, by the weights; NaN where nothing is routed.
    planned_latency_ms: of a request, by the optimum. unserved: (U, F) requests/s beyond what replicas may take.
    overload: (F, S) requests/s that the weights send beyond the capacity (while weights are still on their way).
    proven: whether the optimum is proven. prices: for the next pass.
    """

    weights: Ints
    shares: Floats
    mean_latency_ms: float
    planned_latency_ms: float
    unserved: Floats
    overload: Floats
    proven: bool
    prices: Prices


def decide_traffic(
    traffic: Traffic,
    strategy: str = "performance",
    *,
    before: Ints | None = None,
    most_change: int = 20,
    total: int = 100,
    known: Prices | None = None,
    optimum: Optimum | None = None,
) -> Routing:
    """The weights of the next pass.

    Parameters
    ----------
    strategy:
        a key of `STRATEGIES`.
    before:
        (U, F, S) weights in force, of the same total; None: none, the optimum is set at once.
    most_change:
        points by which a weight may change in this pass. Dead replicas lose theirs at once, whatever it is.
    total:
        what the weights of a row sum to.
    known:
        prices of the last pass (warm start).
    optimum:
        the LP solver; None: scipy's.

    Raises
    ------
    InvalidInput: unknown strategy, the strategy's terms are not given, a demand or capacity is negative or not known.
    """
    _known(traffic.demand, "demand", traffic.zones, traffic.functions)
    _known(traffic.capacity, "capacity", traffic.functions, traffic.sites)
    alive = np.ones(traffic.capacity.shape, dtype=np.bool_) if traffic.alive is None else traffic.alive
    cost = _unit_cost(traffic, strategy)
    limit = np.where(alive, FILL_RATIO * traffic.capacity, 0.0)
    room = np.full(len(traffic.sites), np.inf) if traffic.site_capacity is None else FILL_RATIO * traffic.site_capacity
    flow = cheapest_flow(traffic.demand, cost, limit, room, known, optimum)
    usable = np.isfinite(cost)[:, None, :] & (limit > 0)
    shares = _shares(flow.sent, cost, usable)
    rows = shares.reshape(-1, shares.shape[2])
    if before is None:
        weights = whole_weights(rows, total)
    else:
        base = failover(before.reshape(rows.shape), usable.reshape(rows.shape), rows, total)
        weights = limited(base, rows, most_change, total)
    weights = weights.reshape(shares.shape)
    sent = traffic.demand[:, :, None] * weights / total
    return Routing(
        weights, shares, _mean(sent, traffic.latency_ms),
        _mean(traffic.demand[:, :, None] * shares, traffic.latency_ms), flow.unserved,
        np.maximum(sent.sum(axis=0) - traffic.capacity, 0), flow.proven, flow.prices,
    )  # fmt: skip


def _known(values: Floats, what: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """Missing is not zero: a demand that is not known cannot be routed away."""
    bad = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        row, column = bad[0]
        raise InvalidInput(f"{what} {values[row, column]:g} is no number from 0 on",
                           where=f"{rows[row]} {columns[column]}", fix="give requests per second")  # fmt: skip


def _unit_cost(traffic: Traffic, strategy: str) -> Floats:
    """(U, S) cost of a request, inf where a zone does not reach a site.

    Raises
    ------
    InvalidInput: unknown strategy, or the strategy's terms are not given.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"there is no strategy {strategy}", where="strategy", fix=f"use one of {list(STRATEGIES)}")
    cost = np.zeros(traffic.latency_ms.shape)
    for name, weight in STRATEGIES[strategy].items():
        term = getattr(traffic, name)
        if term is None:
            raise InvalidInput(f"strategy {strategy} needs {name}", where="traffic", fix=f"give {name}, or use "
                               "strategy performance")  # fmt: skip
        reached = np.where(np.isfinite(traffic.latency_ms), term, np.nan)
        cost += weight * reached / (float(np.nanmax(reached, initial=0)) or 1.0)
    return np.where(np.isfinite(cost), cost, np.inf)


def _shares(sent: Floats, cost: Floats, usable: Bools) -> Floats:
    """(U, F, S) shares of each row; a row that sends nothing is set to its cheapest usable site."""
    sums = sent.sum(axis=2, keepdims=True)
    shares = np.divide(sent, sums, out=np.zeros_like(sent), where=sums > 0)
    idle = np.argwhere((sums[:, :, 0] == 0) & usable.any(axis=2))
    if len(idle):
        zone, function = idle.T
        site = np.where(usable[zone, function], cost[zone], np.inf).argmin(axis=1)
        shares[zone, function, site] = 1.0
    return np.asarray(shares)


def _mean(sent: Floats, latency_ms: Floats) -> float:
    total = float(sent.sum())
    return float((sent.sum(axis=1) * np.nan_to_num(latency_ms)).sum() / total) if total else float("nan")


def to_record(traffic: Traffic, routing: Routing) -> dict[str, Any]:
    """The outcome as JSON: `weights` {function: {zone: {site: number}}} without zeros, mean latency, unserved rps."""
    weights: dict[str, dict[str, dict[str, int]]] = {function: {} for function in traffic.functions}
    for zone, function, site in np.argwhere(routing.weights):
        row = weights[traffic.functions[function]].setdefault(traffic.zones[zone], {})
        row[traffic.sites[site]] = int(routing.weights[zone, function, site])
    mean = routing.mean_latency_ms
    return {
        "weights": weights,
        "mean_latency_ms": None if np.isnan(mean) else mean,
        "unserved": float(routing.unserved.sum()),
        "under_load": _under_load(traffic, routing),
    }


def responses(traffic: Traffic, rps: Floats) -> Latency:
    """(F, S) response times, propagation left out, where each replica gets so many requests/s."""
    processing_ms = np.full(len(rps), np.nan) if traffic.processing_ms is None else traffic.processing_ms
    servers = np.nan if traffic.servers is None else traffic.servers
    return response_under_load(Service(rps, processing_ms[:, None], servers))


def _under_load(traffic: Traffic, routing: Routing) -> list[dict[str, Any]]:
    """A row for each replica that gets requests and whose processing time and servers are known."""
    rps = (
        traffic.demand[:, :, None] * routing.weights / np.maximum(routing.weights.sum(axis=2, keepdims=True), 1)
    ).sum(axis=0)
    found = responses(traffic, rps)
    return [
        {"function": traffic.functions[f], "site": traffic.sites[s], "rps": float(rps[f, s]),
         "utilisation_ratio": float(found.utilisation_ratio[f, s]),
         "mean_ms": None if found.refused[f, s] else float(found.mean_ms[f, s]),
         "p95_ms": None if found.refused[f, s] else float(found.p95_ms[f, s])}
        for f, s in np.argwhere((rps > 0) & (found.refused != Refusal.NOT_KNOWN)).tolist()
    ]  # fmt: skip
