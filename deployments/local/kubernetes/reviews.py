"""Access reviews: questions about rights, answered and not stored."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.access import Access, Request, User
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_SELF, _OTHER, _WHO, _RULES = (
    "selfsubjectaccessreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
)
REVIEWS = (_SELF, _OTHER, _WHO, _RULES)


def answered(access: Access, user: User, kind: Kind, body: Json) -> Json:
    """A review with its status.

    Raises
    ------
    StatusError: 400, it does not say what it asks about.
    """
    shown = {**body, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": body.get("metadata", {})}
    if kind.resource == _WHO:
        return {**shown, "status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
    if kind.resource == _RULES:
        return {**shown, "status": _rules(access.rules(user, dig(body, "spec", "namespace", default="")))}
    if kind.resource == _OTHER:
        user = User(dig(body, "spec", "user", default=""), tuple(dig(body, "spec", "groups", default=())))
    asked = dig(body, "spec", "resourceAttributes")
    if asked is not None:
        request = Request(asked.get("verb", ""), asked.get("group", ""), asked.get("resource", ""),
                          asked.get("subresource", ""), asked.get("namespace", ""), asked.get("name", ""))  # fmt: skip
    elif (path := dig(body, "spec", "nonResourceAttributes")) is not None:
        request = Request(path.get("verb", ""), path=path.get("path", "/"))
    else:
        raise status.bad_request("spec needs resourceAttributes or nonResourceAttributes")
    return {**shown, "status": {"allowed": access.allows(user, request)}}


def _rules(rules: list[Json]) -> Json:
    """Rules as a SelfSubjectRulesReview tells them: of resources, and of paths that are none."""
    return {
        "resourceRules": [rule for rule in rules if rule.get("resources")],
        "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
