"""Who may do what: bearer tokens, roles, RBAC objects."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from deployments.local.kubernetes import status, tokens
from deployments.local.kubernetes.backend import Backend
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
MASTERS, AUTHENTICATED, UNAUTHENTICATED = "system:masters", "system:authenticated", "system:unauthenticated"
_ACCOUNT = "system:serviceaccount:"

_READ = ["get", "list", "watch"]
_LOCKS = ["get", "list", "watch", "create", "update", "patch", "delete"]

# The cluster roles behind the roles that a token can have. The operator may more than rbac-act.yaml gives.
ROLES: dict[str, list[Json]] = {
    "admin": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "operator": [
        {"apiGroups": [""], "resources": ["nodes", "pods", "namespaces", "services", "events"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch", "update"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
        {"apiGroups": ["apps"], "verbs": _READ,
         "resources": ["deployments", "replicasets", "statefulsets", "daemonsets"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale", "statefulsets/scale"],
         "verbs": ["get", "patch", "update"]},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": [*_READ, "patch", "update"]},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _READ},
        {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": _READ},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": _LOCKS},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": _READ},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["get", "list"]},
    ],
    "viewer": [
        {"apiGroups": [""], "verbs": _READ,
         "resources": ["nodes", "pods", "namespaces", "services", "events", "configmaps", "serviceaccounts"]},
        {"apiGroups": ["apps", "autoscaling", "batch", "policy", "coordination.k8s.io", "discovery.k8s.io",
                       "events.k8s.io", "metrics.k8s.io", "scheduling.k8s.io"], "resources": ["*"], "verbs": _READ},
    ],
}  # fmt: skip
_EVERYBODY: list[Json] = [
    {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"], "verbs": ["get"]},
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
]


class User(NamedTuple):
    """Somebody who asks."""

    name: str
    groups: tuple[str, ...] = ()


def _service_account(namespace: str, name: str) -> User:
    """A ServiceAccount as a user."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"{_ACCOUNT}{namespace}:{name}", groups)


class Request(NamedTuple):
    """What is asked, in the terms of RBAC."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def bootstrap() -> list[tuple[str, Json]]:
    """The RBAC objects that a new cluster has: kind's resource and object."""
    found: list[tuple[str, Json]] = []
    for role, rules in {**ROLES, "discovery": _EVERYBODY}.items():
        name = "cluster-admin" if role == "admin" else f"continuum:{role}"
        group = {"admin": MASTERS, "discovery": AUTHENTICATED}.get(role, f"continuum:{role}")
        found.append((f"clusterroles.{RBAC}", {"metadata": {"name": name}, "rules": rules}))
        found.append((f"clusterrolebindings.{RBAC}", {
            "metadata": {"name": name}, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
        }))  # fmt: skip
    return found


class Access:
    """Authentication and authorization of one cluster.

    Parameters
    ----------
    roles: role (admin, operator, viewer) by bearer token.
    """

    def __init__(self, backend: Backend, roles: Mapping[str, str]) -> None:
        self._backend, self._store, self._roles = backend, backend.store, dict(roles)

    def user(self, authorization: str, impersonate: str = "", groups: Iterable[str] = ()) -> User:
        """Who sends an Authorization header, or in whose name.

        Raises
        ------
        StatusError: 401 for a token that nobody issued, 403 when the user may not speak for another.
        """
        user = self._sender(authorization)
        groups = tuple(groups)
        if not impersonate:
            if groups:
                raise status.StatusError(500, "InternalError", f"requested {groups} without impersonating a user")
            return user
        _, _, account = impersonate.partition(_ACCOUNT)
        namespace, _, name = account.partition(":")
        asked = [Request("impersonate", resource="serviceaccounts", namespace=namespace, name=name) if account
                 else Request("impersonate", resource="users", name=impersonate)]  # fmt: skip
        asked += [Request("impersonate", resource="groups", name=group) for group in groups]
        for request in asked:
            if not self.allows(user, request):
                raise denied(user, request, Kind("", "v1", request.resource, ""))
        if account:
            return _service_account(namespace, name)
        return User(impersonate, groups if AUTHENTICATED in groups else (*groups, AUTHENTICATED))

    def _sender(self, authorization: str) -> User:
        if not authorization:
            return User("system:anonymous", (UNAUTHENTICATED,))
        return self.known(_token(authorization))

    def known(self, token: str) -> User:
        """Who holds a token.

        Raises
        ------
        StatusError: 401, nobody issued it.
        """
        role = self._roles.get(token)
        if role is not None:
            return User(f"continuum:{role}", (MASTERS if role == "admin" else f"continuum:{role}", AUTHENTICATED))
        if token.count(".") == 2 and (holder := tokens.holder(self._backend, token)) is not None:
            return _service_account(*holder)
        raise status.unauthorized()

    def allows(self, user: User, request: Request) -> bool:
        """Whether any role bound to the user grants a request."""
        return MASTERS in user.groups or any(_grants(rule, request) for rule in self.held(user, request.namespace))

    def held(self, user: User, namespace: str) -> Iterator[Json]:
        """The rules that are bound to a user, in a namespace or ("") everywhere."""
        bindings = [(entry.obj, "") for entry in self._store.sorted(f"clusterrolebindings.{RBAC}")]
        if namespace:
            bindings += [(entry.obj, namespace) for entry in self._store.sorted(f"rolebindings.{RBAC}", namespace)]
        for binding, place in bindings:
            if any(_is(subject, user) for subject in binding.get("subjects", ())):
                yield from self.rules(binding["roleRef"], place)

    def rules(self, reference: Json, namespace: str) -> list[Json]:
        """The rules of the role that a binding names."""
        if reference["kind"] == "ClusterRole":
            found = self._store.get(f"clusterroles.{RBAC}", "", reference["name"])
        else:
            found = self._store.get(f"roles.{RBAC}", namespace, reference["name"])
        return list(dig(found.obj, "rules", default=())) if found is not None else []


def _token(authorization: str) -> str:
    """The token of a Bearer header, or the password of a Basic one.

    kubectl sends no bearer token over plain HTTP, but it does send what stands before the @ of the server's URL.

    >>> _token("Bearer abc"), _token("Basic dTphYmM=")
    ('abc', 'abc')
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2] if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _is(subject: Json, user: User) -> bool:
    if subject["kind"] == "User":
        return bool(subject["name"] == user.name)
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    return user.name == f"{_ACCOUNT}{subject.get('namespace', '')}:{subject['name']}"


def _grants(rule: Json, request: Request) -> bool:
    if request.verb not in rule.get("verbs", ()) and "*" not in rule.get("verbs", ()):
        return False
    if request.path:
        return any(path in ("*", request.path) or (path.endswith("*") and request.path.startswith(path[:-1]))
                   for path in rule.get("nonResourceURLs", ()))  # fmt: skip
    groups, resources = rule.get("apiGroups", ()), rule.get("resources", ())
    if request.group not in groups and "*" not in groups:
        return False
    full = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    if not {"*", full, f"*/{request.subresource}" if request.subresource else full} & set(resources):
        return False
    names = rule.get("resourceNames")
    return not names or request.name in names


def denied(user: User, request: Request, kind: Kind) -> status.StatusError:
    """403 that names user, verb, resource and place."""
    full = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {request.verb} resource "{full}" in API group "{request.group}" {where}'
    return status.forbidden(kind, request.name, why)
