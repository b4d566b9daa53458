"""Start flexible runs when the grid is cleanest, and let queues and scalers do more then; no worker waits for it."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.carbon.act import act_on, finish_left_over
from tasks.carbon.caps import CapRequest
from tasks.carbon.decide.caps import CAP, decide_caps
from tasks.carbon.decide.recheck import no_longer
from tasks.carbon.decide.shift import CHANGES, decide_shifts
from tasks.carbon.intensity import open_providers
from tasks.carbon.observe import observe_runs
from tasks.carbon.report import explain, explain_all, shift_sections
from tasks.carbon.scorecard import score_due
from tasks.run import open_run


class CarbonRequest(ActingRequest):
    """What pays, and how far to go."""

    zone: str = Field("", max_length=40, description="grid zone of runs without a tag `zone:...`, e.g. `DE`")
    signal: Literal["average", "marginal"] = Field("average", description="which intensity; they are never mixed")
    jobs: bool = Field(
        False, description="suspended Jobs of the fleet's clusters too, with label continuum.io/flexible"
    )
    caps: list[CapRequest] = Field(
        [], max_length=1000, description="work pools and KEDA ScaledObjects that may do more in cleaner hours of a day"
    )
    least_saving_percent: float = Field(
        2.0, ge=0, le=100, description="what a wait must save, or the run starts at once"
    )


@flow(name="carbon-scheduling", description=__doc__)
def carbon_scheduling(request: CarbonRequest = CarbonRequest()) -> dict[str, Any]:
    """Mend what a killed run left; score earlier starts; find flexible runs, decide, record, approve, set, report."""
    run = open_run("carbon-scheduling", request.fleet, request.mode)
    ttl_s = float(request.approval_timeout_s)

    left_over = finish_left_over(run)
    providers = open_providers(run.fleet, request.signal)
    marked = score_due(run, providers, request.signal)
    view = observe_runs(run, providers, request.signal, request.zone, jobs=request.jobs, caps=request.caps)
    now_s = int(view.as_of.timestamp())

    rows = decided_before(run)
    if not rows:
        entries = decide_shifts(
            view.runs, view.intensity, view.how, now_s, request.least_saving_percent / 100, request.signal
        ) + decide_caps(view.caps, view.intensity, view.how, now_s)
        rows = keep_decisions(run, entries, as_of=view.as_of, ttl_s=ttl_s, changes=(*CHANGES, CAP))
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: no_longer(view.runs, view.caps, {row.subject: row.content for row in changes}, now_s),
    )  # fmt: skip

    results = act_on(run, approved)

    told = shift_sections([row.content for row in rows], marked)
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    carbon_scheduling()
