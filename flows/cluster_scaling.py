"""Decide the size of every node pool ahead of its demand, and carry it out as far as the mode allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, decided_before
from tasks.pools.observe import named_pools
from tasks.run import open_run
from tasks.scaling.act import act_on, finish_left_over
from tasks.scaling.alert import alert
from tasks.scaling.approve import approve
from tasks.scaling.decide import POLICIES, decide_scaling
from tasks.scaling.observe import observe_pools
from tasks.scaling.patches import write_patches
from tasks.scaling.reaper import reap, renew
from tasks.scaling.record import publish_scaling, record
from tasks.scaling.scorecard import gated


class ScalingRequest(ActingRequest):
    """What to scale, by which rule, and how far to go."""

    policy: Literal["predictive", "target-tracking", "schedule", "seed"] = Field(
        "predictive",
        description="predictive: ahead of the forecast peak. target-tracking: the formula of pod autoscalers. "
        "schedule: what fleet.yaml plans, and present use. seed: plain thresholds",
    )
    gate_days: int = Field(
        0, ge=0, le=90,
        description="act: only pools whose scorecard of so many days beats what is live are changed. 0: no gate",
    )  # fmt: skip


@flow(name="cluster-scaling", description=__doc__)
def cluster_scaling(request: ScalingRequest = ScalingRequest(), pools: list[str] | None = None) -> dict[str, Any]:
    """Mend what a killed run left, take back what has expired; then observe, decide, record, approve, act, report.

    Args:
        request: what to scale, by which rule, and how far to go
        pools: only these, as `cluster/pool`; none: every pool. A forecast event fills it in
    """
    run = open_run("cluster-scaling", request.fleet, request.mode)
    policy = replace(POLICIES[request.policy], proposal_ttl_s=request.approval_timeout_s)
    only = named_pools(run.fleet, pools)

    left_over = finish_left_over(run) + reap(run)
    view = observe_pools(run, policy)

    rows = decided_before(run)
    if not rows:
        decided = decide_scaling(view.pools, view.observed, view.forecast, policy, view.as_of)
        rows = record(run, gated(run, decided, request.gate_days), policy, only)
    approved = approve(run, rows, view, policy)

    ready = int(view.observed.ready.sum())
    results = act_on(run, approved, disruption_ratio=policy.disruption_ratio, fleet_nodes=ready)
    renew(run, rows)
    patches = write_patches(rows)
    alert(run, rows)

    return publish_scaling(run, view, rows, results, left_over, patches)


if __name__ == "__main__":
    cluster_scaling()
