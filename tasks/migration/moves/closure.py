"""What a workload needs beside itself: the objects that its pods name, and those that select them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blocks.errors import NotFound, Refused
from blocks.kubernetes import KubernetesApi

Object = dict[str, Any]

STATELESS = "continuum.io/stateless"  # annotation: what its volumes claims hold need not go along
HOOK = "continuum.io/move-hook"  # annotation: URL of what takes its data along, see `hook.py`
MOVED_FROM = "continuum.io/moved-from"  # annotation of a copy that stands alone, or is about to: whence, by which move
MOVED_BY = "continuum.io/moved-by"  # label of everything that a move makes, with the id of its intent
EARLY = ("serviceaccounts", "configmaps", "secrets", "networkpolicies", "services", "poddisruptionbudgets")
LATE = ("horizontalpodautoscalers",)  # an autoscaler without load would shrink what is to take the load

_SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink",
                  "ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds")  # fmt: skip
_SERVER_ANNOTATIONS = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration",
                       "continuum.io/move", MOVED_FROM)  # fmt: skip


@dataclass(frozen=True)
class Closure:
    """(resource, bare object) of all that goes along, and the names of what the pods need and do not have."""

    objects: tuple[tuple[str, Object], ...]
    absent: tuple[str, ...]

    def told(self) -> list[str]:
        """`ConfigMap settings`, one a line, as a person reads it before the move."""
        return [f"{each['kind']} {each['metadata']['name']}" for _, each in self.objects]


def replicas_of(workload: Mapping[str, Any]) -> int:
    """Pods that a workload is to have."""
    return int(workload["spec"].get("replicas", 1))


def claims_of(workload: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the volume claims in which a Deployment's or StatefulSet's pods keep data.

    >>> claims_of({"metadata": {"name": "db"}, "spec": {"replicas": 2, "template": {"spec": {}},
    ...            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}})
    ('data-db-0', 'data-db-1')
    """
    spec, name = workload["spec"], workload["metadata"]["name"]
    named = [volume["persistentVolumeClaim"]["claimName"] for volume in spec["template"]["spec"].get("volumes") or ()
             if "persistentVolumeClaim" in volume]  # fmt: skip
    own = [f"{each['metadata']['name']}-{name}-{number}" for each in spec.get("volumeClaimTemplates") or ()
           for number in range(int(spec.get("replicas", 1)))]  # fmt: skip
    return (*named, *own)


def closure_of(api: KubernetesApi, deployment: Mapping[str, Any]) -> Closure:
    """What a workload's pods name (ConfigMaps, Secrets, a ServiceAccount), and what selects or scales them.

    Raises
    ------
    Refused: the pods keep data in volume claims, and nobody said that it need not go along, or what takes it along.
    """
    namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
    spec = template["spec"]
    claims, marks = claims_of(deployment), deployment["metadata"].get("annotations") or {}
    if claims and marks.get(STATELESS) != "true" and not marks.get(HOOK):
        raise Refused(f"its pods keep data in {', '.join(claims)}", where=_where(deployment),
                      fix=f"annotate it {STATELESS}: 'true' if that data need not go along, "
                          f"or {HOOK} with the URL of what takes it along")  # fmt: skip
    found: list[tuple[str, Object]] = []
    absent: list[str] = []
    headless = [("services", deployment["spec"]["serviceName"], True)] if deployment["spec"].get("serviceName") else []
    for resource, name, optional in sorted({*named_by(spec), *headless}):
        try:
            found.append((resource, bare(api.get(resource, name, namespace))))
        except NotFound:
            if not optional and (resource, name) != ("serviceaccounts", "default"):
                absent.append(f"{resource}/{name}")
    labels = template["metadata"].get("labels") or {}
    for resource in ("services", "poddisruptionbudgets", "networkpolicies", "horizontalpodautoscalers"):
        for each in api.list(resource, namespace):
            known = (resource, each["metadata"]["name"]) in {(one, kept["metadata"]["name"]) for one, kept in found}
            if not known and belongs(resource, each, deployment["metadata"]["name"], labels):
                found.append((resource, bare(each | {"kind": _KINDS[resource], "apiVersion": _VERSIONS[resource]})))
    return Closure(tuple(found), tuple(absent))


_KINDS = {"services": "Service", "poddisruptionbudgets": "PodDisruptionBudget", "networkpolicies": "NetworkPolicy",
          "horizontalpodautoscalers": "HorizontalPodAutoscaler"}  # fmt: skip
_VERSIONS = {"services": "v1", "poddisruptionbudgets": "policy/v1", "networkpolicies": "networking.k8s.io/v1",
             "horizontalpodautoscalers": "autoscaling/v2"}  # fmt: skip


def bare(found: Mapping[str, Any]) -> Object:
    """An object as somebody would write it: without what the server adds, and without its status.

    >>> bare({"kind": "ConfigMap", "metadata": {"name": "a", "uid": "1"}, "data": {"k": "v"}, "status": {}})
    {'kind': 'ConfigMap', 'metadata': {'name': 'a'}, 'data': {'k': 'v'}}
    """
    kept = {key: value for key, value in found.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in kept["metadata"].items() if key not in _SERVER_FIELDS}
    if annotations := kept["metadata"].get("annotations"):
        left = {key: value for key, value in annotations.items() if key not in _SERVER_ANNOTATIONS}
        kept["metadata"] |= {"annotations": left}
    if kept.get("kind") == "Service":  # the target's addresses are its own
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in (
            "clusterIP", "clusterIPs", "healthCheckNodePort")}  # fmt: skip
        kept["spec"]["ports"] = [{key: value for key, value in port.items() if key != "nodePort"}
                                 for port in kept["spec"].get("ports") or ()]  # fmt: skip
    return kept


def named_by(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """(resource, name, whether the pods start without it) of what a pod template names."""
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", account, False
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret["name"], True
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_volume(source)
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        yield from _of_container(container)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for key, resource, name in (("configMap", "configmaps", "name"), ("secret", "secrets", "secretName"),
                                ("secret", "secrets", "name")):  # fmt: skip
        source = volume.get(key) or {}
        if source.get(name):
            yield resource, source[name], bool(source.get("optional"))


def _of_container(container: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    references: Iterable[Mapping[str, Any]] = [
        *(container.get("envFrom") or ()), *((each.get("valueFrom") or {}) for each in container.get("env") or ())
    ]  # fmt: skip
    for reference in references:
        for key, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets"),
                              ("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):  # fmt: skip
            if name := (reference.get(key) or {}).get("name"):
                yield resource, name, bool(reference[key].get("optional"))


def belongs(resource: str, each: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether a Service, budget, policy or autoscaler is about the pods of a workload of that name and those labels."""
    spec = each.get("spec") or {}
    if resource == "horizontalpodautoscalers":
        target = spec.get("scaleTargetRef") or {}
        return target.get("kind") in ("Deployment", "StatefulSet") and target.get("name") == name
    if resource == "services":
        selector = spec.get("selector") or {}
    else:
        key = "podSelector" if resource == "networkpolicies" else "selector"
        selector = (spec.get(key) or {}).get("matchLabels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _where(deployment: Mapping[str, Any]) -> str:
    return f"workload {deployment['metadata']['namespace']}/{deployment['metadata']['name']}"
