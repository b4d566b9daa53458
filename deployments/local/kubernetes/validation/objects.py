"""Rules for the kinds that are no workloads."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.status import FORBIDDEN, INVALID, REQUIRED, TOO_LONG, Cause
from deployments.local.kubernetes.trees import dig
from deployments.local.kubernetes.validation.selectors import int_or_percent, label_selector, non_negative, supported

Json = dict[str, Any]

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = ("system-cluster-critical", "system-node-critical")

_CONFIG_KEY = re.compile(r"^(?!\.{1,2}\Z)[-._a-zA-Z0-9]{1,253}\Z")
_TOTAL_BYTES = 1024 * 1024
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NEEDED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def node(obj: Json) -> list[Cause]:
    """Faults of a Node. The real server files taints under metadata."""
    causes = []
    for index, taint in enumerate(dig(obj, "spec", "taints", default=())):
        path = f"metadata.taints[{index}]"
        if not taint.get("key"):
            causes.append(Cause(REQUIRED, f"{path}.key"))
        causes += supported(f"{path}.effect", taint.get("effect", ""), _EFFECTS)
    return causes


def _config_keys(obj: Json, field: str) -> list[Cause]:
    rule = "a key is 1 to 253 letters, digits, '-', '_' or '.'"
    return [Cause(INVALID, f"{field}[{key}]", f'"{key}": {rule}')
            for key in obj.get(field, {}) if not _CONFIG_KEY.match(key)]  # fmt: skip


def config_map(obj: Json) -> list[Cause]:
    """Faults of a ConfigMap."""
    binary = obj.get("binaryData", {})
    both = [Cause(INVALID, f"data[{key}]", f'"{key}": duplicate of key present in binaryData')
            for key in obj.get("data", {}) if key in binary]  # fmt: skip
    return [*_config_keys(obj, "data"), *both, *_config_keys(obj, "binaryData"), *_size(obj, "data", "binaryData")]


def _size(obj: Json, *fields: str) -> list[Cause]:
    size = sum(len(value) for field in fields for value in obj.get(field, {}).values())
    return [Cause(TOO_LONG, "", f"may not be more than {_TOTAL_BYTES} bytes")] if size > _TOTAL_BYTES else []


def secret(obj: Json) -> list[Cause]:
    """Faults of a Secret."""
    data = obj.get("data", {})
    needed = _NEEDED_KEYS.get(obj.get("type", ""), ())
    return [
        *_config_keys(obj, "data"),
        *_size(obj, "data"),
        *(Cause(REQUIRED, f"data[{key}]") for key in needed if key not in data),
    ]


def event(obj: Json) -> list[Cause]:
    """Faults of an Event: it lives in the namespace of what it is about."""
    about, own = dig(obj, "involvedObject", "namespace"), obj["metadata"].get("namespace", "")
    if about and about != own:
        return [Cause(INVALID, "involvedObject.namespace", f'"{about}": does not match event.namespace')]
    return []


def autoscaler(obj: Json) -> list[Cause]:
    """Faults of a HorizontalPodAutoscaler."""
    spec, causes = obj["spec"], []
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if low < 1:
        causes.append(Cause(INVALID, "spec.minReplicas", f"{low}: must be greater than or equal to 1"))
    if high < 1:
        causes.append(Cause(REQUIRED, "spec.maxReplicas", "must be set and greater than 0"))
    if high < low:
        causes.append(Cause(INVALID, "spec.maxReplicas", f"{high}: must be greater than or equal to `minReplicas`"))
    for field in ("kind", "name"):
        if not dig(spec, "scaleTargetRef", field):
            causes.append(Cause(REQUIRED, f"spec.scaleTargetRef.{field}"))
    return causes


def disruption_budget(obj: Json) -> list[Cause]:
    """Faults of a PodDisruptionBudget."""
    spec = obj.get("spec", {})
    causes = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        causes.append(Cause(INVALID, "spec", "minAvailable and maxUnavailable cannot be both set"))
    for field in ("minAvailable", "maxUnavailable"):
        causes += int_or_percent(f"spec.{field}", spec.get(field))
    policies = ("IfHealthyBudget", "AlwaysAllow")
    causes += label_selector(spec.get("selector"), "spec.selector")
    return [*causes, *supported("spec.unhealthyPodEvictionPolicy", spec.get("unhealthyPodEvictionPolicy"), policies)]


def lease(obj: Json) -> list[Cause]:
    """Faults of a Lease."""
    duration = dig(obj, "spec", "leaseDurationSeconds")
    causes = []
    if duration is not None and duration <= 0:
        causes.append(Cause(INVALID, "spec.leaseDurationSeconds", f"{duration}: must be greater than 0"))
    return [*causes, *non_negative(obj, "spec", "leaseTransitions")]


def priority_class(obj: Json) -> list[Cause]:
    """Faults of a PriorityClass: `system-` and the highest values are the system's own."""
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    causes: list[Cause] = []
    if name in SYSTEM_CLASSES:
        return causes
    if name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only"
        causes.append(Cause(FORBIDDEN, "metadata.name", why))
    if value > HIGHEST_USER_PRIORITY:
        why = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        causes.append(Cause(FORBIDDEN, "value", why))
    return [*causes, *supported("preemptionPolicy", obj.get("preemptionPolicy"), ("Never", "PreemptLowerPriority"))]


def role(obj: Json) -> list[Cause]:
    """Faults of a Role or ClusterRole."""
    causes = []
    for index, rule in enumerate(obj.get("rules", ())):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            causes.append(Cause(REQUIRED, f"{path}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if obj["metadata"].get("namespace"):
                why = "namespaced rules cannot apply to non-resource URLs"
                causes.append(Cause(INVALID, f"{path}.nonResourceURLs", why))
            continue
        for field in ("apiGroups", "resources"):
            if not rule.get(field):
                causes.append(Cause(REQUIRED, f"{path}.{field}", f"resource rules must supply at least one of {field}"))
    return causes


def role_binding(obj: Json) -> list[Cause]:
    """Faults of a RoleBinding or ClusterRoleBinding."""
    causes = [] if dig(obj, "roleRef", "name") else [Cause(REQUIRED, "roleRef.name")]
    kinds = ("Role", "ClusterRole") if obj["metadata"].get("namespace") else ("ClusterRole",)
    causes += supported("roleRef.kind", dig(obj, "roleRef", "kind", default=""), kinds)
    for index, subject in enumerate(obj.get("subjects", ())):
        path = f"subjects[{index}]"
        if not subject.get("name"):
            causes.append(Cause(REQUIRED, f"{path}.name"))
        causes += supported(f"{path}.kind", subject.get("kind", ""), ("Group", "ServiceAccount", "User"))
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            causes.append(Cause(REQUIRED, f"{path}.namespace"))
    return causes
