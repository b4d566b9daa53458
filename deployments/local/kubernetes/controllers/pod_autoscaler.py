"""HorizontalPodAutoscalers: every 15 s, as many replicas as the metrics ask for and the rules allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from deployments.local.kubernetes import scaling
from deployments.local.kubernetes.autoscaling.metric_sources import (
    Answer,
    Failure,
    Target,
    asked,
    tolerance_of,
    usage_of,
)
from deployments.local.kubernetes.autoscaling.scaling_rules import Bounds, History, Recommendation, Verdict, decided
from deployments.local.kubernetes.backend import Options
from deployments.local.kubernetes.controllers.autoscaled_pods import AutoscaledPods, Selected
from deployments.local.kubernetes.controllers.base import Controller, Work
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.status import StatusError
from deployments.local.kubernetes.store import Event, Stored
from deployments.local.kubernetes.trees import with_condition

Json = dict[str, Any]

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
SYNC_S = 15.0
"""--horizontal-pod-autoscaler-sync-period: also the delay before a new autoscaler's first look."""
MANAGER = "kube-controller-manager"


class Scalable(NamedTuple):
    """An autoscaler's target, as its scale subresource shows it."""

    kind: Kind
    found: Stored
    replicas: int
    selector: str


class Outcome(NamedTuple):
    """What the metrics lead to: replicas (None: no decision), why they change, `currentMetrics`, conditions."""

    replicas: int | None
    reason: str = ""
    shown: list[Json] | None = None
    conditions: tuple[Json, ...] = ()


