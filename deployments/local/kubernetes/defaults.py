"""Defaults that the server fills in: per kind, in place, on an object fresh from decoding."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes.trees import clone

Json = dict[str, Any]

_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_POD = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}
_QUARTER = "25%"
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_FILE_MODE = 0o644


def _fill(target: Json, values: Json) -> None:
    for key, value in values.items():
        target.setdefault(key, clone(value))


def _pull_policy(image: str) -> str:
    tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
    return "Always" if tag in ("", "latest") and "@" not in image else "IfNotPresent"


def pod_spec(spec: Json) -> None:
    """Defaults of a pod's spec or of a template's."""
    _fill(spec, _POD)
    spec.setdefault("securityContext", {})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(group, ()):
            _container(container, host_network=spec.get("hostNetwork", False))
    for volume in spec.get("volumes", ()):
        _volume(volume)


def _container(container: Json, *, host_network: bool) -> None:
    container.setdefault("resources", {})
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    _fill(container, _CONTAINER)
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    resources = container["resources"]
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **resources.get("requests", {})}
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            _fill(probe, _PROBE)
            _http(probe)
    for hook in container.get("lifecycle", {}).values():
        if isinstance(hook, dict):
            _http(hook)
    for variable in container.get("env", ()):
        value = variable.get("valueFrom", {})
        if "fieldRef" in value:
            value["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in value:
            value["resourceFieldRef"].setdefault("divisor", "0")


def _http(handler: Json) -> None:
    if "httpGet" in handler:
        _fill(handler["httpGet"], {"path": "/", "scheme": "HTTP"})
    if "grpc" in handler:
        handler["grpc"].setdefault("service", "")


def _volume(volume: Json) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in volume.get("projected", {}).get("sources", ()):
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    if "spec" in (template := volume.get("ephemeral", {}).get("volumeClaimTemplate", {})):
        template["spec"].setdefault("volumeMode", "Filesystem")


def _template(obj: Json) -> None:
    pod_spec(obj.get("spec", {}).get("template", {}).setdefault("spec", {}))


def _pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for entry in obj.get("status", {}).get("containerStatuses", ()):
        entry.setdefault("lastState", {})


def _deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = spec.setdefault("strategy", {})
    _rolling(strategy, {"maxUnavailable": _QUARTER, "maxSurge": _QUARTER})
    _template(obj)


def _replica_set(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("replicas", 1)
    _template(obj)
    obj.setdefault("status", {}).setdefault("replicas", 0)


def _stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady"})
    _rolling(spec.setdefault("updateStrategy", {}), {"partition": 0})
    _fill(
        spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), {"whenDeleted": "Retain", "whenScaled": "Retain"}
    )
    for claim in spec.get("volumeClaimTemplates", ()):
        _claim(claim)
    _template(obj)
    _fill(obj.setdefault("status", {}), {"replicas": 0, "availableReplicas": 0})


def _rolling(strategy: Json, values: Json) -> None:
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        _fill(strategy.setdefault("rollingUpdate", {}), values)


def _daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    _rolling(spec.setdefault("updateStrategy", {}), {"maxUnavailable": 1, "maxSurge": 0})
    _template(obj)
    counters = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    _fill(obj.setdefault("status", {}), dict.fromkeys(counters, 0))


def _cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, {"concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
                 "failedJobsHistoryLimit": 1})  # fmt: skip
    template = spec.setdefault("jobTemplate", {}).setdefault("spec", {}).setdefault("template", {})
    _job_template(template)
    obj.setdefault("status", {})


def _job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    _fill(spec, {"parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False})
    _fill(spec, {"podReplacementPolicy": "TerminatingOrFailed", "manualSelector": False})
    _job_template(spec.get("template", {}))


def _job_template(template: Json) -> None:
    spec = template.setdefault("spec", {})
    said = spec.get("restartPolicy")
    pod_spec(spec)
    if said is None:  # a Job's template must say it; the pods' own default would be refused under another name
        del spec["restartPolicy"]


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _secret(obj: Json) -> None:
    """`stringData` is write-only: it goes over into `data`."""
    obj.setdefault("type", "Opaque")
    for key, text in obj.pop("stringData", {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


# scaleDown's stabilizationWindowSeconds stays open: the controller's own default is meant.
_SCALING: Json = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15},
                     {"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
    "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
}  # fmt: skip


def _hpa(obj: Json) -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    spec.setdefault("metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    if spec.get("behavior") is not None:
        for direction, rules in _SCALING.items():
            _fill(spec["behavior"].setdefault(direction, {}), rules)


def _event(obj: Json) -> None:
    _fill(obj, {"reportingComponent": "", "reportingInstance": ""})
    obj.setdefault("source", {})


def _priority_class(obj: Json) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _endpoint_slice(obj: Json) -> None:
    obj.setdefault("endpoints", [])
    for port in obj.get("ports", ()):
        _fill(port, {"protocol": "TCP", "name": ""})


def _claim(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _persistent_volume(obj: Json) -> None:
    _fill(obj.setdefault("spec", {}), {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    obj.setdefault("status", {}).setdefault("phase", "Available")


def _storage_class(obj: Json) -> None:
    _fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    for rule in [*spec.get("ingress", ()), *spec.get("egress", ())]:
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _ingress(obj: Json) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _endpoints(obj: Json) -> None:
    for subset in obj.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _namespace(obj: Json) -> None:
    obj.setdefault("status", {}).setdefault("phase", "Active")
    obj.setdefault("spec", {})


def _binding(obj: Json) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


DEFAULTS: dict[str, Callable[[Json], None]] = {
    "namespaces": _namespace,
    "pods": _pod,
    "services": _service,
    "secrets": _secret,
    "events": _event,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "jobs.batch": _job,
    "horizontalpodautoscalers.autoscaling": _hpa,
    "cronjobs.batch": _cron_job,
    "ingresses.networking.k8s.io": _ingress,
    "networkpolicies.networking.k8s.io": _network_policy,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _persistent_volume,
    "storageclasses.storage.k8s.io": _storage_class,
    "endpoints": _endpoints,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
}


def fill(resource: str, obj: Json) -> None:
    """Fill in the defaults of a stored resource, in place."""
    if (defaults := DEFAULTS.get(resource)) is not None:
        defaults(obj)
    elif resource == "nodes":
        obj.setdefault("spec", {})
        obj.setdefault("status", {})
