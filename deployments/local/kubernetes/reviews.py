"""Access reviews: questions about rights, answered and not stored."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.access import MASTERS, Access, Request, User
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]

_SELF, _OTHER, _LOCAL, _RULES, _WHO, _TOKEN = (
    "selfsubjectaccessreviews.authorization.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "tokenreviews.authentication.k8s.io",
)
REVIEWS = (_SELF, _OTHER, _LOCAL, _RULES, _WHO, _TOKEN)
_EVERYTHING: list[Json] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def answered(access: Access, user: User, kind: Kind, body: Json) -> Json:
    """A review with its status.

    Raises
    ------
    StatusError: 400, it does not say what it asks about.
    """
    shown = {**body, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": body.get("metadata", {})}
    if kind.resource == _WHO:
        return {**shown, "status": {"userInfo": _info(user)}}
    if kind.resource == _TOKEN:
        return {**shown, "status": _of_token(access, dig(body, "spec", "token", default=""))}
    if kind.resource == _RULES:
        return {**shown, "status": _rules(access, user, dig(body, "spec", "namespace", default=""))}
    if kind.resource in (_OTHER, _LOCAL):
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


def _info(user: User) -> Json:
    return {"username": user.name, "groups": list(user.groups)}


def _of_token(access: Access, token: str) -> Json:
    try:
        return {"authenticated": True, "user": _info(access.known(token))}
    except status.StatusError:
        return {"error": "invalid bearer token", "user": {}}


def _rules(access: Access, user: User, namespace: str) -> Json:
    """What `kubectl auth can-i --list` shows."""
    held = _EVERYTHING if MASTERS in user.groups else list(access.held(user, namespace))
    return {"resourceRules": [rule for rule in held if "nonResourceURLs" not in rule],
            "nonResourceRules": [rule for rule in held if "nonResourceURLs" in rule], "incomplete": False}  # fmt: skip
