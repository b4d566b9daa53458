"""Make forecasts, keep them where every flow finds them, and announce pools that will outgrow their capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from blocks.errors import ContinuumError
from blocks.events import Anomaly, ForecastBreached
from blocks.series import Forecast, utc
from blocks.store.series import SeriesStore
from tasks.forecasting.announced import announce_anomalies
from tasks.forecasting.decide import crossings
from tasks.forecasting.decide.plans import PLANS, Plan
from tasks.forecasting.models import Serving, serving, shelf_of
from tasks.forecasting.observe import Collected, pools_of
from tasks.forecasting.shards import Pass, ShardMade, forecast_shard, shards_of
from tasks.publish import emit
from tasks.run import Run
from tasks.runner import task_runner

SCALING_PLAN = PLANS["two-hours"]


@dataclass(frozen=True)
class PassMade:
    """What the shards of a pass made together; `trouble` has one line for each shard that failed."""

    as_of: datetime
    shards: tuple[ShardMade, ...]
    serving: Serving
    trouble: tuple[str, ...]


def forecast_name(fleet_name: str, plan: Plan = SCALING_PLAN) -> str:
    """Under which name the store keeps the forecasts of a fleet: two fleets may have pools of the same names."""
    name = f"demand of {fleet_name}"
    return name if plan == SCALING_PLAN else f"{name}, {plan.words}"


def name_for(flow: str, plan_name: str) -> str:
    """Name of a flow's runs for a plan, under which its report is kept: each plan has a newest run of its own.

    >>> name_for("demand-forecasting", "day-ahead"), name_for("demand-forecasting", "two-hours")
    ('demand-forecasting-day-ahead', 'demand-forecasting')
    """
    return flow + PLANS[plan_name].suffix


def forecast_fleet(
    run: Run, collected: Collected, plan_name: str, engine: str, *, history_days: int, calibration_min: int,
    workers: int,
) -> PassMade:  # fmt: skip
    """Forecast every pool of the fleet, shard by shard, each in a task run; a shard that fails is told.

    Parameters
    ----------
    workers:
        0 for threads of this process, n for n processes of a local Dask cluster.

    Raises
    ------
    NotConfigured: Dask is asked for and not installed. ContinuumError: every shard failed.
    """
    plan = PLANS[plan_name]
    serves = serving(shelf_of(SeriesStore.open(), run.fleet_name, plan), plan, engine, collected.as_of)
    work = Pass(forecast_name(run.fleet_name, plan), run.fleet_name, run.fleet.name, collected.as_of, serves,
                history_days, 60 * calibration_min, run.id)  # fmt: skip
    with task_runner(workers) as runner:
        waiting = [runner.submit(forecast_shard, {"work": work, "shard": shard})
                   for shard in shards_of(pools_of(run.fleet))]  # fmt: skip
        ended = [future.result(raise_on_failure=False) for future in waiting]
    failed = [error for error in ended if isinstance(error, Exception)]
    made = tuple(shard for shard in ended if isinstance(shard, ShardMade))
    unforeseen = [error for error in failed if not isinstance(error, ContinuumError)]
    if unforeseen or (failed and not made):
        raise (unforeseen or failed)[0]
    return PassMade(collected.as_of, made, serves, tuple(f"a shard has no forecast: {error}" for error in failed))


def breached(
    made: Forecast, capacity: Mapping[str, float], *, level: float, within_s: float
) -> list[tuple[str, datetime]]:
    """Pools whose forecast crosses their present capacity, earliest first.

    Parameters
    ----------
    made: series named `cluster/pool/kind`.
    capacity: what each series may reach, in its own unit; a series without one never crosses.
    level: quantile of the peak that is read, 0-1.
    within_s: how far ahead a crossing counts; scaling looks no further.
    """
    first: dict[str, datetime] = {}
    for name, when_s in zip(made.unique_id, peak_crossings(made, capacity, level), strict=True):
        if when_s <= made.as_of.timestamp() + within_s:  # never for NaN, which is "not at all"
            pool, when = name.rsplit("/", 1)[0], utc(float(when_s))
            first[pool] = min(when, first.get(pool, when))
    return sorted(first.items(), key=lambda item: (item[1], item[0]))


def peak_crossings(made: Forecast, capacity: Mapping[str, float], level: float) -> NDArray[np.float64]:
    """(S,) seconds since 1970 at which the peak so far crosses with the probability 1 - level; NaN where not at all."""
    limits = np.array([capacity.get(name, np.inf) for name in made.unique_id], np.float64)
    return crossings(replace(made, values=made.peaks), limits, level)


def announce(fleet_name: str, made: PassMade, pools: list[tuple[str, datetime]]) -> ForecastBreached | None:
    """Emit at most one event for a pass, with the list of pools; None where there is nothing to say.

    Only the forecast that scaling reads announces: an event of any other would start a run that cannot see why.
    """
    if not pools or made.serving.plan != SCALING_PLAN:
        return None
    event = ForecastBreached(
        fleet=fleet_name, as_of=made.as_of, pools=[name for name, _ in pools], first_crossing=pools[0][1]
    )
    emit(event)
    return event


def announce_found(run: Run, made: PassMade) -> list[Anomaly]:
    """Announce the anomalies that no pass before has; those of the last two days, newest first."""
    found = (anomaly for shard in made.shards for anomaly in shard.anomalies)
    return announce_anomalies(SeriesStore.open(), run.fleet_name, made.as_of, found)[1]
