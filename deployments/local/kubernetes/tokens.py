"""Tokens of ServiceAccounts (TokenRequest): signed by a key among the objects, so they outlive a restart."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any, NamedTuple

from deployments.local.kubernetes import status
from deployments.local.kubernetes.backend import Backend, Options
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.trees import dig, timestamp
from deployments.local.kubernetes.writing import create, existing

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc"
KEY_NAMESPACE, KEY_NAME = "kube-system", "simulated-token-key"
DEFAULT_S, SHORTEST_S = 3600, 600
_REQUEST = Kind("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
_HEADER = {"alg": "HS256", "kid": "simulated"}


class Holder(NamedTuple):
    """Whom a token stands for."""

    namespace: str
    name: str


def issue(backend: Backend, namespace: str, name: str, body: Json) -> Json:
    """A TokenRequest with its token.

    Raises
    ------
    StatusError: 404 without the account, 422 on too short a life.
    """
    account = existing(backend, backend.registry.of("serviceaccounts"), namespace, name)
    life_s = dig(body, "spec", "expirationSeconds", default=DEFAULT_S)
    if life_s < SHORTEST_S:
        cause = status.Cause(status.INVALID, "spec.expirationSeconds", f"{life_s}: may not specify a duration less "
                             "than 10 minutes")  # fmt: skip
        raise status.invalid(_REQUEST, "", [cause])
    now_s = int(backend.now_s())
    audiences = dig(body, "spec", "audiences", default=[]) or [ISSUER]
    claims = {
        "aud": audiences, "exp": now_s + life_s, "iat": now_s, "iss": ISSUER,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": account.uid}},
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }  # fmt: skip
    content = f"{_packed(_HEADER)}.{_packed(claims)}"
    token = f"{content}.{_signature(_key(backend), content)}"
    spec = {**body.get("spec", {}), "audiences": audiences, "expirationSeconds": life_s}
    metadata = {"name": name, "namespace": namespace}
    return {"kind": _REQUEST.kind, "apiVersion": _REQUEST.api_version, "metadata": metadata, "spec": spec,
            "status": {"token": token, "expirationTimestamp": timestamp(now_s + life_s)}}  # fmt: skip


def holder(backend: Backend, token: str) -> Holder | None:
    """Whom a token stands for; None when it is not ours, is over, or its account is gone."""
    content, _, signature = token.rpartition(".")
    key = backend.store.get("secrets", KEY_NAMESPACE, KEY_NAME)
    if key is None or not hmac.compare_digest(_signature(key.obj["data"]["key"], content), signature):
        return None
    claims = _unpacked(content.partition(".")[2])
    namespace, account = claims["kubernetes.io"]["namespace"], claims["kubernetes.io"]["serviceaccount"]
    found = backend.store.get("serviceaccounts", namespace, account["name"])
    valid = claims["exp"] > backend.now_s() and ISSUER in claims["aud"]
    return Holder(namespace, account["name"]) if valid and found is not None and found.uid == account["uid"] else None


def _key(backend: Backend) -> str:
    """The cluster's signing key, made when it is first needed."""
    found = backend.store.get("secrets", KEY_NAMESPACE, KEY_NAME)
    if found is None:
        secret = {"metadata": {"name": KEY_NAME}, "stringData": {"key": backend.uid() + backend.uid()}}
        found = create(backend, backend.registry.of("secrets"), KEY_NAMESPACE, secret, Options())
    return str(found.obj["data"]["key"])


def _packed(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).decode().rstrip("=")


def _unpacked(text: str) -> Json:
    try:
        return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (binascii.Error, ValueError):
        return {}


def _signature(key: str, content: str) -> str:
    digest = hmac.new(key.encode(), content.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
