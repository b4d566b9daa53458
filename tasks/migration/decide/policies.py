"""When a workload moves: named policies, from never to smoothed, looking ahead, and capped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """One rule.

    Attributes
    ----------
    moves: False: nothing ever moves. greedy: always to what costs least now, whatever it costs to get there.
    alpha: weight of the newest measurement in the smoothed one (EWMA); 1: raw.
    latency_gain, cost_gain, error_limit: what triggers, 0-1: the seed's "20 % or 15 % or 5 % errors".
    least_gain: of the whole objective, 0-1, without which nothing moves.
    horizon_s: for how long a better place is taken to stay better. overhead: of the benefit that a move may cost.
    cooldown_s: after a move, until the next of the same workload.
    no_return_s: after a move, until the workload may go back to where it came from, unless its place fails.
    cap: share of all workloads that move in one pass; above 0, one at least.
    ahead: whether yesterday's course, or a forecast, is looked at for what comes within the horizon.
    failback_s: for how long a place must have been well before those who fled from it go back.
    """

    moves: bool = True
    greedy: bool = False
    alpha: float = 1.0
    latency_gain: float = 0.20
    cost_gain: float = 0.15
    error_limit: float = 0.05
    least_gain: float = 0.0
    horizon_s: float = 4 * 3600.0
    overhead: float = 0.5
    cooldown_s: float = 0.0
    no_return_s: float = 0.0
    cap: float = 1.0
    ahead: bool = False
    failback_s: float = 2 * 3600.0


POLICIES: Mapping[str, Policy] = {
    "never": Policy(moves=False),
    "always-best": Policy(greedy=True),
    "seed-raw": Policy(),
    "seed-smoothed": Policy(alpha=0.2),
    "default": Policy(alpha=0.25, latency_gain=0.0, cost_gain=0.0, least_gain=0.05, overhead=0.3, cooldown_s=2 * 3600.0,
                      no_return_s=6 * 3600.0, cap=0.05, ahead=True),
}  # fmt: skip
