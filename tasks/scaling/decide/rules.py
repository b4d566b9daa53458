"""From demand to a raw need in nodes: one function a rule. Guards come afterwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.scaling.decide.inputs import NODES_LIMIT, RESOURCES, Bool, Float, Int
from tasks.scaling.decide.needs import Needs, whole_nodes
from tasks.scaling.decide.policies import Policy, Rule
from tasks.scaling.decide.reasons import ReasonCode, ReasonLog

RuleFunction = Callable[[Int, Needs, Policy, ReasonLog], Int]


def hybrid(current: Int, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """Present demand or the forecast peak, whichever needs more nodes.

    want = max over resources of max(ceil(used / (node * reactive_target)), ceil(peak / (node * predictive_target))).
    A resource that is not known needs no nodes, so it neither raises nor, thanks to the guards, lowers.
    Returns (P,) nodes; logs both sides with their binding resource, the larger first.
    Method: measured in replays against tuned reactive autoscalers; Autopilot (EuroSys'20) sizes by quantiles too.
    """
    del current  # the need follows from demand alone
    reactive = needs.used_nodes / policy.reactive_target_ratio
    predicted = needs.peak_nodes / policy.predictive_target_ratio
    now, later = whole_nodes(_most(reactive)), whole_nodes(_most(predicted))
    _log_peak(needs, predicted, later > now, policy, log)
    _log_reactive(needs, reactive, policy, log)
    _log_peak(needs, predicted, later <= now, policy, log)
    return np.maximum(now, later)


def thresholds(current: Int, needs: Needs, policy: Policy, log: ReasonLog) -> Int:
    """Up if any utilisation, present or predicted, is above its limit; down only if all are below theirs.

    Utilisation is over the nodes asked for, so nodes still booting are not bought twice. Up: enough nodes to bring
    every resource to its upper limit, one more at least. Down: enough nodes to stand half-way between the limits
    (at the upper one the next sample would undo it). Unknown terms neither raise nor allow a scale-down, except that
    predicted terms drop out of a pass without any forecast.
    Returns (P,) nodes; `current` where nothing is to change.
    """
    limits = policy.thresholds
    up, down = np.array(limits.up), np.array(limits.down)
    now, later = _utilisation(needs.used_nodes, current), _utilisation(needs.peak_nodes, current)
    above = _exceeds(needs.used_nodes, current, limits.up)
    predicted_above = _exceeds(needs.peak_nodes, current, limits.predicted_up)
    grows = (above | predicted_above).any(axis=1)
    low = (now < down) | ~needs.counted
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
RULES: dict[Rule, RuleFunction] = {Rule.HYBRID: hybrid, Rule.THRESHOLDS: thresholds}


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
    return np.asarray(nodes > current[:, None] * np.array(limit) * (1 + 1e-9))


def _log_reactive(needs: Needs, reactive: Float, policy: Policy, log: ReasonLog) -> None:
    need, binding = _most(reactive), _binding(reactive)
    for column, resource in enumerate(RESOURCES):
        log.add(
            ReasonCode.REACTIVE_NEED,
            ~np.isnan(need) & (binding == column),
            resource,
            **{f"used_{resource}": needs.used[:, column]},
            need_nodes=need,
            target_ratio=policy.reactive_target_ratio,
        )


def _log_peak(needs: Needs, predicted: Float, where: Bool, policy: Policy, log: ReasonLog) -> None:
    need, binding = _most(predicted), _binding(predicted)
    for column, resource in enumerate(RESOURCES):
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
