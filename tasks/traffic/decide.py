"""The weights that each route gets next: off the dead at once, towards the optimum by some points a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.placement.decide.latency import Refusal
from tasks.placement.decide.traffic import Routing, Traffic, decide_traffic, responses
from tasks.placement.decide.traffic_flow import Optimum
from tasks.placement.decide.traffic_weights import failover, limited, whole_weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CHANGES = ("shift", "failover")
TOTAL = 100
LEAST_CHANGE = 2
"""Points below which a route is left as it is: demand trembles, and each write makes gateways load it anew."""


@dataclass(frozen=True)
class SeenRoute:
    """A route as it was read.

    Attributes
    ----------
    subject, function: names. zones: whose requests go through it, none for all.
    backends: by site, the backend in it. weights: by backend, as they are; empty where it could not be read.
    health: by site, whether it is up, and checks in a row that speak against that.
    keep_s: seconds for which users are to keep to their site, 0 where the route is left as it is in that.
    session: what keeps them now, and `kept_s` for how long, where the route says so.
    """

    subject: str
    function: str
    zones: tuple[str, ...]
    backends: Mapping[str, str]
    weights: Mapping[str, int]
    health: Mapping[str, tuple[bool, int]]
    keep_s: int = 0
    session: Mapping[str, Any] | None = None
    kept_s: int | None = None


def decide_routes(
    traffic: Traffic,
    seen: Sequence[SeenRoute],
    strategy: str = "performance",
    most_change: int = 20,
    optimum: Optimum | None = None,
) -> list[dict[str, Any]]:
    """A record a route: `shift` and `failover` change its weights, `hold` and `refuse` leave them.

    Parameters
    ----------
    traffic: demand NaN where it is not known: then only the dead lose weight. Dead sites are not `alive`.
    most_change: points out of 100 by which a weight may move; what the dead lose at once does not count.
    optimum: the solver, as of `decide_traffic`.

    Raises
    ------
    InvalidInput: as `decide_traffic`.
    """
    known = np.isfinite(traffic.demand)
    routing = decide_traffic(replace(traffic, demand=np.where(known, traffic.demand, 0.0)), strategy, optimum=optimum)
    has, alive, before, target = _rows(traffic, routing, seen)
    base = failover(whole_weights(before, TOTAL), alive, np.where(target.sum(axis=1, keepdims=True) > 0, target, alive))
    asked = [_zones(traffic, each) for each in seen]
    blind = np.array([not known[zones, traffic.functions.index(each.function)].all()
                      for zones, each in zip(asked, seen, strict=True)], dtype=np.bool_)  # fmt: skip
    stay = blind | (target.sum(axis=1) == 0)
    weights = limited(base, np.where(stay[:, None], base, target), most_change, TOTAL)
    records = [
        _record(traffic, routing, each, has[row] & ~alive[row], before[row], weights[row], target[row], blind[row])
        for row, each in enumerate(seen)
    ]
    _tell_load(traffic, seen, records, np.where([[each["action"] in CHANGES] for each in records], weights, before))
    return records


def _tell_load(traffic: Traffic, seen: Sequence[SeenRoute], records: list[dict[str, Any]], shares: Floats) -> None:
    """Add to each record the response times that its function has at the sites it gets, by these (R, S) weights."""
    rps = np.zeros(traffic.capacity.shape)
    for row, route in enumerate(seen):
        asked = np.nan_to_num(traffic.demand[_zones(traffic, route), traffic.functions.index(route.function)]).sum()
        rps[traffic.functions.index(route.function)] += asked * shares[row] / max(shares[row].sum(), 1e-12)
    found = responses(traffic, rps)
    for row, (route, record) in enumerate(zip(seen, records, strict=True)):
        function, busy = traffic.functions.index(route.function), shares[row] > 0
        told: list[dict[str, Any]] = []
        for site in np.flatnonzero(busy).tolist():
            if found.refused[function, site] == Refusal.SATURATED:
                record["reasons"].append({"code": "saturated", "site": traffic.sites[site],
                                          "ratio": float(found.utilisation_ratio[function, site])})  # fmt: skip
            elif not found.refused[function, site]:
                told.append({"site": traffic.sites[site], "p95_ms": float(found.p95_ms[function, site])})
        record["responses"] = told


def no_longer_fits(seen: Sequence[SeenRoute], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By subject, why weights that were decided before must not be written any more.

    changes: records of `decide_routes` by subject. seen: the routes as they are now.
    """
    now, why = {each.subject: each for each in seen}, dict[str, str]()
    for subject, record in changes.items():
        route = now.get(subject)
        if route is None or not route.weights:
            why[subject] = "it cannot be read"
        elif (dict(route.weights), route.session) != (record["seen"], record.get("seen_session")):
            why[subject] = "its weights, or what keeps its users, were changed since"
        else:
            dead = [site for site, backend in route.backends.items()
                    if not route.health.get(site, (True, 0))[0] and record["weights"].get(backend)]  # fmt: skip
            if dead:
                why[subject] = f"{', '.join(sorted(dead))} would get requests and is down"
    return why


