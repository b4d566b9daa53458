"""Look back on a week: what became slower or fuller, where work waited, what would help, and what will not fit soon."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.performance.decide.review import decide_review
from tasks.performance.observe import observe_week
from tasks.performance.report import publish_review
from tasks.run import open_run


class ReviewRequest(BaseModel):
    """Whose week, and how long it is."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    days: int = Field(7, ge=3, le=28, description="days of 24 hours that are looked back on")


@flow(name="performance-review", description=__doc__)
def performance_review(request: ReviewRequest = ReviewRequest()) -> dict[str, Any]:
    """Observe, review, publish; nothing of the fleet is changed."""
    run = open_run("performance-review", request.fleet)

    view = observe_week(run, request.days)

    review = decide_review(view.week, view.health)

    return publish_review(run, view, review)


if __name__ == "__main__":
    performance_review()
