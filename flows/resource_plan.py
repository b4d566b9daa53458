"""Plan a day of sizes for every node pool: what is too much, what too little, and when. Nothing acts on it."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from tasks.resource_plan.decide import PlanPolicy, decide_plan
from tasks.resource_plan.observe import observe_for_plan
from tasks.resource_plan.record import publish_plan
from tasks.run import open_run
from tasks.scaling.decide import POLICIES


class PlanRequest(BaseModel):
    """What to plan."""

    model_config = ConfigDict(extra="forbid")

    fleet: str = Field("default", description="name of the fleet's inventory block")
    least_hold_min: int = Field(
        120, ge=15, le=1440, description="minutes for which a smaller size must suffice before it is planned"
    )


@flow(name="resource-plan", description=__doc__)
def resource_plan(request: PlanRequest = PlanRequest()) -> dict[str, Any]:
    """Observe, plan, record. There are no modes: nothing is ever carried out."""
    run = open_run("resource-plan", request.fleet)
    scaling = POLICIES["predictive"]
    policy = PlanPolicy(
        quantile=float(scaling.quantile), target_ratio=float(scaling.predictive_target_ratio),
        violation_ratio=scaling.violation_ratio, decision_s=scaling.decision_s,
        least_hold_s=60.0 * request.least_hold_min,
    )  # fmt: skip

    view = observe_for_plan(run)

    plan = decide_plan(view.pools, view.forecast, policy, view.as_of)

    return publish_plan(run, view, plan, policy)


if __name__ == "__main__":
    resource_plan()