def _zones(traffic: Traffic, route: SeenRoute) -> Ints:
    """Rows of its zones; without any named, all that ask for the function, or whose demand is not known."""
    if route.zones:
        return np.array([traffic.zones.index(zone) for zone in route.zones])
    demand = traffic.demand[:, traffic.functions.index(route.function)]
    some = np.flatnonzero(np.isnan(demand) | (demand > 0))
    return some if len(some) else np.arange(len(traffic.zones))


def _rows(traffic: Traffic, routing: Routing, seen: Sequence[SeenRoute]) -> tuple[Bools, Bools, Floats, Floats]:
    """(R, S) of each route: sites that it reaches, those alive, weights as they are, shares of the optimum."""
    shape = (len(seen), len(traffic.sites))
    has, alive = np.zeros(shape, np.bool_), np.ones(shape, np.bool_)
    before, target = np.zeros(shape), np.zeros(shape)
    for row, route in enumerate(seen):
        function, zones = traffic.functions.index(route.function), _zones(traffic, route)
        for site, backend in route.backends.items():
            column = traffic.sites.index(site)
            has[row, column], before[row, column] = True, route.weights.get(backend, 0)
        if traffic.alive is not None:
            alive[row] = traffic.alive[function]
        alive[row] &= has[row]
        demand = np.nan_to_num(traffic.demand[zones, function])
        demand = demand if demand.sum() else np.ones(len(zones))
        target[row] = np.where(alive[row], demand @ routing.shares[zones, function], 0.0)
    return has, alive, before, target


def _record(
    traffic: Traffic, routing: Routing, route: SeenRoute, dead: Bools, before: Floats, weights: Ints, target: Floats,
    blind: bool,
) -> dict[str, Any]:  # fmt: skip
    """What becomes of one route, and why."""
    sites = np.array(traffic.sites)
    foreign = sorted(name for name, weight in route.weights.items() if weight and name not in route.backends.values())
    lacking = sorted(set(route.backends.values()) - set(route.weights))
    wanted = dict(route.weights) | {
        backend: int(weights[traffic.sites.index(site)]) for site, backend in route.backends.items()
    }
    moved = int(np.abs(weights - whole_weights(before[None], TOTAL)[0]).max(initial=0))
    reasons: list[dict[str, Any]] = [{"code": "site-down", "site": str(site)} for site in sites[dead]]
    action = "hold"
    if not route.weights:
        reasons.append({"code": "unread"})
    elif foreign or lacking:
        action = "refuse"
        reasons.append({"code": "backends-differ", "foreign": foreign, "lacking": lacking})
    elif not weights.any():
        reasons.append({"code": "all-down"})
    elif (before[dead] > 0).any():
        action = "failover"
    elif moved >= LEAST_CHANGE or (route.keep_s and route.keep_s != route.kept_s):
        action = "shift"
    new_session_s = 0
    if route.keep_s and (action == "failover" or (action == "shift" and route.keep_s != route.kept_s)):
        new_session_s = route.keep_s
        reasons.append({"code": "users-kept", "seconds": new_session_s})
    elif action == "failover" and route.session:
        reasons.append({"code": "users-stay"})
    if blind:
        reasons.append({"code": "demand-unknown"})
    left = np.abs(whole_weights(target[None], TOTAL)[0] - weights).max(initial=0) if target.any() else 0
    if action in CHANGES and not blind and left >= LEAST_CHANGE:
        reasons.append({"code": "on-the-way", "points": int(left)})
    function, zones = traffic.functions.index(route.function), _zones(traffic, route)
    if (short := float(routing.unserved[zones, function].sum())) > 1e-6:
        reasons.append({"code": "beyond-capacity", "rps": short})
    shares = before if action not in CHANGES else weights
    return {
        "unique_id": route.subject, "action": action, "function": route.function, "zones": list(route.zones),
        "seen": dict(route.weights), "weights": wanted if action in CHANGES else dict(route.weights),
        "seen_session": None if route.session is None else dict(route.session), "new_session_s": new_session_s,
        "sites": dict(route.backends), "health": {site: list(state) for site, state in route.health.items()},
        "reasons": reasons, "promised": {"latency_ms": _latency(traffic, zones, function, shares)},
    }  # fmt: skip


def _latency(traffic: Traffic, zones: Ints, function: int, shares: Floats | Ints) -> float | None:
    """Mean round trip of a request by these weights; None where nothing is routed, or a latency is not known."""
    demand = np.nan_to_num(traffic.demand[zones, function])
    demand = demand if demand.sum() else np.ones(len(zones))
    sent = demand[:, None] * shares
    if not sent.any():
        return None
    mean = float(np.where(sent > 0, sent * traffic.latency_ms[zones], 0.0).sum() / sent.sum())
    return None if np.isnan(mean) else mean
