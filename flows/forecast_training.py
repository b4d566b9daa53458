"""Train the forecast engines on the fleet's own past, score them, and choose what serves each kind of demand."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.forecasting.act import name_for
from tasks.forecasting.observe import collect_demand
from tasks.forecasting.report_training import publish_training
from tasks.forecasting.training import lesson_of, train, training_alone
from tasks.run import open_run

Engine = Literal["linear", "trees", "seasonal-naive", "last-value"]


class TrainingRequest(BaseModel):
    """What to train, on how much, and how thoroughly to score it."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    plan: Literal["two-hours", "day-ahead"] = Field(
        "two-hours", description="two-hours: 24 steps of 5 min. day-ahead: 96 steps of 15 min"
    )
    engines: list[Engine] = Field(
        ["linear", "trees", "seasonal-naive", "last-value"],
        min_length=1,
        description="engines to score; seasonal-naive is what the others must beat",
    )
    history_days: int = Field(30, ge=2, le=90, description="days of history to learn from and to score on")
    pools: int = Field(400, ge=1, le=400, description="pools that stand for a larger fleet in training")
    scored_pools: int = Field(100, ge=1, le=400, description="pools of these that are scored")
    origins: int = Field(40, ge=4, le=400, description="moments of the last quarter of the history to forecast from")


@flow(name="forecast-training", description=__doc__)
def forecast_training(request: TrainingRequest = TrainingRequest()) -> dict[str, Any]:
    """Observe, score, train, choose, record."""
    run = open_run(name_for("forecast-training", request.plan), request.fleet)

    collected = collect_demand(run.fleet, request.history_days)
    lesson = lesson_of(
        run, collected, request.plan, history_days=request.history_days, pools=request.pools,
        scored=request.scored_pools, origins=request.origins,
    )  # fmt: skip

    with training_alone(run, request.plan):
        training = train(run, lesson, request.engines)

    return publish_training(run, collected, training)


if __name__ == "__main__":
    forecast_training()
