"""Read every node pool as it is now: its size from the cloud, its nodes from Kubernetes, its use from the metrics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError, StoreUnavailable
from blocks.fleet import Autoscaler, Fleet, pool_id
from blocks.series import Forecast, utc
from blocks.store.forecasts import load_forecast
from blocks.store.tables import Decision, Verdict, now
from tasks.forecasting.act import forecast_name
from tasks.forecasting.kinds import KINDS
from tasks.forecasting.observe import demand_queries, source_time_s
from tasks.pools.observe import PoolReading, read_pools
from tasks.run import Run
from tasks.scaling.around import look_around
from tasks.scaling.decide import STEERING, Actuators, Observed, Policy, Pools
from tasks.scaling.find import find_actuators

LEAST_WINDOW_S = 900  # how far back the newest sample of a series is looked for, at least
SAMPLE_STEP_S = 60
# Not the same as none at all: a forecast that is there and cannot be used lowers no capacity under any policy.
UNREADABLE = Forecast((), utc(0), 0, 300, (0.5, 0.9), *(np.zeros((0, 1, 2), np.float32),) * 2, ())
MEMORY = timedelta(days=1)  # older acts no longer matter to any cooldown

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """Everything that a scaling decision looks at, at one moment."""

    as_of: datetime
    pools: Pools
    observed: Observed
    forecast: Forecast | None
    trouble: tuple[str, ...]


@task(name="observe pools", cache_policy=NO_CACHE, persist_result=False)
def observe_pools(run: Run, policy: Policy) -> View:
    """The fleet's pools as arrays, in file order, for `decide_scaling`.

    Parameters
    ----------
    policy: how long the memory of what was wanted reaches, and at which utilisation past demand is counted in nodes.

    Raises
    ------
    ContinuumError: the metrics' clock cannot be read; without it nothing can be decided.
    """
    fleet, store = run.fleet, run.store
    as_of = utc(source_time_s(fleet))
    readings, trouble = read_pools(fleet)
    try:
        forecast = load_forecast(store, forecast_name(run.fleet_name), not_after=as_of)
    except StoreUnavailable as error:
        trouble.append(str(error))
        forecast = UNREADABLE
    use, ages, past, silent = _recent_use(fleet, as_of, policy)
    subjects = [reading.subject for reading in readings]
    wanted, last_up, last_change = _memory(run, as_of, policy)
    states = [reading.state for reading in readings]
    around = look_around(run, readings, as_of)
    observed = Observed(
        desired=np.array([state.desired if state else 0 for state in states], np.int64),
        ready=np.array([reading.ready for reading in readings], np.int64),
        busy=np.array([bool(state and state.busy_operation) for state in states], np.bool_),
        cpu_cores=_column(use["cpu_cores"], subjects, np.nan),
        memory_bytes=_column(use["memory_bytes"], subjects, np.nan),
        age_s=_column(ages, subjects, np.inf),
        last_up_s=_column(last_up, subjects, np.inf),
        last_change_s=_column(last_change, subjects, np.inf),
        recent_want=np.fmax(_column(wanted, subjects, np.nan), _column(past, subjects, np.nan)),
        reachable=np.array([state is not None for state in states], np.bool_),
        **around.observed,
    )
    actuators, wishes = find_actuators(fleet, run.journal.holds(run.fleet_name), readings)
    return View(
        as_of,
        replace(_pools(readings, actuators), **around.pools),
        observed,
        forecast,
        tuple(trouble + wishes + silent + around.told),
    )


def _pools(readings: list[PoolReading], actuators: Actuators) -> Pools:
    """What the inventory says, with the tighter of its bounds and the cloud's; a floor of ours is no bound."""
    steered = actuators.of(*STEERING).tolist()
    low = [max(r.pool.min_nodes, r.state.min_nodes if r.state and not ours else 0)
           for r, ours in zip(readings, steered, strict=True)]  # fmt: skip
    high = [min(reading.pool.max_nodes, reading.state.max_nodes if reading.state else 10**6) for reading in readings]
    price = [reading.pool.usd_per_hour for reading in readings]
    return Pools(
        unique_id=tuple(reading.subject for reading in readings),
        min_nodes=np.minimum(low, high).astype(np.int64),
        max_nodes=np.array(high, np.int64),
        node_cpu_cores=np.array([reading.pool.node_cpu for reading in readings], np.float64),
        node_memory_bytes=np.array([reading.pool.node_memory for reading in readings], np.float64),
        boot_s=np.array([reading.pool.boot_s for reading in readings], np.float64),
        price_usd_per_hour=np.array([np.nan if value is None else value for value in price], np.float64),
        paid_nodes=np.array([reading.pool.reserved_nodes for reading in readings], np.int64),
        hands_off=np.array([r.pool.hands_off or bool(r.state and r.state.hands_off) for r in readings], np.bool_),
        owner=tuple(_owner(reading) for reading in readings),
        fixed=np.zeros(len(readings), np.bool_),
        multiple_of=np.array([r.state.multiple_of if r.state else 1 for r in readings], np.int64),
        actuators=actuators,
    )


