"""What stands around the pools: their pods, schedules, quota; change freezes; what other flows have reserved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from blocks.fleet import Fleet, Provider
from blocks.store.guards import covers
from tasks.pools.observe import PoolReading
from tasks.run import Run
from tasks.scaling.decide.inputs import Bool, Float, Int

SCHEDULE_STEP_S = 300  # a schedule is looked up this often from now until nodes could be Ready


class Around(NamedTuple):
    """Columns of `Pools` and of `Observed`, by their names there; and a line for each freeze in force."""

    pools: dict[str, Any]
    observed: dict[str, Any]
    told: list[str]


def look_around(run: Run, readings: Sequence[PoolReading], as_of: datetime) -> Around:
    """The columns that neither the cloud's size nor the metrics tell.

    Parameters
    ----------
    as_of: the time of the fleet; freezes of the store are in real time, as people set them.
    """
    frozen, growth_only, lines = _freezes(run, readings, as_of)
    pods = [reading.pods for reading in readings]

    def told(name: str, absent: float) -> Float:
        """(P,) a number of the pods of each pool."""
        found = [getattr(each, name) if each else None for each in pods]
        return np.array([absent if value is None else value for value in found], np.float64)

    desired = np.array([reading.state.desired if reading.state else 0 for reading in readings])
    quota = [reading.pool.quota_nodes for reading in readings]
    reserved = run.journal.reserved("nodes", but_not_by=run.flow)
    return Around(
        pools={
            "node_gpus": told("node_gpus", np.inf),
            "node_pods": told("node_pods", np.inf),
            "scheduled_nodes": scheduled(run.fleet, readings, as_of),
        },
        observed={
            "requested": np.array([_requested(reading) for reading in readings], np.float64).reshape(-1, 4),
            "pending_pods": told("pending", 0).astype(np.int64),
            "interrupted_nodes": told("interrupted", 0).astype(np.int64),
            "removable_nodes": _removable(readings, desired),
            "reserved_nodes": np.array([int(np.ceil(reserved.get(r.subject, 0.0))) for r in readings], np.int64),
            "quota_nodes": np.array([10**6 if q is None else q - size for q, size in zip(quota, desired, strict=True)],
                                    np.int64),
            "frozen": frozen,
            "growth_only": growth_only,
        },
        told=lines,
    )  # fmt: skip


def _requested(reading: PoolReading) -> tuple[float, float, float, float]:
    """What `RESOURCES` are requested; NaN where nobody can tell."""
    if reading.pods is None:
        return (np.nan,) * 4
    asked = reading.pods.requested
    return asked.cpu_cores, asked.memory_bytes, asked.gpus, float(reading.pods.pods)


def _removable(readings: Sequence[PoolReading], desired: Int) -> Int:
    """(P,) nodes that may leave; those that the cluster does not show yet carry no pod."""
    found = [_may_leave(reading, size) for reading, size in zip(readings, desired.tolist(), strict=True)]
    return np.array(found, np.int64)


def _may_leave(reading: PoolReading, size: int) -> int:
    """Nodes of one pool; none where its cloud chooses them and one of them must stay: it drains by force in the end."""
    pods, state = reading.pods, reading.state
    if pods is None or not pods.pods:
        return size
    chosen_by_cloud = reading.cluster.provider is not Provider.K3S and state is not None and not state.autoscaled
    return 0 if pods.stuck and chosen_by_cloud else pods.removable


def scheduled(fleet: Fleet, readings: Sequence[PoolReading], as_of: datetime) -> Int:
    """(P,) fewest nodes by the pools' own schedules from now until nodes could be Ready, in their sites' local time."""
    found = []
    for reading in readings:
        zone, most = fleet.site(reading.cluster.site).time_zone, 0
        steps = int(reading.pool.boot_s // SCHEDULE_STEP_S) + 2
        whens = [as_of + timedelta(seconds=min(step * SCHEDULE_STEP_S, reading.pool.boot_s)) for step in range(steps)]
        for entry in reading.pool.schedule:
            if any(entry.holds(when, zone) for when in whens):
                most = max(most, entry.nodes)
        found.append(most)
    return np.array(found, np.int64)


def _freezes(run: Run, readings: Sequence[PoolReading], as_of: datetime) -> tuple[Bool, Bool, list[str]]:
    """(P,) no change at all, (P,) no shrinking, and why: by the calendar of the inventory, and the store's freezes."""
    hard: list[str] = []
    soft: list[str] = []
    lines: list[str] = []
    for stored in run.journal.freezes():
        hard.append(stored.scope)
        why = f" ({stored.reason})" if stored.reason else ""
        lines.append(f"{stored.scope} is frozen{why}. To mend it: continuum thaw '{stored.scope}'")
    for entry in run.fleet.change_freezes:
        if entry.in_force(as_of):
            (soft if entry.growth else hard).append(entry.scope)
            why = f" ({entry.reason})" if entry.reason else ""
            what = "may only grow" if entry.growth else "is not changed"
            lines.append(f"{entry.scope} {what} now, by change_freezes in fleet.yaml{why}")
    frozen, growth_only = (
        np.array([any(covers(scope, reading.subject) for scope in scopes) for reading in readings], np.bool_)
        for scopes in (hard, soft)
    )
    return frozen, growth_only, lines
