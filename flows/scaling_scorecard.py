"""Keep score of scaling: hold each decision against what came, and our sizes against the rule that is live."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.run import open_run
from tasks.scaling.report_scorecard import publish_scorecard
from tasks.scaling.scorecard import score_due


class ScorecardRequest(BaseModel):
    """Whose decisions to score, and how much of it to show."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    days: int = Field(7, ge=1, le=90, description="days that the report sums up")


@flow(name="scaling-scorecard", description=__doc__)
def scaling_scorecard(request: ScorecardRequest = ScorecardRequest()) -> dict[str, Any]:
    """Score what is due, and tell; nothing outside the store is written."""
    run = open_run("scaling-scorecard", request.fleet)

    scored = score_due(run)

    return publish_scorecard(run, scored, request.days)


if __name__ == "__main__":
    scaling_scorecard()
