"""How many replicas each ReplicaSet of a Deployment should have: pure arithmetic on counts.

As the deployment controller of Kubernetes (NewRSNewReplicas, reconcileOldReplicaSets, scale).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Replicas of one ReplicaSet.

    Parameters
    ----------
    wanted, available: replicas.
    most: replicas and surge of its Deployment when it was last scaled; 0 for unknown.
    created: orders ReplicaSets by age.
    """

    wanted: int
    available: int
    most: int = 0
    created: str = ""


def share(value: Any, of: int, *, up: bool) -> int:
    """A count, or a percentage of a number, rounded as the field demands.

    >>> share("25%", 4, up=True), share("25%", 3, up=False), share(2, 10, up=True)
    (1, 0, 2)
    """
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * of / 100
    return math.ceil(exact) if up else math.floor(exact)


def limits(spec: Json) -> tuple[int, int]:
    """MaxSurge and maxUnavailable in pods; never both 0. Without a rolling update nothing surges or is spared."""
    replicas = spec.get("replicas", 1)
    if dig(spec, "strategy", "type", default="RollingUpdate") != "RollingUpdate":
        return 0, 0
    rolling = dig(spec, "strategy", "rollingUpdate", default={})
    surge = share(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, min(unavailable if surge or unavailable else 1, replicas)


def grown(target: int, surge: int, new: int, old: int) -> int:
    """Replicas of the new ReplicaSet: as many as the surge allows.

    >>> grown(10, 2, 0, 10), grown(10, 2, 5, 6), grown(3, 1, 5, 0)
    (2, 6, 3)
    """
    return min(target, new + max(target + surge - new - old, 0))


def shrunk(target: int, unavailable: int, new: Size, old: Sequence[Size]) -> list[int]:
    """Replicas of the old ReplicaSets, oldest first: first those that do not work go, then as many as may.

    >>> shrunk(4, 1, Size(2, 1), [Size(3, 2)]), shrunk(4, 1, Size(1, 0), [Size(4, 4)])
    ([2], [3])
    """
    floor = target - unavailable
    spare = new.wanted + sum(size.wanted for size in old) - floor - (new.wanted - min(new.available, new.wanted))
    counts = [size.wanted for size in old]
    for index, size in enumerate(old):
        broken = min(max(size.wanted - size.available, 0), max(spare, 0))
        counts[index] -= broken
        spare -= broken
    working = new.available + sum(min(size.available, count) for size, count in zip(old, counts, strict=True))
    surplus = min(working - floor, spare)
    for index, count in enumerate(counts):
        less = min(max(surplus, 0), count)
        counts[index] -= less
        surplus -= less
    return counts


def proportional(target: int, surge: int, sets: Sequence[Size]) -> list[int]:
    """Replicas of each ReplicaSet when a Deployment is scaled in mid-rollout: all grow or shrink alike.

    What rounding leaves over goes to the largest; the newer one of two equals comes first when growing, the older
    one when shrinking.

    >>> proportional(20, 3, [Size(8, 8, 13, "a"), Size(5, 5, 13, "b")])
    [14, 9]
    """
    allowed = target + surge if target > 0 else 0
    missing = allowed - sum(size.wanted for size in sets)
    counts = [size.wanted for size in sets]
    order = sorted(range(len(sets)), key=lambda index: sets[index].created, reverse=missing > 0)
    order.sort(key=lambda index: -sets[index].wanted)
    added = 0
    for index in order:
        step = _fraction(target, surge, sets[index])
        step = min(step, missing - added) if missing > 0 else max(step, missing - added)
        if missing and missing != added and sets[index].wanted:
            counts[index] += step
            added += step
    if order:
        counts[order[0]] = max(counts[order[0]] + missing - added, 0)
    return counts


def _fraction(target: int, surge: int, size: Size) -> int:
    """By how much a ReplicaSet changes that keeps its share of the whole."""
    if target == 0:
        return -size.wanted
    if not size.most:
        return 0
    return math.floor(size.wanted * (target + surge) / size.most + 0.5) - size.wanted
