"""Rules for pods and for what makes pods: Deployments, ReplicaSets, DaemonSets, Jobs, CronJobs."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.status import FORBIDDEN, INVALID, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig
from deployments.local.kubernetes.validation.metadata import check_labels
from deployments.local.kubernetes.validation.pods import pod_spec
from deployments.local.kubernetes.validation.selectors import int_or_percent, label_selector, non_negative, supported

Json = dict[str, Any]

CRON_JOB_NAME = 52
"""Longest name: the controller adds eleven letters for each Job."""
_SCHEDULES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def pod(obj: Json) -> list[Cause]:
    """Faults of a pod."""
    return pod_spec(obj["spec"], "spec")


def _selected_template(obj: Json) -> list[Cause]:
    """A selector must be there and take the template's labels."""
    spec, causes = obj["spec"], []
    selector, labels = spec.get("selector"), dig(spec, "template", "metadata", "labels", default={})
    if selector is None:
        causes.append(Cause(REQUIRED, "spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(Cause(INVALID, "spec.selector", "{}: empty selector is invalid"))
    causes += label_selector(selector, "spec.selector")
    if causes and selector:
        return causes
    if not selects(selector, labels) and (selector is None or selector):
        why = f"{labels}: `selector` does not match template `labels`"
        causes.append(Cause(INVALID, "spec.template.metadata.labels", why))
    return causes


def _always(spec: Json) -> list[Cause]:
    return supported("spec.template.spec.restartPolicy", dig(spec, "template", "spec", "restartPolicy"), ("Always",))


def _template(obj: Json) -> list[Cause]:
    labels = dig(obj, "spec", "template", "metadata", "labels", default={})
    spec = dig(obj, "spec", "template", "spec", default={})
    return [*check_labels(labels, "spec.template.labels"), *pod_spec(spec, "spec.template.spec")]


def _is_zero(value: Any) -> bool:
    return value in (0, "0%")


def _rolling_update(strategy: Json) -> list[Cause]:
    rolling, path = strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            return [Cause(FORBIDDEN, path, "may not be specified when strategy `type` is 'Recreate'")]
        return []
    causes = []
    for field in ("maxUnavailable", "maxSurge"):
        causes += int_or_percent(f"{path}.{field}", (rolling or {}).get(field))
    if rolling and _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        causes.append(Cause(INVALID, f"{path}.maxUnavailable", "0: may not be 0 when `maxSurge` is 0"))
    return causes


def deployment(obj: Json) -> list[Cause]:
    """Faults of a Deployment."""
    spec = obj["spec"]
    strategy = supported("spec.strategy.type", spec["strategy"].get("type"), ("Recreate", "RollingUpdate"))
    counts = [cause for field in ("replicas", "minReadySeconds", "revisionHistoryLimit")
              for cause in non_negative(obj, "spec", field)]  # fmt: skip
    deadline = spec.get("progressDeadlineSeconds", 0)
    late = []
    if deadline <= spec.get("minReadySeconds", 0):
        late = [Cause(INVALID, "spec.progressDeadlineSeconds", f"{deadline}: must be greater than minReadySeconds")]
    return [*counts, *_selected_template(obj), *_template(obj), *_always(spec), *strategy,
            *_rolling_update(spec["strategy"]), *late]  # fmt: skip


def replica_set(obj: Json) -> list[Cause]:
    """Faults of a ReplicaSet."""
    counts = [*non_negative(obj, "spec", "replicas"), *non_negative(obj, "spec", "minReadySeconds")]
    return [*counts, *_selected_template(obj), *_template(obj), *_always(obj["spec"])]


def stateful_set(obj: Json) -> list[Cause]:
    """Faults of a StatefulSet."""
    spec = obj["spec"]
    policy = supported("spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
    return [*policy, *_update_strategy(spec), *replica_set(obj)]


def _update_strategy(spec: Json) -> list[Cause]:
    strategy, path = spec.get("updateStrategy", {}), "spec.updateStrategy"
    causes = supported(f"{path}.type", strategy.get("type"), ("RollingUpdate", "OnDelete"))
    for field in ("maxUnavailable", "maxSurge", "partition"):
        causes += int_or_percent(f"{path}.rollingUpdate.{field}", dig(strategy, "rollingUpdate", field))
    return causes


def daemon_set(obj: Json) -> list[Cause]:
    """Faults of a DaemonSet."""
    return [*_update_strategy(obj["spec"]), *_selected_template(obj), *_template(obj), *_always(obj["spec"])]


def job(obj: Json) -> list[Cause]:
    """Faults of a Job."""
    causes = [cause for field in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds")
              for cause in non_negative(obj, "spec", field)]  # fmt: skip
    causes += _template(obj)
    policy, path = dig(obj, "spec", "template", "spec", "restartPolicy"), "spec.template.spec.restartPolicy"
    if policy is None:
        causes.append(Cause(REQUIRED, path, 'valid values: "OnFailure", "Never"'))
    elif policy == "Always":
        causes += supported(path, policy, ("OnFailure", "Never"))
    return causes


def cron_job(obj: Json) -> list[Cause]:
    """Faults of a CronJob."""
    spec = obj["spec"]
    causes = (
        []
        if _is_schedule(spec.get("schedule", ""))
        else [Cause(INVALID, "spec.schedule", f'"{spec.get("schedule", "")}": no schedule of five fields')]
    )
    causes += supported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        causes += non_negative(obj, "spec", field)
    if len(obj["metadata"].get("name", "")) > CRON_JOB_NAME:
        causes.append(Cause(INVALID, "metadata.name", f"must be no more than {CRON_JOB_NAME} characters"))
    inner = job({"spec": dig(spec, "jobTemplate", "spec", default={})})
    return [*causes, *(cause._replace(field=f"spec.jobTemplate.{cause.field}") for cause in inner)]


def _is_schedule(text: str) -> bool:
    fields = text.split()
    return len(fields) == 5 or text in _SCHEDULES or text.startswith("@every ")
