"""Forecast the demand of every node pool, and announce the pools that will outgrow what they have."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.forecasting.act import announce, announce_found, breached, forecast_fleet, name_for
from tasks.forecasting.observe import collect_demand, present_capacity
from tasks.forecasting.record import newest_forecast, publish_forecast
from tasks.run import open_run


class ForecastRequest(BaseModel):
    """What to forecast, and how."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    plan: Literal["two-hours", "day-ahead"] = Field(
        "two-hours", description="two-hours: 24 steps of 5 min, which scaling reads. day-ahead: 96 steps of 15 min"
    )
    engine: Literal["auto", "linear", "trees", "seasonal-naive", "last-value"] = Field(
        "auto", description="auto: for each kind of demand what scored best in forecast-training; else always this one"
    )
    history_days: int = Field(
        30, ge=1, le=90, description="days that a first pass brings in; a model fitted in the pass learns from them"
    )
    calibration_min: int = Field(
        60, ge=5, le=1440, description="minutes after which a series' calibration is renewed by what has come"
    )
    breach_percentile: Literal["p50", "p90", "p97.5"] = Field(
        "p90", description="a pool is announced when this percentile of its forecast peak crosses its capacity"
    )
    breach_within_min: int = Field(30, ge=5, le=1440, description="minutes ahead that a crossing counts")
    workers: int = Field(
        0, ge=0, le=64, description="0: threads of this process. n: n processes of a local Dask cluster, 2 GiB each"
    )


@flow(name="demand-forecasting", description=__doc__)
def demand_forecasting(request: ForecastRequest = ForecastRequest()) -> dict[str, Any]:
    """Observe, forecast shard by shard with stored models, announce, record."""
    run = open_run(name_for("demand-forecasting", request.plan), request.fleet)

    collected = collect_demand(run.fleet, request.history_days)

    shards = forecast_fleet(
        run, collected, request.plan, request.engine, history_days=request.history_days,
        calibration_min=request.calibration_min, workers=request.workers,
    )  # fmt: skip

    made = newest_forecast(run, shards)
    capacity = present_capacity(run.fleet)
    level = float(request.breach_percentile[1:]) / 100
    crossing = breached(made, capacity, level=level, within_s=60 * request.breach_within_min)
    announce(run.fleet_name, shards, crossing)
    anomalies = announce_found(run, shards)

    return publish_forecast(run, made, capacity, crossing, collected, shards, anomalies)


if __name__ == "__main__":
    demand_forecasting()
