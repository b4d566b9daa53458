"""What a workload needs beside itself: the objects that its pods name, and those that select them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blocks.errors import NotFound, Refused
from blocks.kubernetes import KubernetesApi

Object = dict[str, Any]

STATELESS = "continuum.io/stateless"  # annotation: what its volumes claims hold need not go along
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


def closure_of(api: KubernetesApi, deployment: Mapping[str, Any]) -> Closure:
    """What a Deployment's pods name (ConfigMaps, Secrets, a ServiceAccount), and what selects or scales them.

    Raises
    ------
    Refused: the pods keep data in volume claims, and nobody said that they need not go along.
    """
    namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
    spec = template["spec"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in spec.get("volumes") or ()
              if "persistentVolumeClaim" in volume]  # fmt: skip
    marks = deployment["metadata"].get("annotations") or {}
    if claims and marks.get(STATELESS) != "true":
        raise Refused(f"its pods keep data in {', '.join(claims)}", where=_where(deployment),
                      fix=f"annotate it {STATELESS}: 'true' if that data need not go along")  # fmt: skip
    found: list[tuple[str, Object]] = []
    absent: list[str] = []
    for resource, name, optional in sorted(set(named_by(spec))):
        try:
            found.append((resource, bare(api.get(resource, name, namespace))))
        except NotFound:
            if not optional and (resource, name) != ("serviceaccounts", "default"):
                absent.append(f"{resource}/{name}")
    labels = template["metadata"].get("labels") or {}
    for resource in ("services", "poddisruptionbudgets", "networkpolicies", "horizontalpodautoscalers"):
        for each in api.list(resource, namespace):
            if belongs(resource, each, deployment["metadata"]["name"], labels):
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
        return (target.get("kind"), target.get("name")) == ("Deployment", name)
    if resource == "services":
        selector = spec.get("selector") or {}
    else:
        key = "podSelector" if resource == "networkpolicies" else "selector"
        selector = (spec.get(key) or {}).get("matchLabels") or {}
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _where(deployment: Mapping[str, Any]) -> str:
    return f"workload {deployment['metadata']['namespace']}/{deployment['metadata']['name']}"
