"""Keep score: what each decision promised against what came, and our sizes against those of the rule that is live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.fleet import NodePool, pool_id
from blocks.series import Series, utc
from blocks.store.records import Decided
from blocks.store.series import SeriesStore
from blocks.store.tables import Outcome, Scorecard, Verdict
from tasks.forecasting.observe import read_pool_demand, source_time_s
from tasks.run import Run
from tasks.scaling.decide import CHANGES, POLICIES, STEERING, ReasonCode, ScalingDecisions, Totals, gate
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
_COLUMNS = ("current", "ready", "want", "target", "min_nodes", "max_nodes")  # of a decision; target where it acted
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
        first = run.store.first_decided(FLOW, until, fleet=run.fleet_name)
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
    pools = {pool_id(cluster.name, pool.name): pool for cluster, pool in run.fleet.pools()}
    seen = _read(run, tuple(pools), start, end, begin)
    span = _span(run, files, pools, seen, start, end)
    before = _carried(run)
    held, set_to = (np.array([before.get(name, {}).get(key, np.nan) for name in span.unique_id])
                    for key in ("held_nodes", "set_nodes"))  # fmt: skip
    scored = score_hour(
        span, list(seen.marked.values()), POLICIES.get(seen.policy, POLICIES["predictive"]), BASELINES, held, set_to,
        hour=(int(SETTLE.total_seconds()) // 60, int((SETTLE + HOUR).total_seconds()) // 60),
    )  # fmt: skip
    run.store.save_outcomes([
        Outcome(decision_id=name, measured_at=end, happened=happened, baselines=baselines)
        for name, (happened, baselines) in zip(seen.marked, scored.outcomes, strict=True)
    ])  # fmt: skip
    run.store.save_scorecards(_cards(run, scored, span, begin))
    return len(seen.marked)


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


@dataclass
class _Seen:
    """What the passes of a span saw, and the decisions of its hour by their ids, as `score_hour` takes them."""

    passes: dict[datetime, Float]
    marked: dict[str, dict[str, Any]]
    policy: str = ""


def _read(run: Run, names: Sequence[str], start: datetime, end: datetime, begin: datetime) -> _Seen:
    """Read the decisions of a span row by row: a large fleet has half a million of them."""
    place, seen = {name: row for row, name in enumerate(names)}, _Seen({}, {})
    for decision in run.store.decided(FLOW, start, end, fleet=run.fleet_name):
        row = place.get(decision.subject)
        if row is None:  # a pool that the inventory has no longer
            continue
        if decision.as_of not in seen.passes:
            seen.passes[decision.as_of] = np.full((len(_COLUMNS), len(names)), np.nan)
        seen.passes[decision.as_of][:, row] = _numbers(decision)
        if begin <= decision.as_of < begin + HOUR:
            seen.policy = decision.content["policy"]
            seen.marked[decision.id] = {
                "pool": row, "minute": (decision.as_of - start).total_seconds() // 60,
                "acted": decision.state == Verdict.ACTED, "current": _size(decision.content), **decision.promised,
            }  # fmt: skip
    return seen


def _numbers(decision: Decided) -> list[float]:
    """Values of `_COLUMNS` and what was acted to; nothing of a pool whose cluster did not answer."""
    content = decision.content
    if any(reason["code"] == ReasonCode.UNREACHABLE for reason in content["reasons"]):
        return [np.nan] * len(_COLUMNS)
    numbers = {name: content[name] for name in _COLUMNS} | {"current": _size(content)}
    if decision.state != Verdict.ACTED or _is_steered(content):
        numbers["target"] = np.nan
    return list(numbers.values())


def _size(content: Mapping[str, Any]) -> int:
    """Nodes that the pool had. Where an autoscaler sizes it, a decision holds its setting (a floor, ...), not its size:
    there the Ready nodes count, and what our setting does is part of the rule that is live.
    """
    return int(content["ready" if _is_steered(content) else "current"])


def _is_steered(content: Mapping[str, Any]) -> bool:
    """Whether an autoscaler sizes the pool; decisions of an older release name no actuator, and set sizes alone."""
    return content.get("actuator") in STEERING


def _span(
    run: Run, files: SeriesStore, pools: Mapping[str, NodePool], seen: _Seen, start: datetime, end: datetime
) -> Span:
    """The pools of the inventory, their demand and their passes."""
    names = tuple(pools)
    table = np.stack(list(seen.passes.values()), axis=2) if seen.passes else np.empty((len(_COLUMNS), len(names), 0))
    demand = read_pool_demand(files, run.fleet.name, names, end, 1)
    sizes = {f"{name}/cpu_cores": float(pool.node_cpu) for name, pool in pools.items()}
    sizes |= {f"{name}/memory_bytes": float(pool.node_memory) for name, pool in pools.items()}
    desired, ready, want, acted_to, low, high = table
    return Span(
        unique_id=names,
        start_s=int(start.timestamp()),
        load=_load(demand, names, sizes, int(start.timestamp()), int(end.timestamp())),
        at_min=np.array([(as_of - start).total_seconds() // 60 for as_of in seen.passes], np.int64),
        desired=desired, ready=ready, want=want, acted_to=acted_to, low=low, high=high,
        boot_min=np.array([-(-pool.boot_s // 60) for pool in pools.values()], np.int64),
    )  # fmt: skip


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
