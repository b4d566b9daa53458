"""The training that a new place begins with: quick, so that the first forecast already has a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

# Seconds instead of minutes: one engine that learns, few moments. The nightly deployment trains and scores in full.
QUICK = {"engines": ["linear", "seasonal-naive"], "origins": 8, "scored_pools": 24}


def has_models() -> bool:
    """Whether the default fleet's forecasts have models that can serve."""
    from blocks.store.series import SeriesStore
    from tasks.forecasting.act import SCALING_PLAN
    from tasks.forecasting.models import is_trained

    return is_trained(SeriesStore.open(), "default", SCALING_PLAN)


def train_first() -> State[dict[str, Any]]:
    """Run `forecast-training` once, quickly; where it fails, each pass goes on to fit a model of its own."""
    from flows.forecast_training import TrainingRequest, forecast_training

    state: State[dict[str, Any]] = forecast_training(TrainingRequest.model_validate(QUICK), return_state=True)
    return state


if __name__ == "__main__":
    sys.exit(not train_first().is_completed())
