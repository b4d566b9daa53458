"""What edges run, what they are to run, and where roll-outs of a model stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.models import Registry
from blocks.store.database import Database
from blocks.store.edges import edges, edges_with
from blocks.store.rollouts import DONE, ROLLED_BACK, rollouts
from blocks.store.tables import Verdict, now
from tasks.rollout.decide import EdgeSeen
from tasks.run import Run

# What an edge's state says of its own labelled rows: "serving; right 93/100; before 95/100".
_RIGHT = re.compile(r"; right (\d{1,5})/(\d{1,5})(?:; before (\d{1,5})/(\d{1,5}))?")


@dataclass(frozen=True)
class View:
    """A version and the edges; `state` is that of its newest roll-out, "" where it had none."""

    as_of: datetime
    model: str
    version: str
    digest: str
    edges: tuple[EdgeSeen, ...]
    state: str
    trouble: tuple[str, ...] = ()


@task(name="observe edges", cache_policy=NO_CACHE, persist_result=False)
def observe_edges(run: Run, model: str, version: str) -> View:
    """The version, verified, and every edge as the hub knows it."""
    registry = Registry.open(run.store)
    wanted = registry.version(model, version)
    registry.manifest(wanted.digest)  # refuses a manifest that was changed, before any edge is told of it
    newest = next((row for row in rollouts(run.store, model) if row.digest == wanted.digest), None)
    state = newest.state if newest else ""
    if newest and state == DONE and run.store.decision(newest.decisions[-1]).state == Verdict.UNDONE:
        state = ROLLED_BACK  # by a person
    at = now()
    return View(at, model, wanted.version, wanted.digest, tuple(seen_edges(run.store, model, at)), state)


def seen_edges(store: Database, model: str, at: datetime) -> list[EdgeSeen]:
    """Every edge, by name."""
    told = edges_with(store, model)
    found = []
    for edge in edges(store):
        row = told.get(edge.name)
        silent = (at - edge.seen_at).total_seconds() if edge.seen_at else None
        said = (row.wanted, row.running, row.failed) if row else ("", "", "")
        found.append(EdgeSeen(edge.name, edge.tier, edge.region, *said, silent, *rights(row.state if row else "")))
    return found


def rights(state: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """(right, rows) that an edge tells of its version and of the one before; (0, 0) where it tells none that can be.

    >>> rights("serving; right 93/100; before 95/100"), rights("serving; right 7/5"), rights("serving")
    (((93, 100), (95, 100)), ((0, 0), (0, 0)), ((0, 0), (0, 0)))
    """
    told = _RIGHT.search(state)
    pairs = [(int(right or 0), int(rows or 0)) for right, rows in (told.group(1, 2), told.group(3, 4))] if told else []
    now, before = pairs or [(0, 0), (0, 0)]
    return (now if now[0] <= now[1] else (0, 0)), (before if before[0] <= before[1] else (0, 0))
