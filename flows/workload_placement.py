"""Choose the best cluster for every new workload, and deploy it there as far as the mode allows."""

from __future__ import annotations

from typing import Any

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.placement.act import deploy, finish_left_over
from tasks.placement.decide.new_workloads import CHANGES, decide_new_workloads, no_longer_fits
from tasks.placement.new_workloads import NewWorkload
from tasks.placement.observe import observe_room
from tasks.placement.report import explain, explain_all, new_workload_sections
from tasks.run import open_run


class PlacementRequest(ActingRequest):
    """What to place, and how far to go."""

    workloads: list[NewWorkload] = Field([], max_length=1000, description="what is to run somewhere in the fleet")


@flow(name="workload-placement", description=__doc__)
def workload_placement(
    request: PlacementRequest = PlacementRequest(), workloads: list[NewWorkload] | None = None
) -> dict[str, Any]:
    """Mend what a killed run left; then observe, decide, record, approve, deploy, report.

    Args:
        request: what to place, and how far to go
        workloads: these instead of the request's. An event fills it in
    """
    run = open_run("workload-placement", request.fleet, request.mode)
    ttl_s = float(request.approval_timeout_s)

    left_over = finish_left_over(run)
    wanted = workloads or request.workloads
    view = observe_room(run, wanted)

    rows, decision = decided_before(run), None
    if not rows:
        keys = [each.key for each in wanted]
        entries, decision = decide_new_workloads(view.problem, view.standing, keys)
        rows = keep_decisions(run, entries, as_of=view.as_of, ttl_s=ttl_s, changes=CHANGES)
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: no_longer_fits(view.problem, view.standing,
                                             {row.subject: row.content["workload"] for row in changes}),
    )  # fmt: skip

    results = deploy(run, approved, wanted)

    told = new_workload_sections([row.content for row in rows], view.problem, decision)
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    workload_placement()
