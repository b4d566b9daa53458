"""Forecast the demand of every node pool, and announce the pools that will outgrow what they have."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.forecasting.act import announce, breached, forecast_name, forecast_shard, shards_of
from tasks.forecasting.observe import collect_demand, present_capacity
from tasks.forecasting.record import newest_forecast, publish_forecast
from tasks.run import open_run


class ForecastRequest(BaseModel):
    """What to forecast, and how."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    horizon_steps: int = Field(24, ge=1, le=288, description="steps of 5 minutes ahead; 24 steps are 2 hours")
    history_days: int = Field(30, ge=1, le=90, description="days of history that the model learns from")
    engine: Literal["linear", "seasonal-naive", "last-value"] = Field(
        "linear", description="linear: one global quantile model. The others are the plain baselines"
    )
    breach_percentile: Literal["p50", "p90", "p97.5"] = Field(
        "p90", description="a pool is announced when this percentile of its forecast crosses its capacity"
    )
    breach_within_min: int = Field(30, ge=5, le=1440, description="minutes ahead that a crossing counts")


@flow(name="demand-forecasting", description=__doc__)
def demand_forecasting(request: ForecastRequest = ForecastRequest()) -> dict[str, Any]:
    """Observe, forecast shard by shard, announce, record."""
    run = open_run("demand-forecasting", request.fleet)

    collected = collect_demand(run.fleet, request.history_days)

    shards = [
        forecast_shard(
            forecast_name(run.fleet_name),
            run.fleet, collected.as_of, shard, horizon=request.horizon_steps, history_days=request.history_days,
            engine=request.engine, flow_run_id=run.id,
        )
        for shard in shards_of(collected.series)
    ]  # fmt: skip

    made = newest_forecast(run)
    capacity = present_capacity(run.fleet)
    crossing = breached(
        made, capacity, level=float(request.breach_percentile[1:]) / 100, within_s=60 * request.breach_within_min
    )
    announce(run.fleet_name, collected.as_of, crossing)

    return publish_forecast(run, made, capacity, crossing, collected, shards)


if __name__ == "__main__":
    demand_forecasting()
