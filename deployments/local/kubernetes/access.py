"""Who may do what: bearer tokens, roles, RBAC objects."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.store import Store
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
MASTERS, AUTHENTICATED, UNAUTHENTICATED = "system:masters", "system:authenticated", "system:unauthenticated"
OPEN_PATHS = ("/version", "/healthz", "/livez", "/readyz")

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
    tokens: role (admin, operator, viewer) by bearer token.
    """

    def __init__(self, store: Store, tokens: Mapping[str, str]) -> None:
        self._store, self._tokens = store, dict(tokens)

    def user(self, authorization: str, impersonate: str = "", groups: Iterable[str] = ()) -> User:
        """Who sends an Authorization header, or in whose name.

        Raises
        ------
        StatusError: 401 for a token that nobody issued, 403 when the user may not speak for another.
        """
        if not authorization:
            user = User("system:anonymous", (UNAUTHENTICATED,))
        else:
            role = self._tokens.get(_token(authorization))
            if role is None:
                raise status.unauthorized()
            group = MASTERS if role == "admin" else f"continuum:{role}"
            user = User(f"continuum:{role}", (group, AUTHENTICATED))
        if not impersonate:
            return user
        asked = Request("impersonate", resource="users", name=impersonate)
        if not self.allows(user, asked):
            raise denied(user, asked, Kind("", "v1", "users", "User"))
        return User(impersonate, (*groups, AUTHENTICATED))

    def allows(self, user: User, request: Request) -> bool:
        """Whether any role bound to the user grants a request."""
        if MASTERS in user.groups:
            return True
        return any(_grants(rule, request) for rule in self.rules(user, request.namespace))

    def rules(self, user: User, namespace: str) -> list[Json]:
        """Every rule bound to a user, in a namespace ("": at the cluster scope)."""
        bindings = [(entry.obj, "") for entry in self._store.all(f"clusterrolebindings.{RBAC}")]
        if namespace:
            found = self._store.all(f"rolebindings.{RBAC}", namespace)
            bindings += [(entry.obj, namespace) for entry in found]
        return [
            rule
            for binding, place in bindings
            if any(_is(subject, user) for subject in binding.get("subjects", ()))
            for rule in self._rules(binding["roleRef"], place)
        ]

    def _rules(self, reference: Json, namespace: str) -> list[Json]:
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
    return user.name == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"


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
