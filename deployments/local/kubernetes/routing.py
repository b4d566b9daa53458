"""From a request's path to what it means."""

from __future__ import annotations

from typing import NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.access import Request
from deployments.local.kubernetes.kinds import Kind, Registry


class UnknownPath(LookupError):
    """Nothing is served under the path; the real server answers plain text."""


class Target(NamedTuple):
    """A resource's path, taken apart.

    Parameters
    ----------
    namespace: None for all namespaces.
    watched: whether the path is one of the old /watch/ ones.
    """

    kind: Kind
    namespace: str | None
    name: str = ""
    subresource: str = ""
    watched: bool = False

    @property
    def place(self) -> str:
        """Namespace as the store keys it."""
        return self.namespace or ""


# What a method asks for, by the part of the resource that the path names.
COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCE_METHODS = {
    "status": {"GET": "get", "PUT": "update", "PATCH": "patch"},
    "scale": {"GET": "get", "PUT": "update", "PATCH": "patch"},
    "eviction": {"POST": "create"},
    "binding": {"POST": "create"},
    "token": {"POST": "create"},
    "finalize": {"PUT": "update"},
}


def locate(registry: Registry, path: str) -> Target:
    """The resource that a path under /api/ or /apis/ names.

    Raises
    ------
    UnknownPath: no such group or version.
    StatusError: 404, no such resource in it.
    """
    parts = [part for part in path.split("/") if part]
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) > 2:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise UnknownPath(path)
    if version not in registry.groups().get(group, ()):
        raise UnknownPath(path)
    watched = bool(rest) and rest[0] == "watch"
    rest = rest[1:] if watched else rest
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:
        raise UnknownPath(path)
    kind = registry.find(group, version, rest[0])
    if kind is None or (namespace is not None and not kind.namespaced):
        raise status.no_resource()
    name, subresource = [*rest[1:], "", ""][:2]
    if name and kind.namespaced and namespace is None:
        raise status.no_resource()
    if (
        subresource
        and subresource not in kind.subresources
        and (kind.resource, subresource) != ("namespaces", "finalize")
    ):
        if kind.custom is not None and subresource in SUBRESOURCE_METHODS:
            raise status.not_found(kind, name)
        raise status.no_resource()
    return Target(kind, namespace, name, subresource, watched)


def verb(target: Target, method: str, *, watch: bool) -> str:
    """What a request wants to do, in the words of RBAC.

    Raises
    ------
    StatusError: 405.
    """
    if target.subresource:
        table = SUBRESOURCE_METHODS[target.subresource]
    else:
        table = OBJECT_VERBS if target.name else COLLECTION_VERBS
        if target.kind.namespaced and target.namespace is None:
            table = {"GET": "list"}
    found = table.get("GET" if method == "HEAD" else method)
    if found is None or (not target.subresource and found not in target.kind.verbs):
        raise status.method_not_allowed()
    watched = target.watched or (watch and found == "list")  # ?watch of a single object is ignored
    return "watch" if watched and found in ("list", "get") and not target.subresource else found


def asked(path: str, method: str) -> Request:
    """What a request asks for whose path names nothing that is served: rights come before existence."""
    parts = [part for part in path.split("/") if part]
    start = 2 if parts[:1] == ["api"] else 3
    wanted = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update"}.get(method, method.lower())
    if parts[:1] not in (["api"], ["apis"]) or len(parts) <= start:
        return Request(wanted, path=path)
    group, rest = "" if start == 2 else parts[1], parts[start:]
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else ""
    resource, name, subresource, *_ = [*(rest[2:] if namespace else rest), "", "", ""]
    if not name:
        wanted = COLLECTION_VERBS.get(method, wanted)
    return Request(wanted, group, resource, subresource, namespace, name)
