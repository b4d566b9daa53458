"""Disruption budgets that can never be met, and whether pods have room elsewhere. Pure, plain API objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

from blocks.fleet_values import to_bytes, to_cores

Object = dict[str, Any]

ALLOW_ONE = "let it allow one disruption at least, or add a replica"  # how to mend a budget that can never be met


def never_met(budget: Object) -> str | None:
    """Why a PodDisruptionBudget allows no eviction, however healthy its pods are; None where it may allow one.

    A budget that allows none at this moment only (pods not Ready) is waited for instead.

    >>> never_met({"spec": {"maxUnavailable": 0}, "status": {"expectedPods": 3}})
    'its maxUnavailable is 0'
    >>> never_met({"spec": {"minAvailable": 1}, "status": {"expectedPods": 1}})
    'its minAvailable 1 is all of its 1 pods'
    """
    spec, pods = budget.get("spec") or {}, int((budget.get("status") or {}).get("expectedPods") or 0)
    if (most := spec.get("maxUnavailable")) is not None:
        return f"its maxUnavailable is {most}" if _share(most, max(pods, 1)) == 0 else None
    least = spec.get("minAvailable", 1)
    if pods and _share(least, pods) >= pods:
        return f"its minAvailable {least} is all of its {pods} pods"
    return None


def stuck(budgets: Iterable[Object], pods: Iterable[Object]) -> str | None:
    """The first budget over some of the pods that can never be met, and why, in words; None where there is none."""
    leaving = list(pods)
    for budget in budgets if leaving else ():
        reason = never_met(budget)
        if reason and any(covers(budget, pod) for pod in leaving):
            name = f"{budget['metadata']['namespace']}/{budget['metadata']['name']}"
            return f"PodDisruptionBudget {name} can never be met: {reason}"
    return None


def covers(budget: Object, pod: Object) -> bool:
    """Whether a budget protects a pod: the same namespace, and its selector; an empty selector takes all."""
    if budget["metadata"].get("namespace") != pod["metadata"].get("namespace"):
        return False
    selector = (budget.get("spec") or {}).get("selector")
    if selector is None:
        return False
    labels = pod["metadata"].get("labels") or {}
    wanted = (selector.get("matchLabels") or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        holds(rule, labels) for rule in selector.get("matchExpressions") or ()
    )


def requested(pods: Iterable[Object]) -> tuple[float, float]:
    """CPU cores and memory bytes that pods request together; what cannot be read counts as nothing."""
    cores = memory = 0.0
    for pod in pods:
        for container in pod["spec"].get("containers") or ():
            asked = (container.get("resources") or {}).get("requests") or {}
            cores += _number(to_cores(asked.get("cpu", 0)))
            memory += _number(to_bytes(asked.get("memory", 0)))
    return cores, memory


def room(nodes: Iterable[Object]) -> tuple[float, float]:
    """CPU cores and memory bytes that nodes have for pods together."""
    found = [(node.get("status") or {}).get("allocatable") or {} for node in nodes]
    return (
        sum(_number(to_cores(each.get("cpu", 0))) for each in found),
        sum(_number(to_bytes(each.get("memory", 0))) for each in found),
    )


def holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy one expression of a selector; an operator that is not known never does."""
    key, values = rule.get("key"), rule.get("values") or ()
    found = labels.get(str(key))
    return {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }.get(str(rule.get("operator")), False)


def _share(given: Any, pods: int) -> int:
    """A number of pods, or a share of them rounded up, as Kubernetes does for both fields of a budget."""
    text = str(given)
    return ceil(pods * float(text[:-1]) / 100) if text.endswith("%") else int(text)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
