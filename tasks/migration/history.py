"""What earlier passes left: when and why each workload moved, where it fled from, and since when that is well again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from blocks.store.tables import Verdict
from tasks.migration.decide.failback import FLED_FROM, Homes, settled, well_for_s
from tasks.migration.movable import Movable
from tasks.run import Run

LOOK_BACK = timedelta(days=30)  # for homes
FLIGHTS = timedelta(days=7)  # in which flights from a home are counted
NOT_READY = timedelta(days=1)  # an older look at a workload's pods says nothing


@dataclass(frozen=True)
class Move:
    """A move that was made, or tried; `flights`: how often the workload has fled from there lately."""

    at: datetime
    source: str
    cause: str
    held: bool
    flights: int = 0

    @property
    def home(self) -> str:
        """Where it fled from; "" where it went of its own accord, or the move was taken back."""
        return self.source if self.held and self.cause in FLED_FROM else ""


@dataclass(frozen=True)
class History:
    """Last moves, and what the pass before recorded, by workload."""

    moves: Mapping[str, Move] = field(default_factory=dict)
    before: Mapping[str, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)

    def seen(self, key: str, name: str) -> float:
        """A number that the pass before recorded of a workload; 0 where there was none."""
        return float(self.before[key][1].get(name) or 0.0) if key in self.before else 0.0


def read_history(run: Run, as_of: datetime) -> History:
    """Decisions of this flow before `as_of`."""
    moves: dict[str, Move] = {}
    flights: dict[tuple[str, str], list[datetime]] = {}
    for row in run.store.decided(run.flow, as_of - LOOK_BACK, as_of, action="move",
                                 states=(Verdict.ACTED, Verdict.UNDONE), fleet=run.fleet_name):  # fmt: skip
        key, source, cause = row.content["workload"], row.content["source"], row.content["reasons"][0]["code"]
        held = row.state == Verdict.ACTED
        if held and cause in FLED_FROM:
            flights.setdefault((key, source), []).append(row.as_of)
        lately = sum(each > as_of - FLIGHTS for each in flights.get((key, source), ()))
        moves[key] = Move(row.as_of, source, cause, held, lately)
    rows = run.store.last_decided(run.flow, as_of, fleet=run.fleet_name)
    before = {row.content["workload"]: (row.as_of, row.content) for row in rows if row.as_of > as_of - NOT_READY}
    return History(moves, before)


def homes_of(
    history: History, workloads: Sequence[Movable], clusters: Sequence[str], well: Collection[str], as_of: datetime,
    window_s: float,
) -> tuple[Homes, list[float]]:  # fmt: skip
    """Where each workload fled from, and for how many seconds that has been well (negative: it is not).

    well: clusters in which nothing is known to be wrong.
    """
    homes, flights, since = [], [], []
    for each in workloads:
        move = history.moves.get(each.key)
        home = move.home if move else ""
        homes.append(clusters.index(home) if home in clusters else -1)
        flights.append(move.flights if move else 0)
        at, content = history.before.get(each.key, (as_of, {}))
        same = content.get("home") == home
        before_s = float(content["home_well_s"]) if same and content.get("home_well_s") is not None else -1.0
        since.append(well_for_s(before_s, (as_of - at).total_seconds(), home in well))
    site = np.array(homes, np.int64)
    long_enough = settled(np.array(since), np.array(flights, np.int64), window_s) & (site >= 0)
    preferred = np.array([bool(each.home) and each.home == clusters[at] if at >= 0 else False
                          for each, at in zip(workloads, homes, strict=True)], np.bool_)  # fmt: skip
    return Homes(site, long_enough, preferred), since