def _owner(reading: PoolReading) -> str:
    """Who else sizes the pool: found by looking, or as the inventory says."""
    if reading.state and (reading.state.owner or reading.state.autoscaled):
        return reading.state.owner or Autoscaler.CLUSTER_AUTOSCALER
    return "" if reading.pool.autoscaler is Autoscaler.NONE else str(reading.pool.autoscaler)


class _RecentUse(NamedTuple):
    """By kind, then by pool: use now, its own unit; by pool: age of the older of its newest samples, seconds, and the
    nodes that its demand has needed lately; one line for each source in trouble.
    """

    use: dict[str, dict[str, float]]
    ages: dict[str, float]
    needed: dict[str, float]
    trouble: list[str]


def _recent_use(fleet: Fleet, as_of: datetime, policy: Policy) -> _RecentUse:
    found = _RecentUse({kind: {} for kind in KINDS}, {}, {}, [])
    begin_s, end_s = (
        as_of.timestamp() - max(float(np.max(policy.down_stabilisation_s)), LEAST_WINDOW_S),
        as_of.timestamp() + 1,
    )
    one_node = {
        pool_id(c.name, p.name): {"cpu_cores": p.node_cpu, "memory_bytes": p.node_memory} for c, p in fleet.pools()
    }
    for asked in demand_queries(fleet):
        try:
            # A range with a short step, because an instant query hides how old its sample is.
            recent = asked.read(begin_s, end_s, SAMPLE_STEP_S)
        except ContinuumError as error:
            found.trouble.append(str(error))
            logger.warning("%s", error)
            continue
        for row, name in enumerate(recent.unique_id):
            known = np.flatnonzero(~np.isnan(recent.values[row]))
            if known.size and name in one_node:
                found.use[asked.kind][name] = float(recent.values[row, known[-1]])
                age_s = as_of.timestamp() - float(recent.times()[known[-1]])
                found.ages[name] = max(age_s, found.ages.get(name, 0.0))
                most = float(recent.values[row, known].max()) / one_node[name][asked.kind]
                found.needed[name] = max(ceil(most / policy.reactive_target_ratio), found.needed.get(name, 0))
    return found


def _memory(run: Run, as_of: datetime, policy: Policy) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """By pool: most nodes wanted lately, seconds since the last scale-up, seconds since the last change."""
    wanted: dict[str, float] = {}
    last_up: dict[str, float] = {}
    last_change: dict[str, float] = {}
    window_s = float(np.max(policy.down_stabilisation_s))
    recent = run.store.decisions(flow=run.flow, fleet=run.fleet_name, since=now() - timedelta(seconds=window_s),
                                 limit=None)  # fmt: skip
    acted = run.store.decisions(flow=run.flow, fleet=run.fleet_name, state=Verdict.ACTED, since=now() - MEMORY,
                                limit=None)  # fmt: skip
    for decision in recent:
        if 0 <= _age_s(decision, as_of) <= window_s:
            wanted[decision.subject] = max(wanted.get(decision.subject, 0.0), float(decision.content["want"]))
    for decision in acted:
        age_s = max(_age_s(decision, as_of), 0.0)
        last_change[decision.subject] = min(last_change.get(decision.subject, np.inf), age_s)
        if decision.action == "up":
            last_up[decision.subject] = min(last_up.get(decision.subject, np.inf), age_s)
    return wanted, last_up, last_change


def _age_s(decision: Decision, as_of: datetime) -> float:
    return (as_of - decision.as_of).total_seconds()


def _column(
    values: Mapping[str, float], subjects: list[str], absent: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([values.get(subject, absent) for subject in subjects], np.float64)
