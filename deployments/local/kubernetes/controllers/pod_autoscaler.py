"""HorizontalPodAutoscalers without metrics: they hold floor and ceiling, and say that they cannot do more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes import scaling
from deployments.local.kubernetes.backend import Options
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import dig, with_condition

Json = dict[str, Any]

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
SYNC_S = 15.0
"""Seconds between two looks at a target, as the real controller's default."""
MANAGER = "kube-controller-manager"


class PodAutoscaler(Controller):
    """Lifts a workload to minReplicas, lowers it to maxReplicas."""

    resources = frozenset({AUTOSCALERS})

    def reconcile(self, key: Work) -> None:
        """Look at one autoscaler's target; again after SYNC_S."""
        scaler = self.store.get(AUTOSCALERS, *key)
        if scaler is None:
            self._next.pop(key, None)
            return
        now = self.backend.now_s()
        if self._next.get(key, 0.0) <= now:
            self._next[key] = now + SYNC_S
            self.again_at(now + SYNC_S, key)
        self._hold(scaler)

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._next: dict[Work, float] = {}

    def keys(self, event: Event) -> Iterable[Work]:
        """The autoscaler, unless only its status changed."""
        if event.old is None or event.new is None or event.old.obj["spec"] != event.new.obj["spec"]:
            yield event.key

    def _hold(self, scaler: Stored) -> None:
        spec = scaler.obj["spec"]
        target = spec["scaleTargetRef"]
        kind = self.backend.registry.by_object(target.get("apiVersion", "apps/v1"), target["kind"])
        found = self.store.get(kind.storage, scaler.key[0], target["name"]) if kind is not None else None
        if kind is None or found is None or "scale" not in kind.subresources:
            entry = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale",
                     "message": f'the target "{target["name"]}" was not found'}  # fmt: skip
            self._report(scaler, [entry], 0, 0)
            return
        present = int(dig(scaling.shown(kind, found), "spec", "replicas", default=0))
        low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
        wanted = present if present == 0 else max(low, min(present, high))
        if wanted != present:
            options = Options(manager=MANAGER, subresource="scale")
            target_spec = {"spec": {"replicas": wanted}}
            scaling.change(self.backend, kind, *found.key, lambda scale: scale | target_spec, options, patch=False)
        able = {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale",
                "message": "the target's scale was read"}  # fmt: skip
        idle = present == 0
        active = {"type": "ScalingActive", "status": "False",
                  "reason": "ScalingDisabled" if idle else "FailedGetResourceMetric",
                  "message": "the target has 0 replicas" if idle else "no metrics API is served"}  # fmt: skip
        self._report(scaler, [able, active], present, wanted)

    def _report(self, scaler: Stored, entries: list[Json], present: int, wanted: int) -> None:
        old, now = scaler.obj.get("status", {}), self.backend.timestamp()
        conditions = old.get("conditions", [])
        for entry in entries:
            conditions = with_condition(conditions, entry, now)
        status = {**old, "currentReplicas": present, "desiredReplicas": wanted, "conditions": conditions}
        if wanted != present:
            status["lastScaleTime"] = now
        self.set_status(AUTOSCALERS, scaler, status)
