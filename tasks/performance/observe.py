"""Read the week behind: demand and nodes from the series files, pools as they are, the forecast of the next day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import StoreUnavailable
from blocks.series import Forecast, utc
from blocks.store.forecasts import load_forecast
from blocks.store.series import SeriesStore
from tasks.energy.observe import nodes_ready
from tasks.forecasting.act import forecast_name, peak_crossings
from tasks.forecasting.decide.plans import PLANS
from tasks.forecasting.observe import STEP_S, read_demand, source_time_s
from tasks.monitoring.tell import FLOW as MONITORING
from tasks.performance.decide.bottlenecks import FULL_RATIO
from tasks.performance.decide.week import RESOURCES, Floats, Week
from tasks.pools.observe import PoolReading, read_pools
from tasks.run import Run

DAY_S = 86_400
OLDEST_FORECAST = timedelta(hours=3)  # it is made every hour


@dataclass(frozen=True)
class View:
    """The week; daily means of each part of the fleet's health (oldest first, NaN not known); lines of trouble."""

    week: Week
    health: dict[str, Floats]
    trouble: tuple[str, ...]


@task(name="observe the week", cache_policy=NO_CACHE, persist_result=False)
def observe_week(run: Run, days: int) -> View:
    """The fleet's pools in file order over the last `days` times 24 hours.

    Raises
    ------
    ContinuumError: the metrics' clock cannot be read.
    """
    as_of = utc(source_time_s(run.fleet))
    readings, trouble = read_pools(run.fleet)
    demand = read_demand(SeriesStore.open(), run.fleet, as_of, days)
    counted = nodes_ready(run.fleet, demand.start_s, demand.end_s)
    forecast = None
    try:
        forecast = load_forecast(run.store, forecast_name(run.fleet_name, PLANS["day-ahead"]), not_after=as_of)
    except StoreUnavailable as error:
        trouble.append(str(error))
    if forecast is None or as_of - forecast.as_of > OLDEST_FORECAST:
        forecast = None
        trouble.append("There is no day-ahead forecast of the last three hours; breaches are told by trends alone.")
    pools, steps = len(readings), DAY_S // STEP_S
    sizes = np.array([(reading.pool.node_cpu, reading.pool.node_memory) for reading in readings], np.float64)
    top = np.array([reading.pool.max_nodes for reading in readings], np.float64)
    week = Week(
        as_of, STEP_S, tuple(reading.subject for reading in readings),
        demand.values.reshape(len(RESOURCES), pools, days, steps).swapaxes(0, 1),
        counted.values.reshape(pools, days, steps), sizes,
        np.array([reading.state.desired if reading.state else np.nan for reading in readings], np.float64),
        np.array([reading.pool.min_nodes for reading in readings], np.float64), top,
        np.array([_requested(reading) for reading in readings], np.float64),
        np.array([reading.pool.usd_per_hour for reading in readings], np.float64),
        np.array([reading.pool.reserved_nodes for reading in readings], np.float64),
        *_breaches(forecast, [reading.subject for reading in readings], FULL_RATIO * top[:, None] * sizes),
    )  # fmt: skip
    return View(week, _health(run, week, days), tuple(trouble))


def _requested(reading: PoolReading) -> float:
    """Nodes that the pods' requests fill; NaN where nobody could look."""
    if reading.pods is None:
        return np.nan
    asked = reading.pods.requested
    return max(asked.cpu_cores / reading.pool.node_cpu, asked.memory_bytes / reading.pool.node_memory)


def _breaches(made: Forecast | None, pools: list[str], ceiling: Floats) -> tuple[Floats, Floats, Floats]:
    """(P, R) chance that the peak passes the ceiling, when its p90 does, and the p90; see `Week`."""
    chance, at_s, peak = np.zeros(ceiling.shape), np.full(ceiling.shape, np.nan), np.full(ceiling.shape, np.nan)
    if made is None:
        return chance, at_s, peak
    limits = {f"{pool}/{kind}": float(ceiling[row, column]) for row, pool in enumerate(pools)
              for column, kind in enumerate(RESOURCES)}  # fmt: skip
    place = {name: row for row, name in enumerate(made.unique_id)}
    when = peak_crossings(made, limits, made.levels[made.levels.index(0.9)])
    for row, pool in enumerate(pools):
        for column, kind in enumerate(RESOURCES):
            if (at := place.get(f"{pool}/{kind}")) is None:
                continue
            peaks = made.peaks[at, -1]
            passed = [level for level, value in zip(made.levels, peaks, strict=True) if value > ceiling[row, column]]
            chance[row, column] = 1 - min(passed) if passed else 0.0
            at_s[row, column], peak[row, column] = when[at], peaks[made.levels.index(0.9)]
    return chance, at_s, peak


def _health(run: Run, week: Week, days: int) -> dict[str, Floats]:
    """Daily means of each part of the health."""
    cards = run.store.scorecards(flow=MONITORING, subject=run.fleet_name, method="health", limit=days * 400)
    found: dict[str, list[list[float]]] = {}
    for card in cards:
        day = days - 1 - (week.as_of - card.period_end) // timedelta(days=1)
        for name, value in card.scores.items():
            if 0 <= day < days:
                found.setdefault(name, [[] for _ in range(days)])[day].append(value)
    means = {name: [np.mean(day) if day else np.nan for day in by_day] for name, by_day in sorted(found.items())}
    return {name: np.array(each) for name, each in means.items()}
