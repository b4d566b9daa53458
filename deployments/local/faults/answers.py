"""Errors that no request has deserved, in each API's own form."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, Response

from deployments.local.faults.fault import Fault

Json = dict[str, Any]

WORDS = "this is a fault of the simulated fleet"

# What each API calls a status; the word for any other one comes last.
KUBERNETES = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
    429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip
AWS = {
    400: "InvalidParameterException", 403: "AccessDeniedException", 404: "ResourceNotFoundException",
    409: "ResourceInUseException", 429: "ThrottlingException", 503: "ServiceUnavailableException",
}  # fmt: skip
GCP = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
AZURE = {
    400: "InvalidParameter", 401: "AuthenticationFailed", 403: "AuthorizationFailed", 404: "ResourceNotFound",
    409: "OperationNotAllowed", 429: "TooManyRequests", 503: "ServerTimeout", 504: "GatewayTimeout",
}  # fmt: skip
PROMETHEUS = {400: "bad_data", 404: "not_found", 422: "execution", 503: "timeout"}


def error(api: str, fault: Fault) -> Response:
    """The answer of an API that fails with the fault's status (500 by default)."""
    status = fault.parameters["status"] or 500
    retry_after_s = fault.parameters["retry_after_s"]
    if retry_after_s is None and status == 429:
        retry_after_s = 1  # what an API server and the clouds send with it
    body, headers = FORMS[api](status, f"{_phrase(status)}: {WORDS} ({fault.id})", retry_after_s)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(json.dumps(body), status, headers, media_type="application/json")


def page(fault: Fault) -> Response:
    """The page of a proxy that stands before the API (502 by default)."""
    status = fault.parameters["status"] or 502
    title = f"{status} {_phrase(status)}"
    body = f"<h1>{title}</h1><hr>simulated proxy: {WORDS} ({fault.id})"
    return HTMLResponse(f"<html><head><title>{title}</title></head><body>{body}</body></html>\n", status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


def _kubernetes(status: int, words: str, retry_after_s: int | None) -> tuple[Json, dict[str, str]]:
    details = {} if retry_after_s is None else {"details": {"retryAfterSeconds": retry_after_s}}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": words,
            "reason": KUBERNETES.get(status, "InternalError"), **details, "code": status}  # fmt: skip
    return body, {}


def _aws(status: int, words: str, _: int | None) -> tuple[Json, dict[str, str]]:
    return {"message": words}, {"x-amzn-errortype": AWS.get(status, "ServerException")}


def _gcp(status: int, words: str, _: int | None) -> tuple[Json, dict[str, str]]:
    return {"error": {"code": status, "message": words, "status": GCP.get(status, "UNKNOWN")}}, {}


def _azure(status: int, words: str, _: int | None) -> tuple[Json, dict[str, str]]:
    return {"error": {"code": AZURE.get(status, "InternalServerError"), "message": words}}, {}


def _prometheus(status: int, words: str, _: int | None) -> tuple[Json, dict[str, str]]:
    return {"status": "error", "errorType": PROMETHEUS.get(status, "internal"), "error": words}, {}


FORMS: dict[str, Callable[[int, str, int | None], tuple[Json, dict[str, str]]]] = {
    "kubernetes": _kubernetes,
    "eks": _aws,
    "gke": _gcp,
    "aks": _azure,
    "prometheus": _prometheus,
}
