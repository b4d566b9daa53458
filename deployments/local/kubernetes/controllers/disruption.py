"""PodDisruptionBudgets: how many pods may be disrupted now."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.controllers.pod_owner import controller_of
from deployments.local.kubernetes.controllers.replica_sets import REPLICA_SETS
from deployments.local.kubernetes.eviction import BUDGETS
from deployments.local.kubernetes.selectors import matches, of_selector, selects
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, epoch_s, is_true, with_condition

Json = dict[str, Any]

DISRUPTION_TIMEOUT_S = 120.0
"""Seconds for which an evicted pod that is still there counts as disrupted."""


def _replicas(workload: Stored | None) -> int | None:
    return None if workload is None else int(workload.obj["spec"].get("replicas", 1))


def _of_percent(value: Any, of: int) -> int:
    """A count or a percentage, rounded up as disruption budgets do."""
    return int(value) if isinstance(value, int) else math.ceil(int(value.rstrip("%")) * of / 100)


class DisruptionBudgets(Controller):
    """Counts the healthy pods under each budget."""

    resources = frozenset({BUDGETS, "pods", REPLICA_SETS, "deployments.apps", "statefulsets.apps"})

    def keys(self, event: Event) -> Iterable[Work]:
        """The budget itself; the budgets of a pod; all budgets of a namespace where a workload changed its size."""
        if event.resource == BUDGETS:
            yield event.key
            return
        if event.resource != "pods" and _replicas(event.old) == _replicas(event.new):
            return
        for entry in self.store.all(BUDGETS, event.key[0]):
            selector = dig(entry.obj, "spec", "selector")
            states = [state for state in (event.old, event.new) if state is not None]
            if event.resource != "pods" or any(
                selects(selector, state.obj["metadata"].get("labels", {})) for state in states
            ):
                yield entry.key

    def reconcile(self, key: Work) -> None:
        """Count under one budget."""
        budget = self.store.get(BUDGETS, *key)
        if budget is None:
            return
        spec = budget.obj.get("spec", {})
        wanted = of_selector(spec.get("selector"))
        pods = [pod for pod in (() if wanted is None else self.store.all("pods", budget.key[0]))
                if matches(wanted or (), pod.obj["metadata"].get("labels", {}))
                and pod.obj["status"].get("phase") not in ("Succeeded", "Failed")]  # fmt: skip
        disrupted = self._disrupted(budget, pods)
        expected, desired = self._expected(spec, pods)
        healthy = sum(1 for pod in pods if "deletionTimestamp" not in pod.obj["metadata"]
                      and pod.key[1] not in disrupted and is_true(pod.obj, "Ready"))  # fmt: skip
        allowed = max(healthy - desired, 0) if expected else 0
        entry = {"type": "DisruptionAllowed", "status": "True" if allowed else "False", "message": "",
                 "reason": "SufficientPods" if allowed else "InsufficientPods",
                 "observedGeneration": budget.obj["metadata"].get("generation", 1)}  # fmt: skip
        conditions = with_condition(
            dig(budget.obj, "status", "conditions", default=[]), entry, self.backend.timestamp()
        )
        status = {"observedGeneration": budget.obj["metadata"].get("generation", 1), "disruptionsAllowed": allowed,
                  "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected,
                  "conditions": conditions}  # fmt: skip
        self.set_status(BUDGETS, budget, {**status, "disruptedPods": disrupted} if disrupted else status)

    def _disrupted(self, budget: Stored, pods: list[Stored]) -> Json:
        """Pods whose eviction was granted and has not been seen yet."""
        there, now, left = {pod.key[1]: pod for pod in pods}, self.backend.now_s(), {}
        for name, since in dig(budget.obj, "status", "disruptedPods", default={}).items():
            pod, until = there.get(name), epoch_s(since) + DISRUPTION_TIMEOUT_S
            if pod is not None and "deletionTimestamp" not in pod.obj["metadata"] and now < until:
                left[name] = since
                self.again_at(until, budget.key)
        return left

    def _expected(self, spec: Json, pods: list[Stored]) -> tuple[int, int]:
        """Pods that there should be, and pods that must stay healthy."""
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if most is None and (least is None or isinstance(least, int)):
            return len(pods), 1 if least is None else least
        expected = self._scale(pods)
        if most is not None:
            return expected, max(expected - _of_percent(most, expected), 0)
        return expected, _of_percent(least, expected)

    def _scale(self, pods: list[Stored]) -> int:
        """Replicas that the controllers of these pods ask for."""
        scales: dict[str, int] = {}
        for uid in {owner["uid"] for pod in pods if (owner := controller_of(pod.obj)) is not None}:
            place = self.store.place(uid)
            entry = self.store.get(place[0], *place[1]) if place is not None else None
            above = controller_of(entry.obj) if entry is not None else None
            if above is not None and (place := self.store.place(above["uid"])) is not None:
                entry = self.store.get(place[0], *place[1])
            if entry is not None:
                scales[entry.uid] = int(entry.obj["spec"].get("replicas", 1))
        return sum(scales.values())
