"""Find out by looking who sizes each pool, by what it can be changed, and what that is set to now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blocks.errors import ContinuumError
from blocks.fleet import Actuator, Autoscaler, Fleet
from blocks.store.tables import Hold
from tasks.clusters import side_by_side
from tasks.pools.observe import PoolReading
from tasks.scaling.actuators import BY_ACTUATOR
from tasks.scaling.actuators.headroom import SetHeadroom
from tasks.scaling.actuators.pool import told
from tasks.scaling.actuators.workload import FOR_NODES, SetWorkloadMinimum, scaled_workloads
from tasks.scaling.decide import Actuators, Choice, PoolFacts, choose
from tasks.scaling.pool_access import open_pool

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What a pool's actuator is set to: in nodes, the least it is ever set to, and in its own terms."""

    nodes: int
    least: int
    seen: str


def find_actuators(fleet: Fleet, held: Sequence[Hold], readings: Sequence[PoolReading]) -> tuple[Actuators, list[str]]:
    """The actuators of the pools that were read, in their order, and one line for each wish that cannot be had.

    Only pools that somebody else's autoscaler sizes cost further requests.
    """
    holds = {(hold.subject, hold.kind): hold for hold in held}
    found = side_by_side(lambda reading: _find(fleet, reading, holds), readings)
    lines = [f"pool {r.subject}: {choice.problem}" for r, (choice, _, _) in zip(readings, found, strict=True)
             if choice.problem]  # fmt: skip
    lines += [line for _, _, line in found if line]
    actuators = Actuators(
        kind=tuple(choice.actuator for choice, _, _ in found),
        why=tuple(choice.why for choice, _, _ in found),
        setting_nodes=np.array([setting.nodes for _, setting, _ in found], np.int64),
        least_nodes=np.array([setting.least for _, setting, _ in found], np.int64),
        seen=tuple(setting.seen for _, setting, _ in found),
    )
    return actuators, lines


def _facts_of(reading: PoolReading, workloads: int = 0) -> PoolFacts:
    """What the reading of a pool tells about who sizes it."""
    state, pool = reading.state, reading.pool
    autoscaler = pool.autoscaler
    if reading.karpenter:
        autoscaler = Autoscaler.KARPENTER
    elif state is not None and state.autoscaled and autoscaler is Autoscaler.NONE:
        autoscaler = Autoscaler.CLUSTER_AUTOSCALER
    return PoolFacts(
        provider=reading.cluster.provider,
        hands_off=pool.hands_off or bool(state and state.hands_off),
        tool=(state.owner or "") if state else "",
        autoscaler=autoscaler,
        movable_bounds=bool(state and state.movable_bounds),
        workloads=workloads,
        forced=pool.actuator,
    )


def _find(fleet: Fleet, reading: PoolReading, holds: dict[tuple[str, str], Hold]) -> tuple[Choice, Setting, str]:
    """One pool; a setting that cannot be read is told, and the pool then keeps the size that it has."""
    size = reading.state.desired if reading.state else 0
    as_it_is = Setting(size, size, told({"desired": size}))
    choice = choose(_facts_of(reading))
    try:
        if reading.pool.actuator is Actuator.WORKLOAD and reading.state is not None:
            access = open_pool(fleet, reading.subject)
            mates = scaled_workloads(access.api, access.cluster, access.pool, access.workloads)
            choice = choose(_facts_of(reading, len(mates)))
        if reading.state is None or choice.actuator not in _READ:
            return choice, Setting(size, 0, as_it_is.seen), ""
        kind = BY_ACTUATOR[choice.actuator].kind
        return choice, _READ[choice.actuator](fleet, reading, holds.get((reading.subject, kind))), ""
    except ContinuumError as error:
        logger.warning("%s", error)
        return choice, as_it_is, str(error)


def _floor(fleet: Fleet, reading: PoolReading, hold: Hold | None) -> Setting:
    """The pool's minimum; never lowered below what it was before us, or below the inventory's."""
    del fleet
    state = reading.state
    assert state is not None
    value = {"min_nodes": state.min_nodes}
    before = hold.base["min_nodes"] if hold is not None and hold.value == value else state.min_nodes
    return Setting(state.min_nodes, max(before, reading.pool.min_nodes), told(value))


def _headroom(fleet: Fleet, reading: PoolReading, hold: Hold | None) -> Setting:
    """The nodes that hold work, and those that headroom adds to them."""
    del hold
    actuator = SetHeadroom(open_pool(fleet, reading.subject))
    value, busy = actuator.look().value, actuator.busy()
    return Setting(busy + value["pause_pods"], busy, told(value))


def _workload(fleet: Fleet, reading: PoolReading, hold: Hold | None) -> Setting:
    """The nodes that the minimums were last raised for; the pool's size where they are as people set them."""
    del hold
    actuator = SetWorkloadMinimum(open_pool(fleet, reading.subject))
    size = reading.state.desired if reading.state else 0
    access, value = actuator.access, actuator.look().value
    marks = [each.marks.get(FOR_NODES, "") for each in scaled_workloads(access.api, access.cluster, access.pool,
                                                                        access.workloads)]  # fmt: skip
    held = [int(mark) for mark in marks if mark.isdigit()]
    return Setting(max(held), reading.pool.min_nodes, told(value)) if held else Setting(size, size, told(value))


_READ = {Actuator.FLOOR: _floor, Actuator.HEADROOM: _headroom, Actuator.WORKLOAD: _workload}
