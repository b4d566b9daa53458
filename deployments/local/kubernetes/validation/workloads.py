"""Rules for pods and for what makes pods: Deployments, ReplicaSets, DaemonSets, Jobs."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.selectors import selects
from deployments.local.kubernetes.status import DUPLICATE, FORBIDDEN, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_PERCENT = re.compile(r"^\d+%$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_RESTART = ("Always", "OnFailure", "Never")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def non_negative(obj: Json, *path: str) -> list[Cause]:
    """A number that may not fall below 0."""
    value = dig(obj, *path)
    if isinstance(value, int) and value < 0:
        return [Cause(INVALID, ".".join(path), f"{value}: must be greater than or equal to 0")]
    return []


def supported(field: str, value: Any, allowed: tuple[str, ...]) -> list[Cause]:
    """A value out of a fixed set."""
    if value is None or value in allowed:
        return []
    words = ", ".join(f'"{entry}"' for entry in allowed)
    return [Cause(NOT_SUPPORTED, field, f'"{value}": supported values: {words}')]


def pod_spec(spec: Json, path: str) -> list[Cause]:
    """Faults of a pod's spec, at a path."""
    causes = supported(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART)
    if not spec.get("containers"):
        causes.append(Cause(REQUIRED, f"{path}.containers"))
    causes += non_negative({"terminationGracePeriodSeconds": spec.get("terminationGracePeriodSeconds")},
                           "terminationGracePeriodSeconds")  # fmt: skip
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    for group in ("initContainers", "containers"):
        names: set[str] = set()
        for index, container in enumerate(spec.get(group, ())):
            causes += _container(container, f"{path}.{group}[{index}]", names, volumes)
    for index, toleration in enumerate(spec.get("tolerations", ())):
        causes += supported(f"{path}.tolerations[{index}].effect", toleration.get("effect"), _EFFECTS)
    return causes


def _container(container: Json, path: str, names: set[str], volumes: set[Any]) -> list[Cause]:
    causes = []
    name = container.get("name", "")
    if not name:
        causes.append(Cause(REQUIRED, f"{path}.name"))
    elif not _DNS_LABEL.match(name):
        causes.append(Cause(INVALID, f"{path}.name", f'"{name}": must be a DNS label'))
    elif name in names:
        causes.append(Cause(DUPLICATE, f"{path}.name", f'"{name}"'))
    names.add(name)
    if not container.get("image"):
        causes.append(Cause(REQUIRED, f"{path}.image"))
    for index, port in enumerate(container.get("ports", ())):
        if not 1 <= port.get("containerPort", 0) <= 65535:
            causes.append(Cause(INVALID, f"{path}.ports[{index}].containerPort", "must be between 1 and 65535"))
    for index, mount in enumerate(container.get("volumeMounts", ())):
        if mount.get("name") not in volumes:
            where = f"{path}.volumeMounts[{index}].name"
            causes.append(Cause("FieldValueNotFound", where, f'"{mount.get("name")}"'))
    limits, requests = dig(container, "resources", "limits", default={}), dig(container, "resources", "requests")
    for resource, request in (requests or {}).items():
        if resource in limits and quantity(request) > quantity(limits[resource]):
            why = f'"{request}": must be less than or equal to {resource} limit of {limits[resource]}'
            causes.append(Cause(INVALID, f"{path}.resources.requests", why))
    return causes


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
    if not selects(selector, labels) and (selector is None or selector):
        why = f"{labels}: `selector` does not match template `labels`"
        causes.append(Cause(INVALID, "spec.template.metadata.labels", why))
    return causes


def _always(spec: Json) -> list[Cause]:
    return supported("spec.template.spec.restartPolicy", dig(spec, "template", "spec", "restartPolicy"), ("Always",))


def _template(obj: Json) -> list[Cause]:
    return pod_spec(dig(obj, "spec", "template", "spec", default={}), "spec.template.spec")


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


def int_or_percent(field: str, value: Any) -> list[Cause]:
    """A count that is not negative, or a percentage."""
    if isinstance(value, str) and not _PERCENT.match(value):
        return [Cause(INVALID, field, f'"{value}": a valid percent string must be digits followed by "%"')]
    if isinstance(value, int) and value < 0:
        return [Cause(INVALID, field, f"{value}: must be greater than or equal to 0")]
    return []


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
    """Faults of a ReplicaSet or a StatefulSet."""
    counts = [*non_negative(obj, "spec", "replicas"), *non_negative(obj, "spec", "minReadySeconds")]
    return [*counts, *_selected_template(obj), *_template(obj), *_always(obj["spec"])]


def daemon_set(obj: Json) -> list[Cause]:
    """Faults of a DaemonSet."""
    return [*_selected_template(obj), *_template(obj), *_always(obj["spec"])]


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
