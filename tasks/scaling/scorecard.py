"""Keep score: what each decision promised against what came, and our sizes against those of the rule that is live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.fleet import pool_id
from blocks.series import Series, utc
from blocks.store.series import SeriesStore
from blocks.store.tables import Decision, Outcome, Scorecard, Verdict
from tasks.forecasting.observe import read_pool_demand, source_time_s
from tasks.run import Run
from tasks.scaling.decide import CHANGES, POLICIES, Policy, ScalingDecisions, Totals, gate
from tasks.scaling.decide.baselines import BASELINES
from tasks.scaling.decide.inputs import Float
from tasks.scaling.decide.marks import HourScored, score_hour
from tasks.scaling.decide.scoring import Span

FLOW = "cluster-scaling"  # whose decisions are scored
HOUR = timedelta(hours=1)
SETTLE = timedelta(hours=2)  # before the scored hour: sizes that a rule begins with no longer matter after it
HORIZON = timedelta(hours=1)  # of a decision at most
LATE = timedelta(minutes=10)  # demand comes in with the next forecast pass
HOURS_AT_ONCE = 48  # a run after a long rest catches up with so many; the next one goes on
SUMS = ("violation_minutes", "node_hours", "minutes")


@dataclass(frozen=True)
class Scored:
    """What a run has scored: hours, decisions, the end of the newest scored hour, one line for each trouble."""

    as_of: datetime
    hours: int
    decisions: int
    until: datetime | None


@task(name="score decisions", cache_policy=NO_CACHE, persist_result=False)
def score_due(run: Run) -> Scored:
    """Score every hour whose decisions' horizons have passed, oldest first; an hour scored again replaces itself.

    Raises
    ------
    ContinuumError: the metrics' clock cannot be read, or the series cannot.
    """
    as_of = utc(source_time_s(run.fleet))
    files, hours, decisions = SeriesStore.open(), 0, 0
    until = _scored_until(run)
    for begin in _due(run, until, as_of):
        decisions += _score(run, files, begin)
        hours, until = hours + 1, begin + HOUR
    return Scored(as_of, hours, decisions, until)


def _due(run: Run, until: datetime | None, as_of: datetime) -> Iterator[datetime]:
    """Beginnings of the hours to score: those with decisions, as far as all that they are held against is there."""
    for _ in range(HOURS_AT_ONCE):
        first = run.store.first_decided(FLOW, until)
        if first is None:
            return
        begin = first.replace(minute=0, second=0, microsecond=0)
        if begin + HOUR + HORIZON + LATE > as_of:
            return
        yield begin
        until = begin + HOUR


def _score(run: Run, files: SeriesStore, begin: datetime) -> int:
    """Score one hour, and keep it; how many decisions it had."""
    start, end = begin - SETTLE, begin + HOUR + HORIZON
    rows = run.store.decisions_between(FLOW, start, end)
    span = _span(run, files, rows, start, end)
    before = _carried(run)
    held, set_to = (np.array([before.get(name, {}).get(key, np.nan) for name in span.unique_id])
                    for key in ("held_nodes", "set_nodes"))  # fmt: skip
    place = {name: row for row, name in enumerate(span.unique_id)}
    ours = [row for row in rows if begin <= row.as_of < begin + HOUR and row.subject in place]
    scored = score_hour(
        span, [_asked(row, span, place) for row in ours], _policy(rows), BASELINES, held, set_to,
        hour=(int(SETTLE.total_seconds()) // 60, int((SETTLE + HOUR).total_seconds()) // 60),
    )  # fmt: skip
    measured = [Outcome(decision_id=row.id, measured_at=end, happened=happened, baselines=baselines)
                for row, (happened, baselines) in zip(ours, scored.outcomes, strict=True)]  # fmt: skip
    run.store.save_outcomes(measured)
    run.store.save_scorecards(_cards(run, scored, span, begin))
    return len(ours)


def _cards(run: Run, scored: HourScored, span: Span, begin: datetime) -> list[Scorecard]:
    """One card a pool and method; the last one says that the hour is scored."""
    found = [(subject, method, scores)
             for method, by_pool in scored.cards.items() for subject, scores in by_pool.items()]  # fmt: skip
    found.append((_fleet(run), "scored", {"pools": float(len(span.unique_id))}))
    return [Scorecard(flow=FLOW, subject=subject, method=method, period_start=begin, period_end=begin + HOUR,
                      scores=scores) for subject, method, scores in found]  # fmt: skip


def _fleet(run: Run) -> str:
    return f"fleet {run.fleet_name}"


def _scored_until(run: Run) -> datetime | None:
    found = run.store.scorecards(flow=FLOW, subject=_fleet(run), limit=1)
    return found[0].period_end if found else None


def _carried(run: Run) -> dict[str, dict[str, float]]:
    """By pool, what the newest scored hour carries on (`scoring.Live`)."""
    until = _scored_until(run)
    if until is None:
        return {}
    return {card.subject: card.scores
            for card in run.store.scorecards(flow=FLOW, method="live", period_end=until, limit=None)}  # fmt: skip


def _span(run: Run, files: SeriesStore, rows: Sequence[Decision], start: datetime, end: datetime) -> Span:
    """The pools of the inventory that were decided on, their demand and their passes."""
    seen = {row.subject for row in rows}
    pools = {pool_id(cluster.name, pool.name): pool for cluster, pool in run.fleet.pools()}
    names = tuple(name for name in pools if name in seen)
    passes = [(as_of, list(group)) for as_of, group in groupby(rows, key=lambda row: row.as_of)]
    row_of = {name: row for row, name in enumerate(names)}
    table = np.full((7, len(names), len(passes)), np.nan)
    for column, (_, group) in enumerate(passes):
        for decision in group:
            if decision.subject in row_of:
                table[:, row_of[decision.subject], column] = _numbers(decision)
    table = np.where(table[6] == 1, np.nan, table[:6])
    demand = read_pool_demand(files, run.fleet.name, names, end, 1)
    sizes = {f"{name}/cpu_cores": float(pools[name].node_cpu) for name in names}
    sizes |= {f"{name}/memory_bytes": float(pools[name].node_memory) for name in names}
    return Span(
        unique_id=names,
        start_s=int(start.timestamp()),
        load=_load(demand, names, sizes, int(start.timestamp()), int(end.timestamp())),
        at_min=np.array([(as_of - start).total_seconds() // 60 for as_of, _ in passes], np.int64),
        desired=table[0], ready=table[1], want=table[2], acted_to=table[3], low=table[4], high=table[5],
        boot_min=np.array([-(-pools[name].boot_s // 60) for name in names], np.int64),
    )  # fmt: skip


def _numbers(decision: Decision) -> tuple[float, ...]:
    """Of one decision: sizes as seen, wanted and asked for, bounds, and whether its cluster did not answer."""
    content = decision.content
    acted = content["target"] if decision.state == Verdict.ACTED else np.nan
    lost = any(reason["code"] == "unreachable" for reason in content["reasons"])
    return (content["current"], content["ready"], content["want"], acted, content["min_nodes"], content["max_nodes"],
            float(lost))  # fmt: skip


def _load(demand: Series, names: Sequence[str], sizes: Mapping[str, float], start_s: int, end_s: int) -> Float:
    """(P, M) demand by the minute in nodes at 100 %, linear between samples, of the resource that needs most."""
    minutes = np.arange(start_s, end_s, 60)
    place = (minutes - demand.start_s) / demand.step_s
    left = np.clip(np.floor(place).astype(np.int64), 0, demand.values.shape[1] - 1)
    right = np.clip(left + 1, 0, demand.values.shape[1] - 1)
    share = place - left
    known = demand.values.astype(np.float64)
    nodes = np.where(share == 0, known[:, left], known[:, left] * (1 - share) + known[:, right] * share)
    nodes = nodes / np.array([sizes[name] for name in demand.unique_id])[:, None]
    row_of = {name: row for row, name in enumerate(demand.unique_id)}
    both = [nodes[[row_of[f"{name}/{kind}"] for name in names]] for kind in ("cpu_cores", "memory_bytes")]
    return np.asarray(np.fmax(*both))


def _asked(row: Decision, span: Span, place: Mapping[str, int]) -> dict[str, Any]:
    """What the scoring of one decision needs of it."""
    return {
        "pool": place[row.subject], "minute": (row.as_of.timestamp() - span.start_s) // 60,
        "acted": row.state == Verdict.ACTED, "current": row.content["current"], **row.promised,
    }  # fmt: skip


def _policy(rows: Sequence[Decision]) -> Policy:
    """The policy of the newest of the decisions."""
    return POLICIES.get(rows[-1].content["policy"], POLICIES["predictive"]) if rows else POLICIES["predictive"]


def gated(run: Run, decisions: ScalingDecisions, days: int) -> ScalingDecisions:
    """The decisions with the gate's reasons on the changes of pools that have not earned it; 0 days: no gate."""
    if not days:
        return decisions
    changing = [name for name, action in zip(decisions.unique_id, decisions.action, strict=True)
                if action in CHANGES]  # fmt: skip
    sums = totals(run, decisions.as_of - timedelta(days=days), ("ours", "live"), changing)
    ours, live = ({name: found for (name, method), found in sums.items() if method == wanted}
                  for wanted in ("ours", "live"))  # fmt: skip
    return gate(decisions, ours, live, days)


def totals(
    run: Run, since: datetime, methods: Sequence[str], subjects: Sequence[str] | None = None
) -> dict[tuple[str, str], Totals]:
    """Sums since a time by (pool, method)."""
    sums = run.store.score_sums(FLOW, SUMS, since, methods=methods, subjects=subjects)
    return {key: Totals(**found) for key, found in sums.items()}
