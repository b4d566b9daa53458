"""Nobody grants more than they hold: the check before Roles and bindings are written (rbac/escalation_check.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.access import RBAC, Access, Request, User
from deployments.local.kubernetes.kinds import Kind

Json = dict[str, Any]

_BINDINGS = ("rolebindings", "clusterrolebindings")


def guard(access: Access, user: User, kind: Kind) -> Callable[[Json, Json | None], None] | None:
    """The check of a write by a user: takes the new object and the old one; None for kinds that grant nothing."""
    if kind.group != RBAC:
        return None
    return lambda new, old: _check(access, user, kind, new, old)


def _check(access: Access, user: User, kind: Kind, new: Json, old: Json | None) -> None:
    same = ("roleRef", "subjects") if kind.plural in _BINDINGS else ("rules", "aggregationRule")
    if old is not None and all(new.get(field) == old.get(field) for field in same):
        return
    namespace, name = new["metadata"].get("namespace", ""), new["metadata"].get("name", "")
    if kind.plural in _BINDINGS:
        reference = new["roleRef"]
        plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        verb, target, rules = "bind", reference["name"], access.rules(reference, namespace)
    else:
        verb, plural, target, rules = "escalate", kind.plural, name, new.get("rules", [])
    if access.allows(user, Request(verb, RBAC, plural, namespace=namespace, name=target)):
        return
    missing = [asked for rule in rules for asked in _asked(rule, namespace) if not access.allows(user, asked)]
    if missing:
        held = ", ".join(f"{asked.verb} {asked.path or asked.resource}" for asked in missing[:5])
        why = f'user "{user.name}" is attempting to grant RBAC permissions not currently held: {held}'
        raise status.forbidden(kind, name, why)


def _asked(rule: Json, namespace: str) -> Iterator[Request]:
    """Every single right that a rule grants."""
    for verb in rule.get("verbs", ()):
        for path in rule.get("nonResourceURLs", ()):
            yield Request(verb, path=path)
        for group in rule.get("apiGroups", ()):
            for full in rule.get("resources", ()):
                resource, _, subresource = full.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Request(verb, group, resource, subresource, namespace, name)
