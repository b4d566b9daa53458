"""Read what routing goes by: weights as they are, which sites answer, how much is asked for, and where sites stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import health
from blocks.errors import ContinuumError
from blocks.fleet import Fleet
from blocks.inventory import resolve_secrets
from blocks.prometheus import PrometheusSource
from blocks.store.tables import now
from blocks.traffic import RouteState, open_route
from tasks.clusters import side_by_side
from tasks.placement.decide.traffic import Traffic
from tasks.placement.decide.traffic_health import Health
from tasks.placement.offline import traffic_of
from tasks.placement.problem_checks import parse_problem
from tasks.placement.site_terms import site_terms
from tasks.run import Run
from tasks.traffic.decide import SeenRoute
from tasks.traffic.functions import RoutedFunction, check_names
from tasks.traffic.watch import STALE_S, Check, Rhythm, watch

SERVING = {"name", "sites", "capacity", "processing_ms", "servers"}
SLOW_TTL_S = 30  # an answer of DNS that is kept for longer outlives a failover


@dataclass(frozen=True)
class View:
    """A routing problem and its routes; `turned`: `function/site` that went down, or came up again, just now."""

    as_of: datetime
    traffic: Traffic
    routes: tuple[SeenRoute, ...]
    turned: tuple[str, ...]
    trouble: tuple[str, ...]


@task(name="observe traffic", cache_policy=NO_CACHE, persist_result=False)
def observe_traffic(
    run: Run, functions: Sequence[RoutedFunction], watch_s: float = 0.0, check: Check = health.answers,
    rhythm: Rhythm = Rhythm(),
) -> View:  # fmt: skip
    """Health first, for it takes time; then everything else, as it is after that.

    A route that cannot be read, a demand that is not measured and a check that could not be made are told, and move
    nothing.

    Raises
    ------
    InvalidInput: a function names what the inventory does not have.
    """
    check_names(run.fleet, functions)
    before = _known_health(run, functions)
    targets = [(each, site) for each in functions for site in sorted(each.health)]
    known = Health(np.array([before.get((f.name, site), (True, 0))[0] for f, site in targets], np.bool_),
                   np.array([before.get((f.name, site), (True, 0))[1] for f, site in targets], np.int64))  # fmt: skip
    state, ill = watch([f.health[site] for f, site in targets], known, watch_s, check, rhythm)
    names = [(f.name, site) for f, site in targets]
    healths = {key: (bool(state.up[row]), int(state.streak[row])) for row, key in enumerate(names)}
    as_of = now()
    asked, trouble = _demands(run.fleet, functions)
    routes, unread = _routes(run.fleet, functions, healths)
    traffic = _traffic(run.fleet, functions, asked, as_of)
    alive = np.ones(traffic.capacity.shape, np.bool_)
    for (function, site), (up, _) in healths.items():
        alive[traffic.functions.index(function), traffic.sites.index(site)] = up
    down = [f"{function} at {site} is down" for (function, site), (up, _) in healths.items() if not up]
    shaky = [f"{function} at {site} does not answer well; it keeps its requests until a second check fails"
             for row, (function, site) in enumerate(names) if ill[row] and state.up[row]]  # fmt: skip
    turned = tuple("/".join(names[row]) for row in np.flatnonzero(state.up != known.up))
    return View(as_of, replace(traffic, alive=alive), routes, turned, (*trouble, *unread, *down, *shaky))


def _known_health(run: Run, functions: Sequence[RoutedFunction]) -> dict[tuple[str, str], tuple[bool, int]]:
    """By function and site, what the last pass left; its failures count no more where it is long ago."""
    found: dict[tuple[str, str], tuple[bool, int]] = {}
    for each in functions:
        for route in each.routes:
            for row in run.store.decisions(flow=run.flow, fleet=run.fleet_name, subject=route.subject, limit=1):
                fresh = now() - row.as_of < timedelta(seconds=STALE_S)
                found |= {(each.name, site): (bool(up), int(streak) if fresh else 0)
                          for site, (up, streak) in row.content.get("health", {}).items()}  # fmt: skip
    return found


def _routes(
    fleet: Fleet, functions: Sequence[RoutedFunction], healths: Mapping[tuple[str, str], tuple[bool, int]]
) -> tuple[tuple[SeenRoute, ...], tuple[str, ...]]:
    """Every route with its weights, none where it could not be read; and a line for each trouble."""

    def read(subject: str) -> tuple[RouteState, str]:
        try:
            state = open_route(fleet, subject).read()
        except ContinuumError as error:
            return RouteState({}, ""), f"{error}; its weights stay as they are"
        slow = state.ttl_s if state.ttl_s is not None and state.ttl_s > SLOW_TTL_S else None
        return state, f"{subject}: clients keep an answer for {slow} s after a failover" if slow else ""

    asked = [(each, route) for each in functions for route in each.routes]
    answers = side_by_side(lambda pair: read(pair[1].subject), asked)
    routes = tuple(
        SeenRoute(route.subject, each.name, tuple(route.zones), dict(route.backends), state.weights,
                  {site: healths[each.name, site] for site in route.backends if (each.name, site) in healths},
                  route.keep_users_s, state.session, state.kept_s)
        for (each, route), (state, _) in zip(asked, answers, strict=True)
    )  # fmt: skip
    return routes, tuple(line for _, line in answers if line)


def _demands(fleet: Fleet, functions: Sequence[RoutedFunction]) -> tuple[dict[tuple[str, str], float], tuple[str, ...]]:
    """Requests/s by function and zone: as measured, else as given, else NaN; a line for each query in trouble."""
    found = {(each.name, zone): rps for each in functions for zone, rps in each.demand.items()}
    trouble = []
    for each in functions:
        wanted = {zone for route in each.routes for zone in route.zones} | set(each.demand)
        measured: dict[str, float] = {}
        if each.demand_query is not None:
            try:
                samples = PrometheusSource.from_metrics(resolve_secrets(fleet).metrics).instant(each.demand_query)
                measured = {sample.labels.get("zone", ""): sample.value for sample in samples
                            if np.isfinite(sample.value) and sample.value >= 0}  # fmt: skip
            except ContinuumError as error:
                trouble.append(f"{each.name}: demand is not measured: {error}")
        for zone in wanted | {site.name for site in fleet.sites} & set(measured):
            found[each.name, zone] = measured.get(zone, found.get((each.name, zone), np.nan))
        if missing := sorted(zone for zone in wanted if each.demand_query is not None and zone not in measured):
            trouble.append(f"{each.name}: no demand is measured in {', '.join(missing)}; what was given is taken")
    return found, tuple(trouble)


def _traffic(
    fleet: Fleet, functions: Sequence[RoutedFunction], asked: Mapping[tuple[str, str], float], as_of: datetime
) -> Traffic:
    used, pools = {site for each in functions for site in each.sites}, defaultdict(list)
    for cluster, pool in fleet.pools():
        pools[cluster.site].append(pool)
    problem = parse_problem({
        "sites": [
            site_terms(site, pools[site.name], as_of) | {"name": site.name, "capacity": {}}
            for site in fleet.sites if site.name in used
        ],
        "zones": [{"name": site.name, "lat": site.latitude, "lon": site.longitude} for site in fleet.sites],
        "functions": [each.model_dump(include=SERVING) for each in functions],
    }, "traffic")  # fmt: skip
    traffic = traffic_of(problem)
    demand = traffic.demand.copy()
    for (function, zone), rps in asked.items():
        demand[traffic.zones.index(zone), traffic.functions.index(function)] = rps
    return replace(traffic, demand=demand)
