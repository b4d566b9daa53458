"""From demand to a raw need in nodes: one function a rule. Guards come afterwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.reasons import ReasonLog
from tasks.scaling.decide.inputs import MEASURED, NODES_LIMIT, RESOURCES, Bool, Float, Int, Observed
from tasks.scaling.decide.needs import Needs, each_resource, whole_nodes
from tasks.scaling.decide.policies import Policy, Rule
from tasks.scaling.decide.reasons import ReasonCode

RuleFunction = Callable[[Observed, Needs, Policy, ReasonLog], Int]


def hybrid(observed: Observed, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """Present demand, what is requested, or the forecast peak, whichever needs most nodes.

    want = max over resources of ceil(used / (node * reactive_target)), ceil(requested / node) and
    ceil(peak / (node * predictive_target)). A resource that is not known needs no nodes, so it neither raises nor,
    thanks to the guards, lowers.
    Returns (P,) nodes; logs all sides with their binding resource, the larger of use and forecast first.
    Method: measured in replays against tuned reactive autoscalers; Autopilot (EuroSys'20) sizes by quantiles too.
    """
    reactive = needs.used_nodes / each_resource(policy.reactive_target_ratio)
    predicted = needs.peak_nodes / each_resource(policy.predictive_target_ratio)
    now, later = whole_nodes(_most(reactive)), whole_nodes(_most(predicted))
    _log_peak(needs, predicted, later > now, policy, log)
    _log_reactive(needs, reactive, np.ones(now.shape, np.bool_), policy, log)
    _log_peak(needs, predicted, later <= now, policy, log)
    return _and_requested(observed, needs, np.maximum(now, later), log)


def _target_tracking(observed: Observed, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """The Horizontal Pod Autoscaler's formula on nodes: ceil(nodes * utilisation / target), left alone near the target.

    Utilisation is over the nodes asked for, so nodes still booting are not bought twice. Within `tolerance_ratio` of
    the target nothing changes. Its stabilisation is the guard's.
    Returns (P,) nodes.
    Source: Kubernetes, Horizontal Pod Autoscaling, "Algorithm details" (default tolerance 0.1).
    """
    current = observed.desired
    reactive = needs.used_nodes / each_resource(policy.reactive_target_ratio)
    need = _most(reactive)
    near = np.abs(need / np.where(current > 0, current, np.nan) - 1) <= policy.tolerance_ratio
    _log_reactive(needs, reactive, ~near, policy, log)
    log.add(
        ReasonCode.ON_TARGET,
        near,
        highest_utilisation_ratio=_most(_utilisation(needs.used_nodes, current)),
        target_ratio=policy.reactive_target_ratio,
    )
    return _and_requested(observed, needs, np.where(near, current, whole_nodes(need)), log)


def schedule(observed: Observed, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """Present demand only; what the pool's schedule asks for is the least that a guard lets it have.

    Returns (P,) nodes.
    """
    reactive = needs.used_nodes / each_resource(policy.reactive_target_ratio)
    need = _most(reactive)
    _log_reactive(needs, reactive, np.ones(need.shape, np.bool_), policy, log)
    return _and_requested(observed, needs, whole_nodes(need), log)


def thresholds(observed: Observed, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """Up if any utilisation, present or predicted, is above its limit; down only if all are below theirs.

    Utilisation is over the nodes asked for, so nodes still booting are not bought twice. Up: enough nodes to bring
    every resource to its upper limit, one more at least. Down: enough nodes to stand half-way between the limits
    (at the upper one the next sample would undo it). Unknown terms neither raise nor allow a scale-down, except that
    predicted terms drop out of a pass without any forecast.
    Returns (P,) nodes; `current` where nothing is to change.
    """
    limits, current = policy.thresholds, observed.desired
    up, down = np.array(limits.up), np.array(limits.down)
    now, later = _utilisation(needs.used_nodes, current), _utilisation(needs.peak_nodes, current)
    above = _exceeds(needs.used_nodes, current, limits.up)
    predicted_above = _exceeds(needs.peak_nodes, current, limits.predicted_up)
    grows = (above | predicted_above).any(axis=1)
    low = (now < down) | np.isinf(down) | ~needs.counted
    predicted_low = ~(later >= np.array(limits.predicted_down)) | ~needs.counted
    demand = np.fmax(needs.used_nodes, needs.peak_nodes)
    enough = np.maximum(whole_nodes(_most(demand / up)), current + 1)
    fewer = whole_nodes(_most(demand / ((up + down) / 2)))
    shrinks = ~grows & (low & predicted_low).all(axis=1) & needs.counted.any(axis=1) & (fewer < current)
    for column, resource in enumerate(RESOURCES):
        for code, mask, value, limit in (
            (ReasonCode.ABOVE_THRESHOLD, above, now, limits.up),
            (ReasonCode.PREDICTED_ABOVE_THRESHOLD, predicted_above, later, limits.predicted_up),
        ):
            log.add(code, mask[:, column], resource, utilisation_ratio=value[:, column], limit_ratio=limit[column])
    log.add(ReasonCode.BELOW_THRESHOLDS, shrinks, highest_utilisation_ratio=_most(now))
    log.add(ReasonCode.WITHIN_THRESHOLDS, ~grows & ~shrinks, highest_utilisation_ratio=_most(now))
    return np.where(grows, enough, np.where(shrinks, fewer, current))


# every rule by its name
RULES: dict[Rule, RuleFunction] = {
    Rule.HYBRID: hybrid,
    Rule.THRESHOLDS: thresholds,
    Rule.TARGET_TRACKING: _target_tracking,
    Rule.SCHEDULE: schedule,
}


def _and_requested(observed: Observed, needs: Needs, want: Int, log: ReasonLog) -> Int:
    """(P,) nodes that hold what is requested too; one more where pods wait although everything seems to fit."""
    asked = whole_nodes(_most(needs.requested_nodes))
    binding = _binding(needs.requested_nodes)
    for column, resource in enumerate(RESOURCES):
        log.add(
            ReasonCode.REQUESTS,
            (asked > want) & (binding == column),
            resource,
            **{f"requested_{resource}": needs.requested[:, column]},
            need_nodes=asked,
        )
    want = np.maximum(want, asked)
    if observed.pending_pods is None:
        return want
    stuck = (observed.pending_pods > 0) & (observed.ready >= observed.desired) & (want <= observed.desired)
    log.add(ReasonCode.PENDING_PODS, stuck, pending_pods=observed.pending_pods)
    return np.where(stuck, observed.desired + 1, want)


def _most(values: Float) -> Float:
    """(P,) largest of the known entries of each row; NaN where none is known."""
    known = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isneginf(known), np.nan, np.minimum(known, NODES_LIMIT))


def _binding(values: Float) -> Int:
    return np.asarray(np.where(np.isnan(values), -np.inf, values).argmax(axis=1))


def _utilisation(nodes: Float, current: Int) -> Float:
    """(P, R) demand over capacity; NaN where unknown or where there is no node."""
    return np.minimum(nodes / np.where(current > 0, current, np.nan)[:, None], NODES_LIMIT)


def _exceeds(nodes: Float, current: Int, limit: tuple[float, ...]) -> Bool:
    """(P, R) demand above its share of the nodes; any demand is too much for none. False where unknown."""
    with np.errstate(invalid="ignore"):  # no node at all, times a limit that is none
        return np.asarray(nodes > current[:, None] * np.array(limit) * (1 + 1e-9))


def _log_reactive(needs: Needs, reactive: Float, where: Bool, policy: Policy, log: ReasonLog) -> None:
    need, binding = _most(reactive), _binding(reactive)
    for column, resource in enumerate(RESOURCES):
        log.add(
            ReasonCode.REACTIVE_NEED,
            where & ~np.isnan(need) & (binding == column),
            resource,
            **{f"used_{resource}": needs.used[:, column]},
            need_nodes=need,
            target_ratio=policy.reactive_target_ratio,
        )


def _log_peak(needs: Needs, predicted: Float, where: Bool, policy: Policy, log: ReasonLog) -> None:
    need, binding = _most(predicted), _binding(predicted)
    for column, resource in enumerate(RESOURCES[:MEASURED]):
        log.add(
            ReasonCode.FORECAST_PEAK,
            where & ~np.isnan(need) & (binding == column),
            resource,
            **{f"peak_{resource}": needs.peak[:, column]},
            peak_at_s=needs.peak_at_s[:, column],
            quantile_ratio=needs.quantile,
            need_nodes=need,
            target_ratio=policy.predictive_target_ratio,
        )
