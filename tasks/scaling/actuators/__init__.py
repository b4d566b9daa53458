"""The actuators that write: one small object each, the same verbs, found by the kind of their intents."""

from __future__ import annotations

from blocks.fleet import Actuator, Fleet
from tasks.scaling.actuators.floor import SetFloor
from tasks.scaling.actuators.headroom import SetHeadroom
from tasks.scaling.actuators.pool import PoolActuator
from tasks.scaling.actuators.size import SetSize
from tasks.scaling.actuators.steering import Steering
from tasks.scaling.actuators.workload import SetWorkloadMinimum
from tasks.scaling.pool_access import open_pool

# Which one carries out a decision; a patch is its owner's to apply.
BY_ACTUATOR: dict[Actuator, type[PoolActuator]] = {
    Actuator.DESIRED: SetSize,
    Actuator.POWER: SetSize,
    Actuator.FLOOR: SetFloor,
    Actuator.HEADROOM: SetHeadroom,
    Actuator.WORKLOAD: SetWorkloadMinimum,
}
BY_KIND: dict[str, type[PoolActuator]] = {found.kind: found for found in BY_ACTUATOR.values()}


def open_actuator(fleet: Fleet, subject: str, kind: str) -> PoolActuator:
    """The actuator of `cluster/pool` that carries out intents of a kind.

    Raises
    ------
    InvalidInput: the inventory has no such pool.
    """
    return BY_KIND[kind](open_pool(fleet, subject))


__all__ = ["BY_ACTUATOR", "BY_KIND", "PoolActuator", "Steering", "open_actuator"]
