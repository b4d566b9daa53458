"""Every number that scaling decides by, with its unit, in named sets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from tasks.scaling.decide.inputs import Float

Number = float | Float  # one for all pools, or (P,) one for each


class Rule(StrEnum):
    """How a need in nodes follows from demand; the functions are in `rules.RULES`."""

    HYBRID = "hybrid"
    THRESHOLDS = "thresholds"
    TARGET_TRACKING = "target-tracking"
    SCHEDULE = "schedule"


@dataclass(frozen=True)
class Thresholds:
    """Utilisation limits of the threshold rule, 0-1, one for each of `inputs.RESOURCES`.

    Attributes
    ----------
    up, predicted_up: above any of them the pool grows.
    down, predicted_down: below all of them the pool shrinks.
    inf: the rule does not look at the resource; what is requested must fit all the same.
    """

    up: tuple[float, ...] = (0.70, 0.80, inf, inf)
    predicted_up: tuple[float, ...] = (0.70, 0.80, inf, inf)
    down: tuple[float, ...] = (0.30, 0.40, inf, inf)
    predicted_down: tuple[float, ...] = (0.40, 0.50, inf, inf)


@dataclass(frozen=True)
class Policy:
    """One named set of numbers. Those of type `Number` may differ from pool to pool.

    Attributes
    ----------
    name, rule: name in `POLICIES`; how the need is worked out.
    reactive_target_ratio: utilisation that present demand may reach (the floor under the forecast).
    predictive_target_ratio: utilisation that the forecast peak may reach.
    tolerance_ratio: target tracking leaves a pool alone whose utilisation is within this share of its target.
    quantile: level of the forecast that the peak is read at, between the levels that the forecast has.
    outrun_gain: the peak is raised by so many times the demand that is above the forecast's median now; 0 by nothing.
    decision_s: time from a decision to the next one, added to the boot time: what is not asked for now comes later.
    min_horizon_s: the peak is looked for at least this far ahead.
    down_stabilisation_s: a pool shrinks only to the most that was wanted during this time; 0 switches it off.
    no_down_after_up_s: no scale-down for this long after a scale-up.
    stale_after_s: older usage samples are not believed.
    forecast_stale_after_s: older forecasts are not used.
    not_ready_after_ratio: nodes not Ready after this many boot times are reported as stuck, not as booting.
    max_step_up_ratio, max_step_up_nodes: a pool grows in one pass by the larger of the two at most.
    max_step_down_ratio, max_step_down_nodes: a pool shrinks in one pass by the larger of the two at most.
    disruption_ratio: share of the fleet's Ready nodes that one pass may remove, one node at least; 0 removes none.
    unreachable_limit_ratio: when a larger share of the pools is unreachable, nothing changes anywhere.
    scale_out_only: never shrink.
    lowers_without_forecast: whether a pass that is given no forecast at all may shrink pools.
    zero_is_missing: whether a usage of exactly zero on Ready nodes is taken for a lost metric (kedacore/keda#1850).
    violation_ratio: demand above this share of the Ready nodes counts as a violation.
    promise_horizon_s: time over which a decision promises violation minutes, node-hours and USD.
    proposal_ttl_s: a stored decision that is not approved within this time expires.
    thresholds: limits of the threshold rule.
    """

    name: str
    rule: Rule
    reactive_target_ratio: Number = 0.80
    predictive_target_ratio: Number = 0.90
    tolerance_ratio: float = 0.10
    quantile: Number = 0.90
    outrun_gain: Number = 1.0
    decision_s: float = 300.0
    min_horizon_s: Number = 1500.0
    down_stabilisation_s: Number = 1800.0
    no_down_after_up_s: Number = 600.0
    stale_after_s: float = 600.0
    forecast_stale_after_s: float = 900.0
    not_ready_after_ratio: float = 2.0
    max_step_up_ratio: float = 1.0
    max_step_up_nodes: int = 10
    max_step_down_ratio: float = 0.10
    max_step_down_nodes: int = 1
    disruption_ratio: float = 0.10
    unreachable_limit_ratio: float = 0.20
    scale_out_only: bool = False
    lowers_without_forecast: bool = False
    zero_is_missing: bool = True
    violation_ratio: float = 0.90
    promise_horizon_s: float = 3600.0
    proposal_ttl_s: float = 900.0
    thresholds: Thresholds = Thresholds()


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        # max(present demand, what is requested, forecast peak), shrinking only to what was wanted over half an hour;
        # why these numbers: README.md, "Figures"
        Policy(name="predictive", rule=Rule.HYBRID),
        # the formula of the Horizontal Pod Autoscaler, with its five minutes of stabilisation
        Policy(
            name="target-tracking",
            rule=Rule.TARGET_TRACKING,
            reactive_target_ratio=0.70,
            down_stabilisation_s=300.0,
            no_down_after_up_s=0.0,
            lowers_without_forecast=True,
        ),
        # present demand, and never fewer nodes than the pool's own schedule asks for
        Policy(name="schedule", rule=Rule.SCHEDULE, lowers_without_forecast=True),
        # the plain rule that the project began with: utilisation thresholds on now and on the next 30 min
        Policy(
            name="seed",
            rule=Rule.THRESHOLDS,
            quantile=0.50,
            outrun_gain=0.0,
            min_horizon_s=1800.0,
            down_stabilisation_s=0.0,
            no_down_after_up_s=0.0,
            lowers_without_forecast=True,
        ),
    )
}
