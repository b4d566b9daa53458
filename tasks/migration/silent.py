"""Workloads whose cluster does not answer: what was last seen of them, and for how long it has been silent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from blocks.errors import ContinuumError, NotFound
from blocks.store.tables import Decision, State
from tasks.migration.decide.failback import well_for_s
from tasks.migration.history import History
from tasks.migration.movable import Movable
from tasks.migration.moves import KIND, SILENT, MovePlan, look_at
from tasks.migration.moves.step import Clusters
from tasks.run import Run

SPARES = "workload-spares"  # under which name the store keeps them, as decisions of no run


@dataclass(frozen=True)
class Silent:
    """A workload in a cluster that does not answer, as it was last seen, and seconds in which nobody had an answer."""

    workload: Movable
    spare: MovePlan
    for_s: float


def keep_spares(
    run: Run, clusters: Clusters, workloads: Sequence[Movable], at: Sequence[str], as_of: datetime
) -> list[str]:
    """Write down what it takes to start anew the workloads that ask for it, where that has changed; what cannot be.

    at: the cluster of each.
    """
    trouble, before = [], _last(run)
    for each, cluster in zip(workloads, at, strict=True):
        if each.restart_after_min is None:
            continue
        try:
            spare = look_at(clusters(cluster), each.namespace, each.name, target="", cause=SILENT)
        except ContinuumError as error:
            trouble.append(f"{error}; if its cluster falls silent, it is not started elsewhere")
            continue
        if before.get(each.key) != spare:
            row = Decision(flow_run_id=SPARES, flow=SPARES, fleet=run.fleet_name, subject=spare.subject, action="keep",
                           as_of=as_of, content=spare.payload())  # fmt: skip
            run.store.record_decisions([row])
    return trouble


def silent_workloads(
    run: Run, history: History, workloads: Sequence[Movable], silent: Collection[str], as_of: datetime
) -> list[Silent]:
    """Those of `workloads` that were last seen in a silent cluster, and ask to be started elsewhere."""
    wanted = [each for each in workloads if each.restart_after_min is not None]
    spares = _last(run) if wanted else {}
    found = []
    for each in wanted:
        spare = spares.get(each.key)
        if spare is not None and spare.source in silent:
            at, content = history.before.get(each.key, (as_of, {}))
            before_s = float(content.get("silent_s", -1)) if content.get("source") == spare.source else -1.0
            found.append(Silent(each, spare, well_for_s(before_s, (as_of - at).total_seconds(), True)))
    return found


def spare_of(run: Run, key: str) -> MovePlan:
    """What was last seen of a workload, by `namespace/name`. NotFound: nothing was."""
    if key not in (spares := _last(run)):
        raise NotFound("nothing was written down of it", where=f"workload {key}", fix="start it by hand")
    return spares[key]


def started_from_afar(run: Run) -> dict[str, str]:
    """Cluster that is waited for, by `namespace/name` of workloads that were started elsewhere meanwhile."""
    moves = [MovePlan.of(each.do) for each in run.journal.intents(state=State.STARTED) if each.kind == KIND]
    return {f"{each.namespace}/{each.name}": each.source for each in moves if each.cause == SILENT}


def _last(run: Run) -> dict[str, MovePlan]:
    """The newest spare of each workload."""
    plans = (
        MovePlan.of(row.content) for row in reversed(run.store.decisions(flow=SPARES, fleet=run.fleet_name, limit=None))
    )
    return {f"{each.namespace}/{each.name}": each for each in plans}
