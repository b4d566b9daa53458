"""Keep score of moves: what each promised against what it brought, beside staying, from what was measured since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.errors import ContinuumError
from blocks.fleet import Cluster
from blocks.series import utc
from blocks.store.records import Decided
from blocks.store.tables import Outcome, Verdict
from tasks.forecasting.observe import source_time_s
from tasks.migration.decide.scoring import Course, score_move
from tasks.migration.decide.terms import mean_latency
from tasks.migration.measured import SLOT, Measured, Queries, key_of, read_slots
from tasks.migration.observe import CARBON_USD_PER_G
from tasks.migration.places import prices_of, rtt_of
from tasks.run import Run

FLOW = "workload-migration"  # whose decisions are scored
LATE = timedelta(minutes=10)  # measurements come in with the next scrapes
LOOK_BACK = timedelta(days=7)  # a move that nobody scored for longer stays unscored
PLACE = ("source", "target")


@dataclass(frozen=True)
class ScoredMove:
    """A move that was made, with what it brought; None where its time is not over yet."""

    decision: Decided
    outcome: Outcome | None


@dataclass(frozen=True)
class Scored:
    """Moves of the last days, oldest first; how many this run has scored; a line for each query in trouble."""

    as_of: datetime
    moves: tuple[ScoredMove, ...]
    new: int
    trouble: tuple[str, ...]


@task(name="score moves", cache_policy=NO_CACHE, persist_result=False)
def score_due(run: Run, days: int) -> Scored:
    """Score every move whose horizon has passed and that was not scored yet; one that was taken back is not scored.

    Raises
    ------
    ContinuumError: the metrics' clock cannot be read.
    """
    as_of = utc(source_time_s(run.fleet))
    since = as_of - max(timedelta(days=days), LOOK_BACK)
    every = list(run.store.decided(FLOW, since, as_of, action="move", states=(Verdict.ACTED, Verdict.UNDONE),
                                   fleet=run.fleet_name))  # fmt: skip
    ends = _ends(every)
    kept = [row for row in every if row.state == Verdict.ACTED and "terms" in row.content]
    known = run.store.outcomes([row.id for row in kept])
    due = [row for row in kept if row.id not in known and ends[row.id] + LATE <= as_of]
    trouble, new = list[str](), list[Outcome]()
    for (begin, queries), rows in groupby(due, key=_alike):
        new += _score(run, begin, Queries(**json.loads(queries)), list(rows), ends, trouble)
    run.store.save_outcomes(new)
    known |= {each.decision_id: each for each in new}
    moves = [ScoredMove(row, known.get(row.id)) for row in kept if row.as_of >= as_of - timedelta(days=days)]
    return Scored(as_of, tuple(moves), len(new), tuple(trouble))


def _ends(every: Iterable[Decided]) -> dict[str, datetime]:
    """When each move's time is over: its horizon, or the next move of the same workload."""
    ends: dict[str, datetime] = {}
    last: dict[str, str] = {}
    for row in every:
        key = row.content["workload"]
        if key in last:
            ends[last[key]] = min(ends[last[key]], row.as_of)
        horizon_s = (row.content.get("terms") or {}).get("horizon_s", 0.0)
        ends[row.id], last[key] = row.as_of + timedelta(seconds=horizon_s), row.id
    return ends


def _alike(row: Decided) -> tuple[datetime, str]:
    """Moves of one pass are scored by the same slots of the same queries."""
    return row.as_of, json.dumps(row.content["terms"]["queries"], sort_keys=True)


def _score(
    run: Run, begin: datetime, queries: Queries, rows: list[Decided], ends: Mapping[str, datetime], trouble: list[str]
) -> list[Outcome]:
    slots = _slots(run, queries, begin, max(ends[row.id] for row in rows), trouble)
    clusters = {cluster.name: cluster for cluster in run.fleet.clusters}
    found = []
    for row in rows:
        places = [clusters.get(row.content[name]) for name in PLACE]
        if None in places or len(row.content["terms"]["rates"]) != len(run.fleet.sites):
            continue  # the inventory has changed: nothing can be said of it
        within = [each for at, each in slots if at <= ends[row.id]]
        found.append(_outcome(run, row, [each for each in places if each], within, begin, ends[row.id]))
    return found


def _slots(
    run: Run, queries: Queries, begin: datetime, end: datetime, trouble: list[str]
) -> list[tuple[datetime, Measured]]:
    """What was measured in each slot of (begin, end]; a query that fails has nothing, and is told."""
    step = int(SLOT.total_seconds())
    times = np.arange((int(begin.timestamp()) // step + 1) * step, int(end.timestamp()) + 1, step)
    tables: list[dict[str, dict[str, float]]] = [{} for _ in times]
    for name, query in queries.model_dump().items():
        if not query or name == "demand_rps":
            continue
        for table in tables:
            table[name] = {}
        try:
            series = read_slots(run.fleet, query, name, begin, end)
        except ContinuumError as error:
            trouble.append(f"{name} is not measured: {error}")
            continue
        for column, at in enumerate(series.start_s + series.step_s * np.arange(series.values.shape[1])):
            values = zip(series.unique_id, series.values[:, column].tolist(), strict=True)
            tables[int((at - times[0]) // step)][name] = {key: value for key, value in values if value >= 0}
    return [(utc(float(at)), Measured(table)) for at, table in zip(times, tables, strict=True)]


def _outcome(
    run: Run, row: Decided, places: list[Cluster], slots: list[Measured], begin: datetime,
    end: datetime,
) -> Outcome:  # fmt: skip
    terms = row.content["terms"]
    stay, there = _courses(run, row, places, slots, begin)
    happened, stayed = score_move(
        there, stay, usual_ms=terms["usual_ms"] or 1.0, usual_usd=terms["usual_usd"],
        carbon_usd_per_g=CARBON_USD_PER_G, slot_s=SLOT.total_seconds(),
    )  # fmt: skip
    return Outcome(decision_id=row.id, measured_at=end, happened=happened, baselines={"stay": stayed})


def _courses(
    run: Run, row: Decided, places: list[Cluster], slots: list[Measured], begin: datetime
) -> tuple[Course, Course]:
    """Of staying and of the target. Whoever fled would have gone on failing; nobody can measure that any more."""
    terms = row.content["terms"]
    rates, cores = np.array([terms["rates"]]), terms["cores"]
    namespace, name = row.content["workload"].split("/")
    table = np.full((4, 2, len(slots)), np.nan)
    for number, seen in enumerate(slots):
        table[0, :, number] = mean_latency(rates, rtt_of(run.fleet, places, seen))[0]
        usd, grams = prices_of(run.fleet, places, seen, begin + SLOT * (number + 1))
        table[1:3, :, number] = cores * np.array([usd, grams])
        labels = {"namespace": namespace, "workload": name, "cluster": row.content["target"]}
        table[3, 1, number] = (seen.of("error_ratio") or {}).get(key_of("error_ratio", **labels), np.nan)
    table[3, 0] = np.where(np.isnan(table[3, 1]), np.nan, terms["error_ratio"])
    return _course(table[:, 0]), _course(table[:, 1])


def _course(table: NDArray[np.float64]) -> Course:
    return Course(*table)
