"""Read what the store has kept of every flow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.fleet import pool_id
from blocks.series import utc
from blocks.store.tables import Scorecard, now
from tasks.forecasting.observe import source_time_s
from tasks.migration.silent import SPARES
from tasks.monitoring.decide import Finding
from tasks.monitoring.tell import FLOW as MONITORING
from tasks.monitoring.tell import findings_before
from tasks.run import Run
from tasks.scaling.scorecard import FLOW as SCALING
from tasks.scaling.scorecard import totals
from tasks.scorecard.decide import Counted, FlowTotals, Kept, PoolSums, by_flow, promises

ENERGY = "energy-report"
HOUR = timedelta(hours=1)
SCALING_PROMISES = ("violation_minutes", "node_hours")


@dataclass(frozen=True)
class View:
    """What the page is made of; `kept` by flow and quantity; `health`: cards, oldest first."""

    as_of: datetime
    flows: list[FlowTotals]
    kept: dict[str, dict[str, Kept]]
    pools: dict[str, PoolSums]
    health: list[Scorecard]
    findings: list[Finding]
    trouble: tuple[str, ...]


@task(name="read the score", cache_policy=NO_CACHE, persist_result=False)
def read_score(run: Run, days: int) -> View:
    """Decisions of the last days by this machine's clock; scores and health by the fleet's own."""
    trouble: list[str] = []
    try:
        as_of = utc(source_time_s(run.fleet))
    except ContinuumError as error:
        as_of = now()
        trouble.append(f"{error}; this machine's clock is taken")
    span = timedelta(days=days)
    flows = by_flow(Counted(*row) for row in run.store.verdicts(now() - span, fleet=run.fleet_name) if row[0] != SPARES)
    kept = {each.flow: promises(run.store.measured(each.flow, now() - span, fleet=run.fleet_name))
            for each in flows if each.flow != SCALING}  # fmt: skip
    kept[SCALING] = _scaling_promises(run, as_of - span)
    health = run.store.scorecards(flow=MONITORING, subject=run.fleet_name, method="health", limit=days * 400)
    return View(as_of, flows, {name: each for name, each in kept.items() if each}, _pools(run, as_of - span),
                [card for card in reversed(health) if card.period_end >= as_of - span],
                list(findings_before(run)[0]), tuple(trouble))  # fmt: skip


def _scaling_promises(run: Run, since: datetime) -> dict[str, Kept]:
    """Scaling keeps its sums by the hour: a large fleet decides half a million times a week."""
    pools = [pool_id(cluster.name, pool.name) for cluster, pool in run.fleet.pools()]
    names = ("decisions", *(f"{which}_{name}" for which in ("promised", "realised") for name in SCALING_PROMISES))
    sums = run.store.score_sums(SCALING, names, since, methods=["promise"], subjects=pools)
    total = {name: sum(each[name] for each in sums.values()) for name in names}
    if not total["decisions"]:
        return {}
    return {name: Kept(int(total["decisions"]), total[f"promised_{name}"], total[f"realised_{name}"])
            for name in SCALING_PROMISES}  # fmt: skip


def _pools(run: Run, since: datetime) -> dict[str, PoolSums]:
    """Pools whose size was scored beside the live rule's."""
    sums = totals(run, since, ("ours", "live"))
    names = [(cluster, pool, pool_id(cluster.name, pool.name)) for cluster, pool in run.fleet.pools()]
    scored = [each for each in names if {(each[2], "ours"), (each[2], "live")} <= sums.keys()]
    nodes: dict[str, float] = defaultdict(float)  # of each cluster, the mean over the scored time
    for cluster, _, name in scored:
        live = sums[name, "live"]
        nodes[cluster.name] += live.node_hours * 60 / live.minutes if live.minutes else 0.0
    grams = _grams_per_hour(run)
    return {
        name: PoolSums(sums[name, "ours"].violation_minutes, sums[name, "ours"].node_hours,
                       sums[name, "live"].violation_minutes, sums[name, "live"].node_hours, pool.usd_per_hour,
                       grams[cluster.name] / nodes[cluster.name]
                       if cluster.name in grams and nodes[cluster.name] else None)
        for cluster, pool, name in scored
    }  # fmt: skip


def _grams_per_hour(run: Run) -> Mapping[str, float]:
    """gCO2e by location of each cluster in the newest hour that an energy report accounts."""
    newest = run.store.scorecards(flow=ENERGY, subject=f"fleet {run.fleet_name}", limit=50)
    hour = next((card for card in newest if card.period_end - card.period_start == HOUR), None)
    if hour is None:
        return {}
    cards = run.store.scorecards(flow=ENERGY, period_end=hour.period_end, limit=None)
    return {card.subject: card.scores["location_g"] for card in cards
            if card.period_start == hour.period_start and "location_g" in card.scores}  # fmt: skip
