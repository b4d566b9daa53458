"""Make forecasts, keep them where every flow finds them, and announce pools that will outgrow their capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from blocks.events import ForecastBreached
from blocks.fleet import Fleet
from blocks.series import Forecast, Series, utc
from blocks.store import Store
from blocks.store.forecasts import save_forecast
from blocks.store.series import SeriesStore
from tasks.forecasting.decide import crossings, forecast
from tasks.forecasting.observe import read_demand

SHARD_SERIES = 1000
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)


@dataclass(frozen=True)
class Shard:
    """Every `count`-th series, from `number` on."""

    number: int
    count: int


@dataclass(frozen=True)
class ShardMade:
    """One shard's forecast: how many series each engine served."""

    number: int
    series: int
    methods: dict[str, int]


def forecast_name(fleet_name: str) -> str:
    """Under which name the store keeps the forecasts of a fleet: two fleets may have pools of the same names."""
    return f"demand of {fleet_name}"


def shards_of(series: int) -> list[Shard]:
    """Shards of about SHARD_SERIES series each, one at least: seconds of work for one task run.

    >>> len(shards_of(12)), len(shards_of(2400))
    (1, 3)
    """
    count = max(1, -(-series // SHARD_SERIES))
    return [Shard(number, count) for number in range(count)]


@task(name="forecast shard", cache_policy=NO_CACHE, persist_result=False)
def forecast_shard(
    name: str,
    fleet: Fleet,
    as_of: datetime,
    shard: Shard,
    *,
    horizon: int,
    history_days: int,
    engine: str,
    flow_run_id: str,
) -> ShardMade:
    """Forecast the series of one shard, and keep the result in the store under `name`."""
    history = read_demand(SeriesStore.open(), fleet, as_of, history_days)
    mine = slice(shard.number, None, shard.count)
    history = Series(
        history.unique_id[mine], history.start_s, history.step_s, np.ascontiguousarray(history.values[mine])
    )
    made = forecast(history, horizon, LEVELS, as_of, engine=engine)
    save_forecast(Store.open(), made, metric=name, shard=f"{shard.number:04d}", engine=engine, flow_run_id=flow_run_id)
    return ShardMade(shard.number, len(made.unique_id), dict(Counter(made.method)))


def breached(
    made: Forecast, capacity: Mapping[str, float], *, level: float, within_s: float
) -> list[tuple[str, datetime]]:
    """Pools whose forecast crosses their present capacity, earliest first.

    Parameters
    ----------
    made: series named `cluster/pool/kind`.
    capacity: what each series may reach, in its own unit; a series without one never crosses.
    level: quantile that is read, 0-1.
    within_s: how far ahead a crossing counts; scaling looks no further.
    """
    limits = np.array([capacity.get(name, np.inf) for name in made.unique_id], np.float64)
    first: dict[str, datetime] = {}
    for name, when_s in zip(made.unique_id, crossings(made, limits, level), strict=True):
        if when_s <= made.as_of.timestamp() + within_s:  # never for NaN, which is "not at all"
            pool, when = name.rsplit("/", 1)[0], utc(float(when_s))
            first[pool] = min(when, first.get(pool, when))
    return sorted(first.items(), key=lambda item: (item[1], item[0]))


def announce(fleet_name: str, as_of: datetime, pools: list[tuple[str, datetime]]) -> ForecastBreached | None:
    """Emit at most one event for a pass, with the list of pools; None where there is nothing to say."""
    if not pools:
        return None
    event = ForecastBreached(
        fleet=fleet_name, as_of=as_of, pools=[name for name, _ in pools], first_crossing=pools[0][1]
    )
    emit_event(
        event.name,
        resource={"prefect.resource.id": f"continuum.fleet.{fleet_name}", "prefect.resource.name": fleet_name},
        payload=event.model_dump(mode="json"),
    )
    return event
