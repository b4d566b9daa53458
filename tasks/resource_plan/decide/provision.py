"""What a plan is held against: amounts over and under the need, and expected minutes in violation."""

from __future__ import annotations

import numpy as np

from tasks.resource_plan.decide.inputs import Float, Int, PlanPools
from tasks.resource_plan.decide.needs import Day, Needs
from tasks.scaling.decide.promise import exceedance

MOMENTS = ("now", "peak", "mean")


def over_and_under(pools: PlanPools, needs: Needs) -> tuple[Float, Float]:
    """(P, R, 3) each: what the present nodes have too much and too little of each resource, in its own unit.

    over = max(current x node - demand / target, 0), under = max(demand / target - current x node, 0); of GPUs and
    storage the requests instead of demand / target. In the first step, in the step of that resource's highest need, and
    as the mean over the day. NaN where the capacity, the forecast or the requests are not known.
    """
    resources, count, steps = needs.nodes.shape
    over, under = np.full((count, resources, 3), np.nan), np.full((count, resources, 3), np.nan)
    for column in range(resources if steps else 0):
        need, size = needs.nodes[column], pools.node_sizes[:, column]
        spare = pools.current[:, None] - need
        for answer, part in ((over, np.maximum(spare, 0.0)), (under, np.maximum(-spare, 0.0))):
            answer[:, column, 0] = part[:, 0] * size
            answer[:, column, 2] = part.mean(axis=1) * size
        lowest = spare.min(axis=1) * size
        over[:, column, 1], under[:, column, 1] = np.maximum(lowest, 0.0), np.maximum(-lowest, 0.0)
    return over, under


def violation_minutes(ready: Int, needs: Needs, day: Day, violation_ratio: float) -> Float:
    """(P,) expected minutes of the day with demand above `violation_ratio` of the Ready nodes (P, H).

    The sum over the steps of P(demand > ratio x nodes) by the forecast's quantiles (`exceedance`), of the resource
    where it is largest: CPU and memory peak together. NaN where no resource has a forecast.
    """
    risk = np.full(ready.shape, np.nan)
    capacity: Float = ready.astype(np.float64) * violation_ratio
    for values in needs.quantiles:
        known = np.flatnonzero(np.isfinite(values[:, :1, :1]).any(axis=(1, 2)))
        if known.size:
            risk[known] = np.fmax(risk[known], exceedance(capacity[known], values[known], day.levels))
    return np.asarray(risk.sum(axis=1) * day.step_s / 60.0) if day.steps else np.full(len(ready), np.nan)
