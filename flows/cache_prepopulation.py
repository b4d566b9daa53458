"""Fill edge caches with what their users will ask for, where that wins, without hurting the origin."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from pydantic import Field

from tasks.acting import ActingRequest, approve, decided_before, keep_decisions, publish_acts
from tasks.caching.act import act_on, finish_left_over, plan_fills
from tasks.caching.decide.fills import CHANGES, no_longer_fits
from tasks.caching.observe import Files, Terms, When, observe_log
from tasks.caching.origin import Limits
from tasks.caching.report import cache_sections, explain, explain_all
from tasks.caching.scorecard import score_due
from tasks.carbon.files import seconds_of
from tasks.run import open_run


class CacheRequest(ActingRequest):
    """Which log and caches, and how much of the origin may be used."""

    log: str = Field("", description="access log of the caches, a file or a folder: see tasks/caching/README.md")
    caches: str = Field("", description="CSV site, kind, url and more by kind: how each cache is asked")
    sites: str = Field("", description="CSV site and more: what differs from site to site")
    catalogue: str = Field("", description="CSV object, bytes, published[, tags]: new objects do as their kin did")
    origins: str = Field("", description="CSV prefix, usd_per_gb[, usd_per_request]: plans save cost, not requests")
    budget: str = Field("5%", description="bytes of each site: a share of the log's distinct bytes, or 500MB")
    regional_budget: str = Field("5%", description="the same of each region's cache, where sites have a region")
    ttl: str = Field(
        "", description="12h: how long caches keep a copy at most, where `sites` says nothing; empty: for good"
    )
    predictor: Literal["counts", "trees"] = Field(
        "counts", description="trees: gradient-boosted ones beside the counts; where they win: tasks/caching/README.md"
    )
    horizon: str = Field("4h", description="how far ahead a plan looks")
    window: str = Field("", description="01:00-05:00: when sites may be warmed, by their own local time; empty: always")
    low_carbon: bool = Field(False, description="in the cleanest hour of the window (of the day, where there is none)")
    confidence: float = Field(
        0.0, ge=0, le=1, description="leave out what is less likely to be asked for; the seed: 0.8"
    )
    origin_requests_per_s: float = Field(50.0, gt=0, description="most that the origin gets, of all sites together")
    origin_bytes_per_s: float = Field(50e6, gt=0, description="the same in bytes")
    origin_in_flight: int = Field(8, ge=1, le=1000, description="the same at once")
    origin_usd_per_gb: float = Field(0.0, ge=0, description="what a GB from the origin costs; 0: no cost is told")
    origin_latency_s: float | None = Field(
        None, gt=0, description="what the origin usually takes; twice that stops. Empty: what its first answers take"
    )


@flow(name="cache-prepopulation", description=__doc__)
def cache_prepopulation(request: CacheRequest = CacheRequest()) -> dict[str, Any]:
    """Mend what a killed run left; read and play the log; score earlier plans; plan, record, approve, warm, report."""
    run = open_run("cache-prepopulation", request.fleet, request.mode)
    ttl_s, horizon_s = float(request.approval_timeout_s), seconds_of(request.horizon, "horizon")

    left_over = finish_left_over(run)
    when = When(request.window, request.low_carbon)
    files = Files(request.log, request.sites, request.catalogue, request.origins)
    terms = Terms(horizon_s, request.budget, request.regional_budget, request.predictor, request.ttl)
    view = observe_log(run, files, terms, when)
    marked = score_due(run, view)

    rows = decided_before(run)
    if not rows:
        entries = plan_fills(run, view, horizon_s, request.confidence)
        rows = keep_decisions(run, entries, as_of=view.as_of, ttl_s=ttl_s, changes=CHANGES)
    approved = approve(
        run, rows, as_of=view.as_of, timeout_s=ttl_s, plan=explain_all,
        check=lambda changes: no_longer_fits([row.subject for row in changes], view.played.refused, view.closed),
    )  # fmt: skip

    limits = Limits(
        request.origin_requests_per_s, request.origin_bytes_per_s, request.origin_in_flight,
        baseline_s=request.origin_latency_s,
    )  # fmt: skip
    results, warmed = act_on(run, approved, request.caches, limits)

    told = cache_sections([row.content for row in rows], view.played, warmed, marked, request.origin_usd_per_gb)
    return publish_acts(run, told, rows, results, left_over, explain, view.trouble)


if __name__ == "__main__":
    cache_prepopulation()