class PodAutoscaler(Controller):
    """Scales workloads of any kind that has a scale subresource. What it remembers is lost with a restart."""

    resources = frozenset({AUTOSCALERS, "pods"})

    def prepare(self) -> None:
        """Nothing is known yet."""
        self._due_s: dict[Work, float] = {}
        self._histories: dict[Work, History] = {}
        self._pods = AutoscaledPods(self.store)

    def keys(self, event: Event) -> Iterable[Work]:
        """New autoscalers; changed ones wait for their next look, as in the real controller."""
        if event.resource == "pods":
            self._pods.changed(event.key[0])
        elif event.new is None:
            self._due_s.pop(event.key, None)
            self._histories.pop(event.key, None)
            self._pods.forget(event.key)
        elif event.old is None:
            yield event.key

    def reconcile(self, key: Work) -> None:
        """Look at one autoscaler when it is due, and again after SYNC_S."""
        scaler, now = self.store.get(AUTOSCALERS, *key), self.backend.now_s()
        if scaler is None or self._due_s.get(key, 0.0) > now:
            return
        known = key in self._due_s
        self._due_s[key] = now + SYNC_S
        self.again_in(SYNC_S, key)
        if known:
            self._sync(scaler)

    def _sync(self, scaler: Stored) -> None:
        try:
            target = self._target(scaler)
        except LookupError as error:
            self._note(scaler, "FailedGetScale", str(error), warning=True)
            why = f"the HPA controller was unable to get the target's current scale: {error}"
            self._report(scaler, [_condition("AbleToScale", "False", "FailedGetScale", why)], {})
            return
        history = self._histories.get(scaler.key)
        if history is None:
            first = Recommendation(target.replicas, self.backend.now_s())
            history = self._histories[scaler.key] = History([first])
        able = _condition("AbleToScale", "True", "SucceededGetScale",
                          "the HPA controller was able to get the target's current scale")  # fmt: skip
        outcome = self._outcome(scaler, target, history)
        conditions = [able, *outcome.conditions]
        counts: Json = {"currentReplicas": target.replicas, "desiredReplicas": target.replicas}
        if outcome.replicas is None:  # it says nothing new of what it wants
            counts["desiredReplicas"] = scaler.obj.get("status", {}).get("desiredReplicas", 0)
        elif outcome.replicas != target.replicas:
            done = self._rescale(scaler, target, outcome)
            conditions.append(done)
            if done["status"] == "True":
                history.changed(scaler.obj["spec"].get("behavior"), target.replicas, outcome.replicas,
                                self.backend.now_s())  # fmt: skip
                counts |= {"desiredReplicas": outcome.replicas, "lastScaleTime": self.backend.timestamp()}
        self._report(scaler, conditions, {**counts, "currentMetrics": outcome.shown})

    def _target(self, scaler: Stored) -> Scalable:
        """The target's scale.

        Raises
        ------
        LookupError: there is none, and why.
        """
        reference = scaler.obj["spec"]["scaleTargetRef"]
        version = reference.get("apiVersion", "")
        group = version.rpartition("/")[0]
        kinds = [kind for kind in self.backend.registry if (kind.group, kind.kind) == (group, reference["kind"])]
        if not kinds:
            raise LookupError(f'no matches for kind "{reference["kind"]}" in group "{group}"')
        kind = next((one for one in kinds if one.api_version == version), kinds[0])
        if "scale" not in kind.subresources:
            raise LookupError("the server could not find the requested resource")
        found = self.store.get(kind.storage, scaler.key[0] if kind.namespaced else "", reference["name"])
        if found is None:
            raise LookupError(f'{kind.resource} "{reference["name"]}" not found')
        scale = scaling.shown(kind, found)
        return Scalable(kind, found, int(scale["spec"].get("replicas", 0)), scale["status"].get("selector", ""))

    def _outcome(self, scaler: Stored, target: Scalable, history: History) -> Outcome:
        spec, present = scaler.obj["spec"], target.replicas
        bounds = Bounds(spec.get("minReplicas", 1), spec["maxReplicas"])
        if present == 0 and bounds.low != 0:
            why = "scaling is disabled since the replica count of the target is zero"
            return Outcome(0, conditions=(_condition("ScalingActive", "False", "ScalingDisabled", why),))
        if present > bounds.high:
            return Outcome(bounds.high, "Current number of replicas above Spec.MaxReplicas")
        if present < bounds.low:
            return Outcome(bounds.low, "Current number of replicas below Spec.MinReplicas")
        chosen = self._measured(scaler, target)
        if isinstance(chosen, Outcome):
            return chosen
        best, shown = chosen
        reason = f"{best.name} above target" if best.replicas > present else "All metrics below target"
        verdict = decided(history, spec.get("behavior"), present, best.replicas, bounds, self.backend.now_s())
        why = f"the HPA was able to successfully calculate a replica count from {best.name}"
        active = _condition("ScalingActive", "True", "ValidMetricFound", why)
        return Outcome(verdict.replicas, reason, shown, (active, *_verdict_conditions(verdict)))

    def _measured(self, scaler: Stored, target: Scalable) -> tuple[Answer, list[Json]] | Outcome:
        """The metric that asks for most, and what all of them show; or why nothing can be decided."""
        selected = self._pods.selected(scaler.key, target.selector)
        if not isinstance(selected, Selected):
            self._note(scaler, selected.event, selected.message, warning=True)
            return self._undecided(scaler, selected.reason, selected.words, selected.message, [])
        spec, present = scaler.obj["spec"], target.replicas
        about = Target([pod.obj for pod in selected.pods], present, tolerance_of(spec.get("behavior")),
                       self.backend.now_s(), usage_of(self.backend, selected.pods))  # fmt: skip
        answers = [asked(metric, about, scaler.key[0]) for metric in spec["metrics"]]
        failures = [answer for answer in answers if isinstance(answer, Failure)]
        found = [answer for answer in answers if isinstance(answer, Answer)]
        shown = [answer.shown if isinstance(answer, Answer) else {"type": ""} for answer in answers]
        for failure in failures:
            self._note(scaler, failure.reason, failure.why, warning=True)
        best = max(found, key=lambda answer: answer.replicas, default=None)
        # A metric that is missing might have asked for more: then nothing goes down.
        if best is None or (failures and best.replicas < present):
            first = failures[0]
            why = f"the HPA was unable to compute the replica count: {first.why}"
            whole = (f"invalid metrics ({len(failures)} invalid out of {len(answers)}), first error is: "
                     f"{first.whole}")  # fmt: skip
            return self._undecided(scaler, first.reason, why, whole, shown)
        return best, shown

    def _undecided(self, scaler: Stored, reason: str, why: str, whole: str, shown: list[Json]) -> Outcome:
        self._note(scaler, "FailedComputeMetricsReplicas", whole, warning=True)
        return Outcome(None, shown=shown, conditions=(_condition("ScalingActive", "False", reason, why),))

    def _rescale(self, scaler: Stored, target: Scalable, outcome: Outcome) -> Json:
        spec = {"spec": {"replicas": outcome.replicas}}
        options = Options(manager=MANAGER, subresource="scale")
        size = f"New size: {outcome.replicas}; reason: {outcome.reason}"
        try:
            scaling.change(self.backend, target.kind, *target.found.key, lambda scale: scale | spec, options,
                           patch=False)  # fmt: skip
        except StatusError as error:
            self._note(scaler, "FailedRescale", f"{size}; error: {error.message}", warning=True)
            why = f"the HPA controller was unable to update the target scale: {error.message}"
            return _condition("AbleToScale", "False", "FailedUpdateScale", why)
        self._note(scaler, "SuccessfulRescale", size, warning=False)
        why = f"the HPA controller was able to update the target scale to {outcome.replicas}"
        return _condition("AbleToScale", "True", "SucceededRescale", why)

    def _report(self, scaler: Stored, entries: list[Json], counts: Json) -> None:
        old, now = scaler.obj.get("status", {}), self.backend.timestamp()
        conditions = old.get("conditions", [])
        for entry in entries:
            conditions = with_condition(conditions, entry, now)
        status = {"desiredReplicas": 0, **old, **counts, "conditions": conditions}
        if (generation := scaler.obj["metadata"].get("generation")) is not None:
            status["observedGeneration"] = generation
        empty = [name for name in ("currentReplicas", "currentMetrics") if not status.get(name)]
        self.set_status(AUTOSCALERS, scaler, {name: value for name, value in status.items() if name not in empty})

    def _note(self, scaler: Stored, reason: str, message: str, *, warning: bool) -> None:
        self.note(scaler, "HorizontalPodAutoscaler", "autoscaling/v2", reason=reason, message=message, warning=warning)


def _condition(kind: str, status: str, reason: str, message: str) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _verdict_conditions(verdict: Verdict) -> tuple[Json, Json]:
    able = _condition("AbleToScale", "True", *verdict.able)
    return able, _condition("ScalingLimited", "True" if verdict.limited else "False", *verdict.why)
