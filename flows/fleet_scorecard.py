"""The fleet on one page: health, what every flow decided and how far it may go, what it promised, brought and saved."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.run import open_run
from tasks.scorecard.observe import read_score
from tasks.scorecard.report import publish_score


class FleetScoreRequest(BaseModel):
    """Whose page, and over how long."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    days: int = Field(7, ge=1, le=90, description="days that the page sums up")


@flow(name="fleet-scorecard", description=__doc__)
def fleet_scorecard(request: FleetScoreRequest = FleetScoreRequest()) -> dict[str, Any]:
    """Read, sum up, publish; nothing outside the store is written."""
    run = open_run("fleet-scorecard", request.fleet)

    view = read_score(run, request.days)

    return publish_score(run, view, request.days)


if __name__ == "__main__":
    fleet_scorecard()
