"""What each entry of an autoscaler's `spec.metrics` reads, what it says, and how its failure is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deployments.local.kubernetes.autoscaling import replicas
from deployments.local.kubernetes.autoscaling.replicas import Measured, NoProposal, Proposal, Sample, Tolerance
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.resource_metrics import POD_METRICS, WINDOW_S, ContainerUsage, of_containers
from deployments.local.kubernetes.selectors import as_text
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_ABSENT = "the server could not find the requested resource"


class Answer(NamedTuple):
    """What one metric says: replicas, the metric's name in words, its entry of `status.currentMetrics`."""

    replicas: int
    name: str
    shown: Json


class Failure(NamedTuple):
    """Why a metric says nothing: a condition's reason, words, and the same in the words of the whole."""

    reason: str
    why: str
    whole: str


@dataclass(frozen=True)
class Target:
    """The pods that an autoscaler looks at.

    Parameters
    ----------
    pods: by name.
    present: replicas wanted now.
    usage: what their containers use, by pod; None where no metrics API is served.
    """

    pods: Sequence[Json]
    present: int
    tolerance: Tolerance
    now_s: float
    usage: Mapping[str, list[ContainerUsage]] | None


def usage_of(backend: Backend, pods: Sequence[Stored]) -> dict[str, list[ContainerUsage]] | None:
    """What the containers of sampled pods use, by pod; None where no metrics API is served."""
    if backend.registry.find(*POD_METRICS) is None:
        return None
    found = {pod.key[1]: of_containers(backend, pod) for pod in pods}
    return {name: used for name, used in found.items() if used}


def tolerance_of(behavior: Json | None) -> Tolerance:
    """The tolerance that an autoscaler's behavior sets, or the default."""
    down, up = (dig(behavior, part, "tolerance") for part in ("scaleDown", "scaleUp"))
    default = Tolerance()
    return Tolerance(
        default.down if down is None else replicas.thousandths(str(down)) / 1000,
        default.up if up is None else replicas.thousandths(str(up)) / 1000,
    )


def asked(metric: Json, target: Target, namespace: str) -> Answer | Failure:
    """What one entry of `spec.metrics` says about replicas."""
    source = _SOURCES.get(metric["type"])
    if source is None:
        why = f'unknown metric source type "{metric["type"]}"'
        return Failure("InvalidMetricSourceType", why, why)
    return source(metric, target, namespace)


def _resource(metric: Json, target: Target, _namespace: str) -> Answer | Failure:
    spec = metric["resource"]
    answer = _measured(Measured(spec["name"]), spec["target"], target)
    if isinstance(answer, NoProposal):
        return Failure("FailedGetResourceMetric", str(answer), f"failed to get {spec['name']} resource metric value: "
                       f"{answer}")  # fmt: skip
    words = f"{spec['name']} resource"
    if answer.utilization is not None:
        words += " utilization (percentage of request)"
    shown = {"type": "Resource", "resource": {"name": spec["name"], "current": _current(answer)}}
    return Answer(answer.replicas, words, shown)


def _container(metric: Json, target: Target, _namespace: str) -> Answer | Failure:
    spec = metric["containerResource"]
    answer = _measured(Measured(spec["name"], spec["container"]), spec["target"], target)
    if isinstance(answer, NoProposal):
        return Failure("FailedGetContainerResourceMetric", str(answer), f"failed to get {spec['name']} container "
                       f"metric value: {answer}")  # fmt: skip
    words = f"{spec['name']} container resource"
    if answer.utilization is not None:
        words += " utilization (percentage of request)"
    current = {"name": spec["name"], "container": spec["container"], "current": _current(answer)}
    return Answer(answer.replicas, words, {"type": "ContainerResource", "containerResource": current})


