"""Discovery: what a client reads before anything else."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.kinds import SUBRESOURCE_VERBS, Kind, Registry

Json = dict[str, Any]

GIT_VERSION = "v1.36.2+simulated"
# Subresources whose objects belong to another group.
_FOREIGN = {
    "scale": {"kind": "Scale", "group": "autoscaling", "version": "v1"},
    "eviction": {"kind": "Eviction", "group": "policy", "version": "v1"},
    "binding": {"kind": "Binding"},
}


def version() -> Json:
    """/version."""
    major, minor = GIT_VERSION.removeprefix("v").split(".")[:2]
    return {"major": major, "minor": minor, "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "none",
            "platform": "simulated/python"}  # fmt: skip


def core_versions() -> Json:
    """/api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(registry: Registry) -> Json:
    """/apis."""
    found = [group(registry, name) for name in registry.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> Json:
    """/apis/GROUP.

    Raises
    ------
    KeyError: no such group.
    """
    versions = [{"groupVersion": f"{name}/{entry}", "version": entry} for entry in registry.groups()[name]]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(registry: Registry, group_name: str, version_name: str) -> Json:
    """/api/v1 and /apis/GROUP/VERSION: every resource and its subresources."""
    found: list[Json] = []
    for kind in registry:
        if (kind.group, kind.version) == (group_name, version_name):
            found.append(_resource(kind))
            found += [_subresource(kind, name) for name in kind.subresources]
    place = f"{group_name}/{version_name}" if group_name else version_name
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": place, "resources": found}


def _resource(kind: Kind) -> Json:
    entry: Json = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return entry


def _subresource(kind: Kind, name: str) -> Json:
    return {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
            **_FOREIGN.get(name, {}), "verbs": list(SUBRESOURCE_VERBS[name])}  # fmt: skip
