"""Rules for a pod's spec, in a Pod or in a template."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.status import DUPLICATE, FORBIDDEN, INVALID, NOT_FOUND, REQUIRED, Cause
from deployments.local.kubernetes.trees import dig
from deployments.local.kubernetes.validation.metadata import check_labels
from deployments.local.kubernetes.validation.selectors import label_selector, port_number, supported

Json = dict[str, Any]

DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_PORT_NAME = re.compile(r"^(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?\Z")
_ENV_NAME = re.compile(r"^(?!=)[ -<>-~]+\Z")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")

# Values out of fixed sets, by field.
_SPEC_CHOICES = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "dnsPolicy": ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    "preemptionPolicy": ("Never", "PreemptLowerPriority"),
}
_CONTAINER_CHOICES = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
}
_NOT_BELOW = {"terminationGracePeriodSeconds": 0, "activeDeadlineSeconds": 1}
_PROBE_NOT_BELOW = {"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 1, "successThreshold": 1,
                    "failureThreshold": 1}  # fmt: skip


def pod_spec(spec: Json, path: str) -> list[Cause]:
    """Faults of a pod's spec, at a path."""
    causes = [*_choices(spec, _SPEC_CHOICES, path), *_bounds(spec, _NOT_BELOW, path), *_volumes(spec, path)]
    if not spec.get("containers"):
        causes.append(Cause(REQUIRED, f"{path}.containers"))
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    names: set[str] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group, ())):
            causes += _container(container, f"{path}.{group}[{index}]", names, volumes)
    causes += _host_ports(spec, path)
    for index, toleration in enumerate(spec.get("tolerations", ())):
        causes += _toleration(toleration, f"{path}.tolerations[{index}]")
    causes += check_labels(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    return [*causes, *_placement(spec, path)]


def _choices(obj: Json, choices: dict[str, tuple[str, ...]], path: str) -> list[Cause]:
    return [cause for field, allowed in choices.items()
            for cause in supported(f"{path}.{field}", obj.get(field), allowed)]  # fmt: skip


def _bounds(obj: Json, bounds: dict[str, int], path: str) -> list[Cause]:
    return [Cause(INVALID, f"{path}.{field}", f"{obj[field]}: must be greater than or equal to {least}")
            for field, least in bounds.items() if field in obj and obj[field] < least]  # fmt: skip


def _named(path: str, name: str, names: set[str], pattern: re.Pattern[str] = DNS_LABEL) -> list[Cause]:
    """A name that is required, of a form, and used once; it is added to the names."""
    known = name in names
    names.add(name)
    if not name:
        return [Cause(REQUIRED, path)]
    if not pattern.match(name):
        return [Cause(INVALID, path, f'"{name}": must be a lower case DNS label of at most 63 characters')]
    return [Cause(DUPLICATE, path, f'"{name}"')] if known else []


def _volumes(spec: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes", ())):
        here = f"{path}.volumes[{index}]"
        causes += _named(f"{here}.name", volume.get("name", ""), names)
        if len(volume) > 2:
            causes.append(Cause(FORBIDDEN, f"{here}.{sorted(set(volume) - {'name'})[1]}",
                                "may not specify more than 1 volume type"))  # fmt: skip
        for source, field in (("persistentVolumeClaim", "claimName"), ("secret", "secretName"), ("configMap", "name"),
                              ("hostPath", "path")):  # fmt: skip
            if source in volume and not volume[source].get(field):
                causes.append(Cause(REQUIRED, f"{here}.{source}.{field}"))
    return causes


def _container(container: Json, path: str, names: set[str], volumes: set[Any]) -> list[Cause]:
    causes = _named(f"{path}.name", container.get("name", ""), names)
    if not container.get("image"):
        causes.append(Cause(REQUIRED, f"{path}.image"))
    elif container["image"] != container["image"].strip():
        causes.append(Cause(INVALID, f"{path}.image", "must not have leading or trailing whitespace"))
    causes += _choices(container, _CONTAINER_CHOICES, path)
    causes += _ports(container, path)
    for index, variable in enumerate(container.get("env", ())):
        if not _ENV_NAME.match(variable.get("name", "")):
            why = f'"{variable.get("name", "")}": a name of printable characters without "="'
            causes.append(Cause(INVALID if variable.get("name") else REQUIRED, f"{path}.env[{index}].name", why))
        if variable.get("value") and variable.get("valueFrom"):
            why = "may not be specified when `value` is not empty"
            causes.append(Cause(INVALID, f"{path}.env[{index}].valueFrom", why))
    causes += [*_mounts(container, path, volumes), *_resources(container, path)]
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        causes += _probe(container.get(name), f"{path}.{name}", single=name != "readinessProbe")
    return causes


def _ports(container: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, port in enumerate(container.get("ports", ())):
        here = f"{path}.ports[{index}]"
        if port.get("name"):
            causes += _named(f"{here}.name", port["name"], names, _PORT_NAME)
        causes += port_number(f"{here}.containerPort", port.get("containerPort", 0))
        if "hostPort" in port:
            causes += port_number(f"{here}.hostPort", port["hostPort"])
        causes += supported(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)
    return causes


def _host_ports(spec: Json, path: str) -> list[Cause]:
    causes, taken = [], set()
    for index, container in enumerate(spec.get("containers", ())):
        for number, port in enumerate(container.get("ports", ())):
            key = (port.get("hostPort"), port.get("protocol"), port.get("hostIP"))
            if key[0] and key in taken:
                where = f"{path}.containers[{index}].ports[{number}].hostPort"
                causes.append(Cause(DUPLICATE, where, f'"{key[2] or ""}/{key[0]}/{key[1]}"'))
            taken.add(key)
    return causes


def _mounts(container: Json, path: str, volumes: set[Any]) -> list[Cause]:
    causes, places = [], set()
    for index, mount in enumerate(container.get("volumeMounts", ())):
        here, place = f"{path}.volumeMounts[{index}]", mount.get("mountPath")
        if mount.get("name") not in volumes:
            causes.append(Cause(NOT_FOUND, f"{here}.name", f'"{mount.get("name")}"'))
        if not place:
            causes.append(Cause(REQUIRED, f"{here}.mountPath"))
        elif place in places:
            causes.append(Cause(INVALID, f"{here}.mountPath", f'"{place}": must be unique'))
        places.add(place)
    return causes


def _resources(container: Json, path: str) -> list[Cause]:
    causes = []
    limits, requests = (dig(container, "resources", part, default={}) for part in ("limits", "requests"))
    for part, amounts in (("limits", limits), ("requests", requests)):
        for resource, amount in amounts.items():
            if quantity(amount) < 0:
                why = f'"{amount}": must be greater than or equal to 0'
                causes.append(Cause(INVALID, f"{path}.resources.{part}[{resource}]", why))
    for resource, request in requests.items():
        if resource in limits and quantity(request) > quantity(limits[resource]):
            why = f'"{request}": must be less than or equal to {resource} limit of {limits[resource]}'
            causes.append(Cause(INVALID, f"{path}.resources.requests", why))
    return causes


def _probe(probe: Json | None, path: str, *, single: bool) -> list[Cause]:
    if probe is None:
        return []
    handlers = [name for name in _HANDLERS if name in probe]
    causes = _bounds(probe, _PROBE_NOT_BELOW, path)
    if not handlers:
        causes.append(Cause(REQUIRED, path, "must specify a handler type"))
    causes += [Cause(FORBIDDEN, f"{path}.{name}", "may not specify more than 1 handler type") for name in handlers[1:]]
    if single and probe.get("successThreshold", 1) != 1:
        causes.append(Cause(INVALID, f"{path}.successThreshold", f"{probe['successThreshold']}: must be 1"))
    return causes


def _toleration(toleration: Json, path: str) -> list[Cause]:
    causes = supported(f"{path}.effect", toleration.get("effect"), _EFFECTS)
    operator = toleration.get("operator", "Equal")
    causes += supported(f"{path}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and toleration.get("value"):
        causes.append(Cause(INVALID, f"{path}.operator", "value must be empty when `operator` is 'Exists'"))
    if not toleration.get("key") and operator != "Exists":
        why = "operator must be Exists when `key` is empty, which means 'match all values and all keys'"
        causes.append(Cause(INVALID, f"{path}.operator", why))
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(Cause(INVALID, f"{path}.effect", why))
    return causes


def _placement(spec: Json, path: str) -> list[Cause]:
    """Affinity and topology spread: what a scheduler could not read."""
    causes: list[Cause] = []
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    affinity, here = spec.get("affinity", {}), f"{path}.affinity"
    nodes = dig(affinity, "nodeAffinity", required)
    if nodes is not None and not nodes.get("nodeSelectorTerms"):
        causes.append(Cause(REQUIRED, f"{here}.nodeAffinity.{required}.nodeSelectorTerms"))
    for index, term in enumerate(dig(nodes, "nodeSelectorTerms", default=())):
        causes += _node_term(term, f"{here}.nodeAffinity.{required}.nodeSelectorTerms[{index}]")
    for index, entry in enumerate(dig(affinity, "nodeAffinity", preferred, default=())):
        causes += _node_term(entry.get("preference", {}), f"{here}.nodeAffinity.{preferred}[{index}].preference")
    for name in ("podAffinity", "podAntiAffinity"):
        terms: Iterable[Json] = [*dig(affinity, name, required, default=()),
                                 *(entry.get("podAffinityTerm", {})
                                   for entry in dig(affinity, name, preferred, default=()))]  # fmt: skip
        for index, term in enumerate(terms):
            causes += label_selector(term.get("labelSelector"), f"{here}.{name}.{required}[{index}].labelSelector")
            if not term.get("topologyKey"):
                causes.append(Cause(REQUIRED, f"{here}.{name}.{required}[{index}].topologyKey", "can not be empty"))
    for index, spread in enumerate(spec.get("topologySpreadConstraints", ())):
        at = f"{path}.topologySpreadConstraints[{index}]"
        causes += [*_bounds({"maxSkew": spread.get("maxSkew", 0)}, {"maxSkew": 1}, at),
                   *supported(f"{at}.whenUnsatisfiable", spread.get("whenUnsatisfiable", ""),
                              ("DoNotSchedule", "ScheduleAnyway")),
                   *label_selector(spread.get("labelSelector"), f"{at}.labelSelector")]  # fmt: skip
        if not spread.get("topologyKey"):
            causes.append(Cause(REQUIRED, f"{at}.topologyKey", "can not be empty"))
    return causes


def _node_term(term: Json, path: str) -> list[Cause]:
    causes = []
    for index, entry in enumerate(term.get("matchExpressions", ())):
        operator, values, here = entry.get("operator", ""), entry.get("values", []), f"{path}.matchExpressions[{index}]"
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
            causes.append(Cause(INVALID, f"{here}.operator", f'"{operator}": not a valid selector operator'))
        elif operator in ("In", "NotIn") and not values:
            causes.append(Cause(REQUIRED, f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Gt", "Lt") and len(values) != 1:
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(Cause(REQUIRED, f"{here}.values", why))
        if not entry.get("key"):
            causes.append(Cause(REQUIRED, f"{here}.key"))
    return causes