def _measured(what: Measured, wanted: Json, target: Target) -> Proposal | NoProposal:
    kind = "usage" if "averageValue" in wanted else "utilization"
    try:
        samples = _samples(what, target)
        rest = (target.present, target.tolerance, target.now_s)
        if kind == "usage":
            value = replicas.thousandths(str(wanted["averageValue"]))
            return replicas.by_average(target.pods, samples, what, value, *rest)
        return replicas.by_utilization(target.pods, samples, what, wanted["averageUtilization"], *rest)
    except NoProposal as error:
        return NoProposal(f"failed to get {what.resource} {kind}: {error}")


def _samples(what: Measured, target: Target) -> dict[str, Sample]:
    """The resource metrics API's answer for a target's pods."""
    unable = f"unable to get metrics for resource {what.resource}: "
    if target.usage is None:
        why = f"unable to fetch metrics from resource metrics API: {_ABSENT} (get pods.metrics.k8s.io)"
        raise NoProposal(unable + why)
    if not target.usage:
        raise NoProposal(f"{unable}no metrics returned from resource metrics API")
    found = {}
    for name, containers in target.usage.items():
        parts = [one for one in containers if what.container in ("", one.name)]
        if not parts:
            raise NoProposal(f"{unable}container {what.container} not present in metrics for pod {name}")
        if what.resource in _VALUES:
            found[name] = Sample(sum(_VALUES[what.resource](one) for one in parts), target.now_s, WINDOW_S)
    return found


# Thousandths of a core or of a byte; each container is rounded up, as the real client's MilliValue does.
_VALUES: dict[str, Callable[[ContainerUsage], int]] = {
    "cpu": lambda one: -(-one.nanocores // 1_000_000),
    "memory": lambda one: one.kibibytes * 1024 * 1000,
}


def _current(answer: Proposal) -> Json:
    value = {"averageValue": decimal(answer.average)}
    return value if answer.utilization is None else {"averageUtilization": answer.utilization, **value}


def decimal(value: int) -> str:
    """Thousandths as a decimal quantity in its shortest form.

    >>> decimal(250), decimal(2000), decimal(52_428_800_000), decimal(120_000_000_000), decimal(0)
    ('250m', '2', '52428800', '120M', '0')
    """
    suffixes = ("m", "", "k", "M", "G", "T", "P", "E")
    step = 0
    while value and value % 1000 == 0 and step < len(suffixes) - 1:
        value, step = value // 1000, step + 1
    return f"{value}{suffixes[step]}" if value else "0"


def _pods(metric: Json, _target: Target, _namespace: str) -> Failure:
    name = metric["pods"]["metric"]["name"]
    why = f"unable to get metric {name}: unable to fetch metrics from custom metrics API: {_NO_CUSTOM}"
    return Failure("FailedGetPodsMetric", why, f"failed to get pods metric value: {why}")


def _object(metric: Json, _target: Target, namespace: str) -> Failure:
    spec = metric["object"]
    about = spec["describedObject"]
    why = (f"unable to get metric {spec['metric']['name']}: {about['kind']} on {namespace} {about['name']}/unable to "
           f"fetch metrics from custom metrics API: {_NO_CUSTOM}")  # fmt: skip
    return Failure("FailedGetObjectMetric", why, f"failed to get object metric value: {why}")


def _external(metric: Json, _target: Target, namespace: str) -> Failure:
    spec = metric["external"]
    name = spec["metric"]["name"]
    of_pod = "averageValue" in spec["target"]
    selector = as_text(dig(spec, "metric", "selector")) or "nil"
    fetch = f"unable to fetch metrics from external metrics API: {_ABSENT} (get {name}.external.metrics.k8s.io)"
    why = f"unable to get external metric {namespace}/{name}/{selector}: {fetch}"
    inner = f"failed to get {name} external metric: {why}" if of_pod else f"failed to get external metric {name}: {why}"
    return Failure("FailedGetExternalMetric", why, f"failed to get external metric value: {inner}")


_NO_CUSTOM = "no custom metrics API (custom.metrics.k8s.io) registered"
_SOURCES: dict[str, Callable[[Json, Target, str], Answer | Failure]] = {
    "Resource": _resource,
    "ContainerResource": _container,
    "Pods": _pods,
    "Object": _object,
    "External": _external,
}
