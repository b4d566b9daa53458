"""Keep score: what earlier plans promised, and what the log has shown since; beside each site's own policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.series import utc
from blocks.store.tables import Decision, Outcome, Scorecard, now
from tasks.caching.decide.day import Came, what_came
from tasks.caching.files import read_plan
from tasks.caching.observe import View
from tasks.caching.offline import regions_of
from tasks.caching.warm import REGIONAL
from tasks.run import Run

FLOW = "cache-prepopulation"
MOST_AGE = timedelta(days=30)  # what no log has answered by then is not asked for any more


@dataclass(frozen=True)
class Marked:
    """The plan of a site, or of a region's cache, of an earlier run, held against the log."""

    site: str
    mode: str
    begin_s: float
    promised_hits: float
    came: Came


@task(name="score earlier plans", cache_policy=NO_CACHE, persist_result=False)
def score_due(run: Run, view: View) -> list[Marked]:
    """Score every plan whose horizon the log covers by now, once; oldest first.

    A plan's hits are the requests for what it lists: each of those objects was verified to be held, or, in shadow mode,
    would have been. A region's requests are those that its sites miss in the replay with plans. A log that was played
    in part scores nothing, as its requests are not all there.
    """
    played = view.played
    if played.played_share < 1:
        return []
    found = [row for row in run.store.decisions(flow=FLOW, fleet=run.fleet_name, since=now() - MOST_AGE, limit=None)
             if row.action == "warm" and row.content.get("fleet") == run.fleet_name]  # fmt: skip
    done = run.store.outcomes([row.id for row in found])
    marked, outcomes, cards = [], [], []
    for row in reversed(found):
        each = None if row.id in done else _marked(view, row)
        if each is None:
            continue
        marked.append(each)
        begin, end = utc(each.begin_s), utc(each.begin_s + row.content["horizon_s"])
        hits = {"planned": each.came.hits, "own policy": each.came.hits_without}
        happened = {"requests": float(each.came.requests), "hits": float(each.came.hits)}
        outcomes.append(Outcome(decision_id=row.id, measured_at=now(), happened=happened,
                                baselines={"own policy": {"hits": float(each.came.hits_without)}}))  # fmt: skip
        cards += [Scorecard(flow=FLOW, subject=row.subject, method=method, period_start=begin, period_end=end,
                            scores={"requests": float(each.came.requests), "hits": float(many)})
                  for method, many in hits.items()]  # fmt: skip
    run.store.save_outcomes(outcomes)
    run.store.save_scorecards(cards)
    return marked


def _marked(view: View, row: Decision) -> Marked | None:
    """None where the log does not hold the whole horizon, or the plan's file is gone."""
    played, told = view.played, row.content
    regional = told["tier"] == REGIONAL
    done = played.regional if regional else played.replayed
    names = regions_of(played.sites) if regional else played.log.sites
    begin_s, end_s = told["log_end_s"], told["log_end_s"] + told["horizon_s"]
    seen = played.log.requests.ts_s
    if done is None or not seen[0] <= begin_s or end_s > seen[-1] or told["site"] not in names:
        return None
    try:
        _, plans = read_plan(Path(told["plan_file"]))
    except ContinuumError:
        return None
    listed = [wanted.item for wanted in plans.get(told["site"], [])]
    items = pc.index_in(listed, played.log.objects).drop_null().to_numpy()
    came = what_came(done.requests, names.index(told["site"]), items, begin_s, end_s, done.own.was_hit)
    return Marked(told["site"], row.mode, begin_s, told["promised"]["hits"], came)


def totals(marked: Sequence[Marked]) -> tuple[float, int, int, int]:
    """Promised hits, hits, hits without, requests."""
    return (sum(each.promised_hits for each in marked), sum(each.came.hits for each in marked),
            sum(each.came.hits_without for each in marked), sum(each.came.requests for each in marked))  # fmt: skip
