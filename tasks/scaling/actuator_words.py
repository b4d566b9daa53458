"""The words for actuators: what each of them sets, and why a pool has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blocks.fleet import Actuator
from tasks.scaling.decide import Why

# What stands before "6 -> 9 nodes".
SETTINGS: dict[Actuator, str] = {
    Actuator.DESIRED: "desired",
    Actuator.FLOOR: "floor",
    Actuator.HEADROOM: "pods and headroom",
    Actuator.WORKLOAD: "workload minimum for",
    Actuator.POWER: "powered",
    Actuator.PATCH: "desired",
}

WHYS: dict[Why, str] = {
    Why.NOBODY_ELSE: "nobody else sizes it",
    Why.EDGE_NODES: "edge nodes are closed and opened",
    Why.BOUNDS_MOVE: "an autoscaler sizes it, within bounds that may be moved",
    Why.BOUNDS_FIXED: "an autoscaler sizes it, and its bounds cannot be moved",
    Why.KARPENTER: "Karpenter sizes it",
    Why.HANDS_OFF: "it is marked hands-off",
    Why.OWNED: "somebody else writes it",
    Why.FLEET_FILE: "the inventory says so",
}


def actuator_of(record: Mapping[str, Any]) -> Actuator:
    """The actuator of a stored decision; one from before there were several is the size itself."""
    return Actuator(record.get("actuator", Actuator.DESIRED))


def told_actuator(record: Mapping[str, Any]) -> str:
    """The actuator and why, in a few words.

    >>> told_actuator({"actuator": "headroom", "actuator_why": "karpenter"})
    'headroom (Karpenter sizes it)'
    """
    why = record.get("actuator_why")
    return str(actuator_of(record)) + (f" ({WHYS[Why(why)]})" if why else "")
