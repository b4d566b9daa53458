"""How fast replicas may change: stabilization windows and policies (kubernetes: pkg/controller/podautoscaler).

An autoscaler without `behavior` takes the older rules: down after five minutes, up to twice as many or four.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]

DOWN_WINDOW_S = 300.0
"""--horizontal-pod-autoscaler-downscale-stabilization."""
_UP_FACTOR, _UP_MINIMUM = 2.0, 4.0

Reason = tuple[str, str]
"""`reason` and `message` of a condition."""

READY: Reason = ("ReadyForNewScale", "recommended size matches current size")
UP_STABILIZED: Reason = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
DOWN_STABILIZED: Reason = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
WITHIN: Reason = ("DesiredWithinRange", "the desired count is within the acceptable range")
TOO_MANY: Reason = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
TOO_FEW: Reason = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
UP_LIMIT: Reason = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
DOWN_LIMIT: Reason = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


class Recommendation(NamedTuple):
    """Replicas that metrics asked for at a time."""

    replicas: int
    at_s: float


class Change(NamedTuple):
    """Replicas added or taken away at a time."""

    replicas: int
    at_s: float


@dataclass
class History:
    """What one autoscaler remembers: in memory only, as in the real controller."""

    recommendations: list[Recommendation] = field(default_factory=list)
    ups: list[Change] = field(default_factory=list)
    downs: list[Change] = field(default_factory=list)

    def changed(self, behavior: Json | None, before: int, after: int, now_s: float) -> None:
        """Remember a rescale, for as long as a policy looks back."""
        if behavior is None:
            return
        changes, rules = (self.ups, behavior["scaleUp"]) if after > before else (self.downs, behavior["scaleDown"])
        longest = max((policy["periodSeconds"] for policy in rules["policies"]), default=0)
        changes[:] = [*(one for one in changes if one.at_s > now_s - longest), Change(abs(after - before), now_s)]

    def recommended(self, replicas: int, now_s: float, window_s: float) -> None:
        """Remember a recommendation, for as long as a window looks back."""
        kept = (one for one in self.recommendations if one.at_s >= now_s - window_s)
        self.recommendations = [*kept, Recommendation(replicas, now_s)]


class Verdict(NamedTuple):
    """Replicas to have now, the reason of AbleToScale, and whether and why ScalingLimited."""

    replicas: int
    able: Reason
    limited: bool
    why: Reason


class Bounds(NamedTuple):
    """minReplicas and maxReplicas."""

    low: int
    high: int


def decided(
    history: History, behavior: Json | None, present: int, wanted: int, bounds: Bounds, now_s: float
) -> Verdict:
    """What becomes of the `wanted` replicas that metrics ask for; the recommendation is remembered."""
    if behavior is None:
        stable, able = _stabilized_down(history, wanted, now_s)
        replicas, why = _plain_limit(present, stable, bounds)
    else:
        stable, able = _stabilized(history, behavior, present, wanted, now_s)
        replicas, why = _rate_limit(history, behavior, present, stable, bounds, now_s)
    return Verdict(replicas, able if stable != wanted else READY, replicas != stable, why)


def _stabilized_down(history: History, wanted: int, now_s: float) -> tuple[int, Reason]:
    recent = (one.replicas for one in history.recommendations if one.at_s >= now_s - DOWN_WINDOW_S)
    stable = max([wanted, *recent])
    history.recommended(wanted, now_s, DOWN_WINDOW_S)
    return stable, DOWN_STABILIZED


def _plain_limit(present: int, wanted: int, bounds: Bounds) -> tuple[int, Reason]:
    fastest = int(max(_UP_FACTOR * present, _UP_MINIMUM))
    ceiling, reason = (fastest, UP_LIMIT) if bounds.high > fastest else (bounds.high, TOO_MANY)
    if wanted < bounds.low:
        return bounds.low, TOO_FEW
    return (ceiling, reason) if wanted > ceiling else (wanted, WITHIN)


def _stabilized(history: History, behavior: Json, present: int, wanted: int, now_s: float) -> tuple[int, Reason]:
    up_s = behavior["scaleUp"].get("stabilizationWindowSeconds", 0)
    down_s = behavior["scaleDown"].get("stabilizationWindowSeconds", DOWN_WINDOW_S)
    lowest = min((one.replicas for one in history.recommendations if one.at_s > now_s - up_s), default=wanted)
    highest = max((one.replicas for one in history.recommendations if one.at_s > now_s - down_s), default=wanted)
    stable = min(max(present, min(lowest, wanted)), max(highest, wanted))
    history.recommended(wanted, now_s, max(up_s, down_s))
    return stable, UP_STABILIZED if wanted >= present else DOWN_STABILIZED


def _rate_limit(
    history: History, behavior: Json, present: int, wanted: int, bounds: Bounds, now_s: float
) -> tuple[int, Reason]:
    if wanted > present:
        fastest = max(_up_limit(history, behavior["scaleUp"], present, now_s), present)
        ceiling, reason = (fastest, UP_LIMIT) if bounds.high > fastest else (bounds.high, TOO_MANY)
        return (ceiling, reason) if wanted > ceiling else (wanted, WITHIN)
    if wanted < present:
        fastest = min(_down_limit(history, behavior["scaleDown"], present, now_s), present)
        floor, reason = (fastest, DOWN_LIMIT) if bounds.low < fastest else (bounds.low, TOO_FEW)
        return (floor, reason) if wanted < floor else (wanted, WITHIN)
    return wanted, WITHIN


def _up_limit(history: History, rules: Json, present: int, now_s: float) -> int:
    """Most replicas that the policies of scaleUp allow now."""

    def allowed(policy: Json, start: int) -> int:
        if policy["type"] == "Pods":
            return int(start + policy["value"])
        return math.ceil(start * (1 + int(policy["value"]) / 100))  # up, so that one replica can ever become two

    return _chosen(history, rules, present, now_s, allowed, {"Max": max, "Min": min})


def _down_limit(history: History, rules: Json, present: int, now_s: float) -> int:
    """Fewest replicas that the policies of scaleDown allow now; `Min`, the smallest change, is the largest count."""

    def allowed(policy: Json, start: int) -> int:
        if policy["type"] == "Pods":
            return int(start - policy["value"])
        return int(start * (1 - policy["value"] / 100))

    return _chosen(history, rules, present, now_s, allowed, {"Max": min, "Min": max})


def _chosen(
    history: History, rules: Json, present: int, now_s: float, allowed: Callable[[Json, int], int],
    select: dict[str, Callable[[list[int]], int]],
) -> int:  # fmt: skip
    if rules["selectPolicy"] == "Disabled":
        return present
    limits: list[int] = []
    for policy in rules["policies"]:
        since = now_s - policy["periodSeconds"]
        added = sum(one.replicas for one in history.ups if one.at_s > since)
        removed = sum(one.replicas for one in history.downs if one.at_s > since)
        limits.append(allowed(policy, present - added + removed))
    return select[rules["selectPolicy"]](limits)
