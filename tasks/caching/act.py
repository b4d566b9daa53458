"""Plan, keep the plan as a file, and carry approved sites' parts of it out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.files import write_atomically
from blocks.settings import home
from blocks.store.tables import Decision, Mode, State, Verdict
from tasks.acting import REFUSED, Result
from tasks.caching.decide.fills import SitePlan, decide_fills
from tasks.caching.decide.gate import ARMS, REACTIVE
from tasks.caching.decide.placement import Chosen
from tasks.caching.decide.replay import Replayed
from tasks.caching.decide.windows import Opening
from tasks.caching.files import open_caches, read_plan
from tasks.caching.observe import View
from tasks.caching.offline import ROW, plan, plan_rows, regions_of, with_handed_back
from tasks.caching.origin import Limits
from tasks.caching.warm import KIND, REGIONAL, Warmed, warm
from tasks.run import Run


@task(name="plan caches", cache_policy=NO_CACHE, persist_result=False)
def plan_fills(run: Run, view: View, horizon_s: int, confidence: float) -> list[dict[str, Any]]:
    """The plan after the log, as a file beside the store, and an entry a region's cache and a site."""
    played, sites, log = view.played, view.played.sites, view.played.log
    gated = played.replayed, played.regional
    made, _ = plan(log, sites, horizon_s, gated, known=played.known, least_confidence=confidence)
    made = with_handed_back(made, played.replayed)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([ROW, *plan_rows(log, sites, made, horizon_s, played.known)])
    file = home() / "cache-plans" / f"{run.id}.csv"
    write_atomically(file, text.getvalue())
    size, plans = log.requests.size, []
    if played.regional:
        for number, (name, chosen) in enumerate(zip(regions_of(sites), made.regions, strict=True)):
            weight, opening = int(size[chosen.items].sum()), view.opening_of_region(name)
            plans.append(_site_plan(name, played.regional, number, chosen, weight, opening, REGIONAL))
    for number, (name, chosen) in enumerate(zip(sites.names, made.sites, strict=True)):
        weight = int(size[chosen.items].sum())
        plans.append(_site_plan(name, played.replayed, number, chosen, weight, view.openings[number]))
    about = {"fleet": run.fleet_name, "plan_file": str(file), "horizon_s": horizon_s,
             "log_end_s": float(played.log.requests.ts_s[-1])}  # fmt: skip
    return decide_fills(plans, about)


def _site_plan(name: str, done: Replayed, site: int, chosen: Chosen, weight: int, opening: Opening,
               tier: str = "site") -> SitePlan:  # fmt: skip
    arm, many = int(done.gate.verdict[site]), max(int(done.site_requests[site]), 1)
    planned, without = (int(each.site_hits[site]) / many for each in (done.scores["planned"], done.own))
    return SitePlan(name, ARMS[arm].name, arm != REACTIVE, len(chosen.items), weight, float(chosen.value.sum()),
                    float(done.gate.gains()[0, arm, site]), planned, without, opening, tier)  # fmt: skip


@task(name="warm caches", cache_policy=NO_CACHE, persist_result=False)
def act_on(
    run: Run, approved: Sequence[Decision], caches_file: str, limits: Limits
) -> tuple[list[Result], list[Warmed]]:
    """Warm the approved sites, all side by side; a site that has no cache in the file is refused."""
    if not approved or run.mode is Mode.SHADOW:
        return [], []
    caches = open_caches(Path(caches_file))
    results, wanted = [], {}
    told: list[Warmed] = []
    for decision in approved:
        if decision.content["site"] in caches:
            wanted[decision.content["site"]] = decision
        else:
            results.append(_refused(run, decision, f"{caches_file} has no line for this site"))
    if wanted:
        _, plans = read_plan(Path(next(iter(wanted.values())).content["plan_file"]))
        told, _ = warm(
            run.id, {site: plans[site] for site in wanted}, {site: caches[site] for site in wanted}, run.journal,
            limits, {site: decision.id for site, decision in wanted.items()}, run.fleet_name,
        )  # fmt: skip
        results += [_result(run, wanted[each.site], each) for each in told]
    return results, told


def _result(run: Run, decision: Decision, told: Warmed) -> Result:
    if told.state == "refused":
        return _refused(run, decision, told.detail)
    words = f"{told.verified} objects fetched and verified, {told.held} were there, {told.bytes:,} bytes"
    words += f", {sum(told.unwarmable.values())} unwarmable" if told.unwarmable else ""
    words += f", {told.gone} gone since" if told.gone else ""
    words += f"; {told.detail}" if told.detail else ""
    return Result(decision.id, decision.subject, State.DONE if told.state == "done" else State.FAILED, words)


def _refused(run: Run, decision: Decision, why: str) -> Result:
    run.store.settle([decision], Verdict.EXPIRED, detail=why)
    return Result(decision.id, decision.subject, REFUSED, why)


@task(name="finish left-over warming", cache_policy=NO_CACHE, persist_result=False)
def finish_left_over(run: Run) -> list[Result]:
    """End what killed runs were warming: what they fetched stays, and the plan of now takes the place of theirs."""
    ended = []
    for left in run.journal.expired():
        if left.kind != KIND or left.do.get("fleet") != run.fleet_name:
            continue
        if run.mode is not Mode.SHADOW:
            left = run.journal.failed(run.journal.adopt(left), "its run was killed; what it fetched stays")
        ended.append(Result(left.decision_id or "", left.subject, left.state, left.detail or "its run was killed"))
    return ended
