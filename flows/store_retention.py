"""Let the store forget what nobody reads any more, so that it can run for years."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.retention import forget_old, publish_forgotten
from tasks.run import open_run


class RetentionRequest(BaseModel):
    """How long things are kept."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block, under which the run is told")
    looked_days: int = Field(
        35, ge=8, le=3660, description="decisions that changed nothing, reports, forecasts, what edges have told"
    )
    done_days: int = Field(
        400, ge=35, le=3660, description="what was done, its history and approvals; scores, passes, series"
    )


@flow(name="store-retention", description=__doc__)
def store_retention(request: RetentionRequest = RetentionRequest()) -> dict[str, Any]:
    """Forget, tell. Nothing outside the store is touched."""
    run = open_run("store-retention", request.fleet)

    forgotten = forget_old(run, request.looked_days, request.done_days)

    return publish_forgotten(run, forgotten)


if __name__ == "__main__":
    store_retention()
