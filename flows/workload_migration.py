"""Move workloads where they are cheaper, nearer or safer; make before break, and back where anything fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.migration.act import finish_forgotten, finish_left_over
from tasks.migration.check import Checks
from tasks.migration.decide.policies import POLICIES
from tasks.migration.measured import Queries
from tasks.migration.movable import Maintenance, Movable
from tasks.migration.moves import Pace
from tasks.migration.observe import observe_workloads
from tasks.migration.record import CHANGES, decide, no_longer_fits
from tasks.migration.report import coordinates, explain, explain_all, migration_sections
from tasks.migration.waves import check_left_over, move_in_waves
from tasks.run import open_run


class MigrationRequest(ActingRequest):
    """What may move, by which rule, and how far to go."""

    workloads: list[Movable] = Field([], max_length=10_000, description="Deployments and StatefulSets that may move")
    leave: list[str] = Field([], description="clusters that are to be left until further notice")
    maintenance: list[Maintenance] = Field([], description="clusters that are to be left for some time")
    measured: Queries = Field(Queries(), description="PromQL of what your metrics measure; else it is reckoned")
    policy: Literal["default", "seed-smoothed", "seed-raw", "always-best", "never"] = Field(
        "default", description="default: smoothed, with a cool-down and a cap. seed-...: the seed's thresholds"
    )
    cap_percent: float = Field(5.0, ge=0, le=100, description="workloads that may move in one pass, one at least")
    failback_min: float = Field(120, ge=0, le=43_200, description="minutes that a place must have been well until "
                                "those who fled from it go back; twice as long each time they flee again")  # fmt: skip
    checks: Checks = Field(Checks(), description="after each wave, which are the moves to one cluster")
    soak_s: float = Field(60.0, ge=0, le=3600, description="seconds that a copy must stay Ready before requests")
    check_s: float = Field(30.0, ge=0, le=3600, description="seconds between two shares of the requests")
    patience_s: float = Field(600.0, ge=1, le=7200, description="seconds until pods not Ready turn a move round")


@flow(name="workload-migration", description=__doc__)
def workload_migration(request: MigrationRequest = MigrationRequest()) -> dict[str, Any]:
    """Finish, and check, what a killed run left; then observe, decide, record, approve, move in waves, report."""
    run = open_run("workload-migration", request.fleet, request.mode)
    ttl_s = float(request.approval_timeout_s)
    pace = Pace(patience_s=request.patience_s, soak_s=request.soak_s, check_s=request.check_s)
    policy = replace(POLICIES[request.policy], cap=request.cap_percent / 100, failback_s=60 * request.failback_min)

    left_over = finish_left_over(run, pace)
    left_over += check_left_over(run, pace)
    view = observe_workloads(run, request.workloads, request.leave, request.maintenance, request.measured, policy)

    left_over += finish_forgotten(run, view.forgotten, pace) if view.forgotten else []

    rows = decided_before(run)
    if not rows:
        rows = keep_decisions(run, decide(view, policy), as_of=view.as_of, ttl_s=ttl_s, changes=CHANGES)
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: no_longer_fits(view, {row.subject: row.content for row in changes}),
    )  # fmt: skip

    results = move_in_waves(run, rows, approved, pace, request.checks, ttl_s)

    told = migration_sections([row.content for row in rows], request.policy, coordinates(run.fleet), results)
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    workload_migration()
