"""The eviction subresource: a deletion that asks the disruption budget first, and spends it in the same request."""

from __future__ import annotations

import dataclasses
from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.deleting import delete, options_of
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import dig, is_true, with_condition
from deployments.local.kubernetes.writing import existing

Json = dict[str, Any]

BUDGETS = "poddisruptionbudgets.policy"
_RETRY_S = 10


def evict(backend: Backend, namespace: str, name: str, body: Json, *, dry_run: bool = False) -> None:
    """Evict a pod.

    Raises
    ------
    StatusError: 404, 400 when names disagree, 429 when the budget is spent, 500 under two budgets.
    """
    kind = backend.registry.of("pods")
    if dig(body, "metadata", "name", default=name) != name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    pod = existing(backend, kind, namespace, name)
    options = options_of(body.get("deleteOptions") or {}, {})
    options = dataclasses.replace(options, dry_run=options.dry_run or dry_run)
    unprotected = (
        "deletionTimestamp" in pod.obj["metadata"]
        or pod.obj["status"].get("phase") in ("Pending", "Succeeded", "Failed")
    )  # fmt: skip
    if not unprotected:
        _spend(backend, pod, dry_run=options.dry_run)
    if not options.dry_run and "deletionTimestamp" not in pod.obj["metadata"]:
        _mark(backend, pod)
    delete(backend, kind, namespace, name, options)


def _budgets(backend: Backend, pod: Stored) -> list[Stored]:
    labels = pod.obj["metadata"].get("labels", {})
    return [entry for entry in backend.store.sorted(BUDGETS, pod.key[0])
            if selects(dig(entry.obj, "spec", "selector"), labels)]  # fmt: skip


def _spend(backend: Backend, pod: Stored, *, dry_run: bool) -> None:
    budgets = _budgets(backend, pod)
    if not budgets:
        return
    if len(budgets) > 1:
        why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise status.StatusError(500, "InternalError", why, {"causes": []})
    budget = budgets[0]
    state = budget.obj.get("status", {})
    if not is_true(pod.obj, "Ready"):
        always = dig(budget.obj, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow"
        healthy, desired = state.get("currentHealthy", 0), state.get("desiredHealthy", 0)
        if always or (healthy >= desired > 0):
            return
    if state.get("observedGeneration", 0) < budget.obj["metadata"].get("generation", 0):
        raise _too_many(budget, "is still being processed by the server", retry=True)
    if state.get("disruptionsAllowed", 0) <= 0:
        needs, has = state.get("desiredHealthy", 0), state.get("currentHealthy", 0)
        raise _too_many(budget, f"needs {needs} healthy pods and has {has} currently")
    if not dry_run:
        disrupted = {**state.get("disruptedPods", {}), pod.key[1]: backend.timestamp()}
        spent = {**state, "disruptionsAllowed": state["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
        backend.store.put(BUDGETS, {**budget.obj, "status": spent})


def _too_many(budget: Stored, why: str, *, retry: bool = False) -> status.StatusError:
    cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {budget.key[1]} {why}"}
    details: Json = {"causes": [cause]}
    if retry:
        details["retryAfterSeconds"] = _RETRY_S
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return status.StatusError(429, "TooManyRequests", message, details)


def _mark(backend: Backend, pod: Stored) -> None:
    entry = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
             "message": "Eviction API: evicting"}  # fmt: skip
    state = pod.obj["status"]
    conditions = with_condition(state.get("conditions", []), entry, backend.timestamp())
    backend.store.put("pods", {**pod.obj, "status": {**state, "conditions": conditions}})


def bind(backend: Backend, namespace: str, name: str, body: Json, *, dry_run: bool = False) -> None:
    """Bind a pod to a node, as a scheduler does.

    Raises
    ------
    StatusError: 404, 409 when it is bound already or gated, 400 without a target.
    """
    kind = backend.registry.of("pods")
    pod, node = existing(backend, kind, namespace, name), dig(body, "target", "name")
    if not node:
        raise status.bad_request("target.name: a binding names a node")
    if pod.obj["spec"].get("nodeName"):
        raise status.conflict(kind, name, f'pod {name} is already assigned to node "{pod.obj["spec"]["nodeName"]}"')
    if pod.obj["spec"].get("schedulingGates"):
        raise status.conflict(kind, name, f"pod {name} has non-empty .spec.schedulingGates")
    if not dry_run:
        backend.store.put("pods", assigned(pod.obj, node, backend.timestamp()))


def assigned(pod: Json, node: str, now: str) -> Json:
    """A pod bound to a node; a claim to room on some node ends (ClearingNominatedNodeNameAfterBinding, v1.35)."""
    state = {name: value for name, value in pod["status"].items() if name != "nominatedNodeName"}
    kept = [entry for entry in state.get("conditions", []) if entry["type"] != "PodScheduled"]
    conditions = with_condition(kept, {"type": "PodScheduled", "status": "True"}, now)
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {**state, "conditions": conditions}}
