"""What of a workload's closure nothing else in a namespace needs: only that may go with the workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from blocks.errors import Conflict, ContinuumError, NotFound, Throttled, Unreachable
from blocks.kubernetes import KubernetesApi, owner
from blocks.kubernetes.connection import path_of
from tasks.migration.moves import objects
from tasks.migration.moves.closure import Object, belongs, named_by
from tasks.migration.moves.plan import MovePlan

Name = tuple[str, str]  # resource and name

_RUNS_PODS = ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "pods")
_NOBODYS = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")}  # every namespace has these


def unneeded(api: KubernetesApi, plan: MovePlan) -> set[Name]:
    """What of the closure no other pod, workload, account, route or binding of the namespace names or selects.

    Raises
    ------
    ContinuumError: something cannot be listed; then nothing may be taken for unneeded.
    """
    others = list(_others(api, plan))
    needed = {(resource, name) for _, spec in others for resource, name, _ in named_by(spec)} | _NOBODYS
    bound = [_listed(api, "rolebindings", plan.namespace), _listed(api, "clusterrolebindings", None)]
    own = {each["metadata"]["name"] for resource, each in plan.closure if resource == "serviceaccounts"}
    accounts = [each for each in _listed(api, "serviceaccounts", plan.namespace) if each["metadata"]["name"] not in own]
    routes = [each.get("spec") for kind in ("ingresses", "httproutes") for each in _listed(api, kind, plan.namespace)]
    told = {
        "services": set(_texts(routes)),
        "secrets": set(_texts([routes, [[each.get("secrets"), each.get("imagePullSecrets")] for each in accounts]])),
        "serviceaccounts": set(_texts([[each.get("subjects") for each in kind] for kind in bound])),
    }
    free: set[Name] = set()
    for resource, each in plan.closure:
        name = each["metadata"]["name"]
        selects = any(belongs(resource, each, "", labels) for labels, _ in others)
        if not (selects or name in told.get(resource, ()) or (resource, name) in needed):
            free.add((resource, name))
    return free


def clear_source(source: KubernetesApi, target: KubernetesApi, plan: MovePlan) -> list[str]:
    """Remove what moved along and nothing else needs there; in words, what stays and why.

    An object goes only while it is as it was planned, nobody else owns it, and the target has the same.

    Raises
    ------
    Unreachable, Throttled, Conflict: ask again; what is gone already counts as removed.
    """
    try:
        free = {
            (resource, name)
            for resource, name in unneeded(source, plan)
            if resource != "services" or plan.route is None
        }  # a route's weights name Services of both clusters
    except (Unreachable, Throttled, Conflict):
        raise
    except ContinuumError as error:
        return [f"all that moved along ({error})"]
    kept = []
    for resource, each in reversed(plan.closure):
        name = each["metadata"]["name"]
        there = objects.found(source, resource, name, plan.namespace)
        why = "" if there is None else _why_kept(there, each, (resource, name) in free)
        if there is not None and not why:
            copy = objects.found(target, resource, name, plan.namespace)
            why = "" if copy is not None and objects.says(copy, each) else "the target has not the same"
        if why:
            kept.append(f"{each['kind']} {name} ({why})")
        elif there is not None:
            try:
                source.delete_at(path_of(resource, namespace=plan.namespace), name,
                                 resource_version=there["metadata"]["resourceVersion"])  # fmt: skip
            except (Unreachable, Throttled, Conflict):
                raise
            except ContinuumError as error:
                kept.append(f"{each['kind']} {name} ({error.what})")
    return kept


def _why_kept(there: Object, planned: Object, is_free: bool) -> str:
    if not is_free:
        return "others need it"
    if whose := owner(there) or ((there["metadata"].get("ownerReferences") or [{}])[0].get("kind")):
        return f"{whose} owns it"
    return "" if objects.says(there, planned) else "it was edited"


def _others(api: KubernetesApi, plan: MovePlan) -> Iterator[tuple[Mapping[str, str], Mapping[str, Any]]]:
    """(labels, pod spec) of every pod, and template of pods, that is not the workload's own."""
    for resource in _RUNS_PODS:
        for each in _listed(api, resource, plan.namespace):
            if _is_own(resource, each, plan):
                continue
            if resource == "pods":
                yield each["metadata"].get("labels") or {}, each.get("spec") or {}
                continue
            spec = each["spec"].get("jobTemplate", each).get("spec") or {}
            template = spec.get("template") or {}
            yield (template.get("metadata") or {}).get("labels") or {}, template.get("spec") or {}


def _is_own(resource: str, each: Mapping[str, Any], plan: MovePlan) -> bool:
    """Whether it is the workload, or what held its room, or of one of them."""
    mine = (plan.name, objects.hold_name(plan))
    if resource == "deployments" and each["metadata"]["name"] in mine:
        return True
    owners = [(one.get("kind"), str(one.get("name"))) for one in each["metadata"].get("ownerReferences") or ()]
    return any(
        (kind == "Deployment" and name in mine)
        or (resource == "pods" and kind == "ReplicaSet" and name.rpartition("-")[0] in mine)
        for kind, name in owners
    )


def _listed(api: KubernetesApi, resource: str, namespace: str | None) -> list[Object]:
    """All of a kind; none where the cluster does not know the kind."""
    with suppress(NotFound):
        return api.list(resource, namespace)
    return []


def _texts(tree: Any) -> Iterator[str]:
    """All texts in it: one that is a name counts as naming the object."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for each in tree.values():
            yield from _texts(each)
    elif isinstance(tree, (list, tuple)):
        for each in tree:
            yield from _texts(each)
