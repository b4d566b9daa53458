"""Bring a version of a model to every edge: a canary, then waves, a check after each, and back where one fails."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.rollout.act import act_on, finish_left_over
from tasks.rollout.decide import Pace, decide_rollout
from tasks.rollout.observe import observe_edges
from tasks.rollout.report import explain, explain_all, rollout_sections
from tasks.run import open_run


class RolloutRequest(ActingRequest):
    """Which version, and how carefully."""

    model: str = Field("", description="name of the model")
    version: str = Field("", description="its version, or the beginning of a digest; default: the newest published")
    canary_percent: float = Field(1.0, gt=0, le=100, description="edges of the first wave, one at least")
    wave_edges: int = Field(250, ge=1, le=100_000, description="most edges of a later wave")
    failed_percent: float = Field(2.0, ge=0, le=100, description="edges that may fail to load it; of the canary none")
    silent_percent: float = Field(10.0, ge=0, le=100, description="edges that may not answer in time")
    worse_percent: float = Field(
        2.0, ge=0, le=100, description="points that answers on edges' own labelled rows may surely be worse "
        "than those of the version before",
    )  # fmt: skip
    soak_s: float = Field(60.0, ge=0, le=86_400, description="seconds that a wave must run before the next begins")
    patience_s: float = Field(900.0, ge=1, le=86_400, description="seconds until a wave that is not well is taken back")

    def pace(self) -> Pace:
        """What `tasks.rollout` calls it."""
        return Pace(self.canary_percent / 100, self.wave_edges, self.failed_percent / 100, self.silent_percent / 100,
                    self.soak_s, self.patience_s, self.worse_percent / 100)  # fmt: skip


@flow(name="model-rollout", description=__doc__)
def model_rollout(request: RolloutRequest = RolloutRequest()) -> dict[str, Any]:
    """Finish or take back what a killed run left; then observe, decide, record, approve, roll out, report."""
    run = open_run("model-rollout", request.fleet, request.mode)
    ttl_s, pace = float(request.approval_timeout_s), request.pace()

    left_over = finish_left_over(run)
    view = observe_edges(run, request.model, request.version)

    rows = decided_before(run)
    if not rows:
        entry = decide_rollout(view.edges, view.model, view.version, view.digest, pace, state=view.state)
        rows = keep_decisions(run, [entry], as_of=view.as_of, ttl_s=ttl_s, changes={"roll-out"})
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: {each.subject: "a newer version is asked for" for each in changes
                               if each.content["digest"] != view.digest},
    )  # fmt: skip

    results = act_on(run, approved, pace)

    told = rollout_sections([row.content for row in rows])
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    model_rollout()
