"""By what a pool's size is changed: chosen for each pool from what was found by looking. Nothing here looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blocks.fleet import Actuator, Autoscaler, Provider

# Actuators that move a setting of somebody else's autoscaler; they remove no node themselves.
STEERING = (Actuator.FLOOR, Actuator.HEADROOM, Actuator.WORKLOAD)


class Why(StrEnum):
    """Why a pool has its actuator; the words are in `tasks/scaling/reason_words.py`."""

    NOBODY_ELSE = "nobody-else"
    EDGE_NODES = "edge-nodes"
    BOUNDS_MOVE = "bounds-move"
    BOUNDS_FIXED = "bounds-fixed"
    KARPENTER = "karpenter"
    HANDS_OFF = "hands-off"
    OWNED = "owned"
    FLEET_FILE = "fleet-file"


@dataclass(frozen=True)
class PoolFacts:
    """What was found about who sizes a pool.

    Attributes
    ----------
    hands_off: marked so in the inventory, on the pool or on one of its nodes.
    tool: what else writes the pool's own definition (`argo-cd`, `flux`), "" nothing.
    autoscaler: what sets its size inside the cluster.
    movable_bounds: its API keeps bounds that the autoscaler goes by, and lets them be moved.
    workloads: workloads that the inventory names for the pool and that an autoscaler of pods scales.
    forced: what the inventory asks for, None nothing.
    """

    provider: Provider
    hands_off: bool = False
    tool: str = ""
    autoscaler: Autoscaler = Autoscaler.NONE
    movable_bounds: bool = False
    workloads: int = 0
    forced: Actuator | None = None


class Choice(NamedTuple):
    """The actuator, why it is that one, and why the inventory's wish cannot be had ("" where it can)."""

    actuator: Actuator
    why: Why
    problem: str = ""


def choose(facts: PoolFacts) -> Choice:
    """The actuator of one pool. A pool that is hands-off or in another tool's hands is never written, wish or not.

    >>> choose(PoolFacts(Provider.EKS, autoscaler=Autoscaler.KARPENTER)).actuator
    <Actuator.HEADROOM: 'headroom'>
    """
    found = next(Choice(actuator, why) for applies, actuator, why in FOUND if applies(facts))
    wish = facts.forced
    if wish is None or wish is found.actuator:
        return found
    problem = next((words for stops, words in OBSTACLES[wish] if stops(facts)), "")
    return _impossible(found, wish, problem) if problem else Choice(wish, Why.FLEET_FILE)


def _impossible(found: Choice, wish: Actuator, problem: str) -> Choice:
    """The choice by looking, with one line about the wish that cannot be had."""
    return found._replace(problem=f"actuator `{wish}` is not possible here: {problem}; it is `{found.actuator}`")


Test = Callable[[PoolFacts], bool]

# In order; the first that applies.
FOUND: tuple[tuple[Test, Actuator, Why], ...] = (
    (lambda pool: pool.hands_off, Actuator.PATCH, Why.HANDS_OFF),
    (lambda pool: pool.tool != "", Actuator.PATCH, Why.OWNED),
    (lambda pool: pool.autoscaler is Autoscaler.KARPENTER, Actuator.HEADROOM, Why.KARPENTER),
    (lambda pool: pool.autoscaler is not Autoscaler.NONE and pool.movable_bounds, Actuator.FLOOR, Why.BOUNDS_MOVE),
    (lambda pool: pool.autoscaler is not Autoscaler.NONE, Actuator.HEADROOM, Why.BOUNDS_FIXED),
    (lambda pool: pool.provider is Provider.K3S, Actuator.POWER, Why.EDGE_NODES),
    (lambda pool: pool.autoscaler is Autoscaler.NONE, Actuator.DESIRED, Why.NOBODY_ELSE),
)

_THEIRS: tuple[tuple[Test, str], ...] = (
    (lambda pool: pool.hands_off, "the pool is marked hands-off"),
    (lambda pool: pool.tool != "", "another tool writes the pool"),
)
_SIZED: tuple[Test, str] = (lambda pool: pool.autoscaler is not Autoscaler.NONE, "an autoscaler sets its size")
_UNSIZED: tuple[Test, str] = (lambda pool: pool.autoscaler is Autoscaler.NONE, "no autoscaler would follow it")

# For each wish, what makes it impossible.
OBSTACLES: dict[Actuator, tuple[tuple[Test, str], ...]] = {
    Actuator.DESIRED: (
        *_THEIRS, _SIZED, (lambda pool: pool.provider is Provider.K3S, "edge nodes are switched by `power`"),
    ),
    Actuator.POWER: (*_THEIRS, _SIZED, (lambda pool: pool.provider is not Provider.K3S, "its nodes are a cloud's")),
    Actuator.FLOOR: (*_THEIRS, _UNSIZED, (lambda pool: not pool.movable_bounds, "its bounds cannot be moved")),
    Actuator.HEADROOM: (*_THEIRS, _UNSIZED),
    Actuator.WORKLOAD: (
        *_THEIRS, (lambda pool: pool.workloads == 0, "no workload with an HPA or a ScaledObject is named for the pool"),
    ),
    Actuator.PATCH: (),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Actuators:
    """The actuators of P pools, in the order of `Pools.unique_id`.

    Attributes
    ----------
    kind, why: P actuators and why.
    setting_nodes: (P,) of those that steer an autoscaler: what it is set to now, counted in nodes of the pool (the
        floor, the nodes that pods and headroom hold together). Of the others the size is the setting.
    least_nodes: (P,) it is never set lower: what was there before us.
    seen: P settings in the actuator's own terms; whoever acts refuses when it has become another one.
    """

    kind: tuple[Actuator, ...]
    why: tuple[Why, ...]
    setting_nodes: NDArray[np.int64]
    least_nodes: NDArray[np.int64]
    seen: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.kind)

    def of(self, *kinds: Actuator) -> NDArray[np.bool_]:
        """(P,) whether a pool's actuator is one of these."""
        return np.array([kind in kinds for kind in self.kind], dtype=np.bool_)


def plain_actuators(theirs: NDArray[np.bool_]) -> Actuators:
    """Actuators where nobody looked: the size itself; a patch for pools that are hands-off or sized by somebody else.

    theirs: (P,) which those are. Their settings are the sizes that are observed, and are not repeated here.
    """
    kinds = tuple(Actuator.PATCH if each else Actuator.DESIRED for each in theirs.tolist())
    whys = tuple(Why.OWNED if each else Why.NOBODY_ELSE for each in theirs.tolist())
    unused = np.zeros(len(kinds), np.int64)
    return Actuators(kinds, whys, unused, unused, ("",) * len(kinds))
