"""Workloads, budgets and autoscalers."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.printing.ages import human, since
from deployments.local.kubernetes.printing.columns import (
    AGE,
    NAME,
    NONE,
    Column,
    ago,
    containers,
    count,
    field,
    labels_text,
    shortened,
    shows,
)
from deployments.local.kubernetes.trees import dig, epoch_s, is_true

Json = dict[str, Any]

# A Job's status in one word: the first condition that is True; "" stands for a deletion under way.
_JOB_WORDS = (
    ("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating"), ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)  # fmt: skip


def _ready(obj: Json) -> str:
    return f"{dig(obj, 'status', 'readyReplicas', default=0)}/{dig(obj, 'spec', 'replicas', default=0)}"


def _job_status(job: Json) -> str:
    for kind, word in _JOB_WORDS:
        if is_true(job, kind) if kind else "deletionTimestamp" in job["metadata"]:
            return word
    return "Running"


def _completions(job: Json) -> str:
    done, wanted = dig(job, "status", "succeeded", default=0), dig(job, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = dig(job, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Json, now_s: float) -> str:
    started, ended = dig(job, "status", "startTime"), dig(job, "status", "completionTime")
    if started is None:
        return ""
    return human(epoch_s(ended) - epoch_s(started)) if ended else since(started, now_s)


def _metrics(scaler: Json) -> str:
    specs, shown = dig(scaler, "spec", "metrics", default=()), dig(scaler, "status", "currentMetrics", default=())
    states = [*shown, *({} for _ in specs)]
    return shortened([_metric(spec, state) for spec, state in zip(specs, states, strict=False)], 2, ", ") or NONE


def _metric(spec: Json, state: Json) -> str:
    part = spec["type"][:1].lower() + spec["type"][1:]
    target, now = dig(spec, part, "target", default={}), dig(state, part, "current", default={})
    if spec["type"] in ("Resource", "ContainerResource"):
        name = dig(spec, part, "name")
        if "averageValue" in target:
            return f"{name}: {now.get('averageValue', '<unknown>')}/{target['averageValue']}"
        percent = f"{now['averageUtilization']}%" if "averageUtilization" in now else "<unknown>"
        wanted = f"{target['averageUtilization']}%" if "averageUtilization" in target else "<auto>"
        return f"{name}: {percent}/{wanted}"
    if "averageValue" in target:
        marked = "" if spec["type"] == "Pods" else " (avg)"
        return f"{now.get('averageValue', '<unknown>')}/{target['averageValue']}{marked}"
    return f"{now.get('value', '<unknown>')}/{target.get('value', '')}"


COLUMNS: dict[str, list[Column]] = {
    "deployments.apps": [
        NAME, shows("Ready", _ready), count("Up-to-date", "status", "updatedReplicas"),
        count("Available", "status", "availableReplicas"), AGE, *containers("spec"),
    ],
    "replicasets.apps": [
        NAME, count("Desired", "spec", "replicas"), count("Current", "status", "replicas"),
        count("Ready", "status", "readyReplicas"), AGE, *containers("spec"),
    ],
    "statefulsets.apps": [NAME, shows("Ready", _ready), AGE, *containers("spec", selector=False)],
    "daemonsets.apps": [
        NAME, count("Desired", "status", "desiredNumberScheduled"),
        count("Current", "status", "currentNumberScheduled"),
        count("Ready", "status", "numberReady"), count("Up-to-date", "status", "updatedNumberScheduled"),
        count("Available", "status", "numberAvailable"),
        shows("Node Selector", lambda obj: labels_text(dig(obj, "spec", "template", "spec", "nodeSelector"))), AGE,
        *containers("spec"),
    ],
    "jobs.batch": [
        NAME, shows("Status", _job_status), shows("Completions", _completions), Column("Duration", _duration), AGE,
        *containers("spec"),
    ],
    "cronjobs.batch": [
        NAME, field("Schedule", "spec", "schedule"), field("Timezone", "spec", "timeZone"),
        shows("Suspend", lambda obj: str(dig(obj, "spec", "suspend", default="<unset>"))),
        shows("Active", lambda obj: len(dig(obj, "status", "active", default=()))),
        ago("Last Schedule", "status", "lastScheduleTime", default=NONE), AGE,
        *containers("spec", "jobTemplate", "spec"),
    ],
    "horizontalpodautoscalers.autoscaling": [
        NAME,
        shows("Reference", lambda obj: "{kind}/{name}".format(**dig(obj, "spec", "scaleTargetRef"))),
        shows("Targets", _metrics),
        shows("MinPods", lambda obj: str(dig(obj, "spec", "minReplicas", default="<unset>"))),
        count("MaxPods", "spec", "maxReplicas"), count("Replicas", "status", "currentReplicas"), AGE,
    ],
    "poddisruptionbudgets.policy": [
        NAME, field("Min Available", "spec", "minAvailable", default="N/A"),
        field("Max Unavailable", "spec", "maxUnavailable", default="N/A"),
        count("Allowed Disruptions", "status", "disruptionsAllowed"), AGE,
    ],
}  # fmt: skip
