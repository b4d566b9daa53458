"""The settings of each policy that a replay tries, how one is chosen, and what stands on the frontier."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tasks.scaling.decide.policies import POLICIES, Policy

Setting = dict[str, float]
Floats = NDArray[np.float64]
MINUTE_S = 60.0

# Policies whose numbers are tried, about 40 settings each; every other one is played as it is. decision_s: a replay
# decides every minute.
SETTINGS: dict[str, tuple[Setting, ...]] = {
    # A tolerance of 0 wins nearly everywhere (kube-controller-manager's default is 0.1, settable since 1.33).
    "target-tracking": tuple(
        {"reactive_target_ratio": target, "down_stabilisation_s": window * MINUTE_S, "tolerance_ratio": 0.0}
        for target, window in product((0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90), (5, 15, 30, 60))
    ),
    "predictive": tuple(
        {"quantile": quantile, "predictive_target_ratio": target, "reactive_target_ratio": floor, "outrun_gain": gain,
         "down_stabilisation_s": window * MINUTE_S, "min_horizon_s": horizon * MINUTE_S, "decision_s": MINUTE_S}
        for quantile, target, floor, gain, window, horizon in (
            *product((0.50, 0.70, 0.80, 0.90, 0.95), (0.90,), (0.85,), (2.0,), (5, 30), (10, 25)),
            *product((0.70, 0.90, 0.95, 0.975), (0.90,), (0.85,), (1.0,), (30,), (25,)),
            *product((0.90, 0.975), (0.70, 0.80), (0.80,), (1.0,), (30,), (25,)),
            # nearly target tracking, for demand that nothing foretells
            *product((0.50,), (1.00,), (0.60, 0.65, 0.70, 0.75, 0.80, 0.85), (0.0,), (30, 60), (10,)),
        )
    ),
    # nodes by the hour of the day: this quantile of what the hour has seen, at this target, above a reactive floor
    "schedule": tuple(
        {"quantile": quantile, "predictive_target_ratio": target, "reactive_target_ratio": floor}
        for quantile, target, floor in product((0.50, 0.75, 0.90, 0.95, 1.00), (0.60, 0.70, 0.80, 0.90), (0.70, 0.85))
    ),
}  # fmt: skip


def settings_of(policy: str) -> tuple[Setting, ...]:
    """The settings that are tried; one, with nothing changed, for a policy with fixed numbers."""
    return SETTINGS.get(policy, ({},))


def side_by_side(policy: str, settings: tuple[Setting, ...], count: int) -> Policy:
    """One policy for `count` series x K settings, series by series: the k-th pool of each plays setting k."""
    columns = {name: np.tile([setting[name] for setting in settings], count) for name in settings[0]}
    return replace(POLICIES[policy], **columns)  # type: ignore[arg-type]


def chosen(node_hours: Floats, violations: Floats, budget: float) -> int:
    """The setting with fewest violations among those within the budget of node-hours; the thriftiest if none is.

    Parameters
    ----------
    node_hours, violations: (K,) of the settings, on the part of the time that the choice may see.
    """
    within = np.flatnonzero(node_hours <= budget * (1 + 1e-9))
    if not within.size:
        return int(np.lexsort((violations, node_hours))[0])
    return int(within[np.lexsort((node_hours[within], violations[within]))[0]])


def frontier(node_hours: Floats, violations: Floats) -> list[int]:
    """Settings that no other one beats in both, by ascending node-hours."""
    best, found = np.inf, []
    for place in np.lexsort((violations, node_hours)).tolist():
        if violations[place] < best:
            best = violations[place]
            found.append(place)
    return found
