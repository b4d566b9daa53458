"""Status: how a Kubernetes API server says no. One exception, and one constructor for each kind of refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from blocks.errors import ContinuumError

if TYPE_CHECKING:
    from deployments.local.kubernetes.kinds import Kind

Json = dict[str, Any]

REQUIRED, INVALID, FORBIDDEN = "FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden"
NOT_SUPPORTED, TYPE_INVALID, TOO_LONG = "FieldValueNotSupported", "FieldValueTypeInvalid", "FieldValueTooLong"
DUPLICATE, NOT_FOUND = "FieldValueDuplicate", "FieldValueNotFound"

_WORDS = {
    REQUIRED: "Required value",
    INVALID: "Invalid value",
    FORBIDDEN: "Forbidden",
    NOT_SUPPORTED: "Unsupported value",
    TYPE_INVALID: "Invalid value",
    TOO_LONG: "Too long",
    DUPLICATE: "Duplicate value",
    NOT_FOUND: "Not found",
}


class Cause(NamedTuple):
    """One fault of an object: machine-readable reason, path of the field, words."""

    reason: str
    field: str
    detail: str = ""

    @property
    def message(self) -> str:
        """Reason and detail as one phrase."""
        return f"{_WORDS.get(self.reason, self.reason)}: {self.detail}" if self.detail else _WORDS[self.reason]

    def body(self) -> Json:
        """The cause as it stands in `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(ContinuumError):
    """A request was answered with a failure.

    Parameters
    ----------
    code: HTTP status code.
    reason: machine-readable reason (`NotFound`, `Conflict`, `Invalid`, ...); "" is left out of the body.
    message: words for people.
    details: `details` of the Status body; None leaves it out.
    token: where a client may go on with its list, though inconsistently; "" for nowhere.
    """

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None, token: str = "") -> None:
        self.code, self.reason, self.message, self.details, self.token = code, reason, message, details, token
        super().__init__(message, where=f"{code} {reason}".strip())

    def body(self) -> Json:
        """The Status object."""
        metadata = {"continue": self.token} if self.token else {}
        status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return {**status, "code": self.code}


def _details(kind: Kind | None, name: str, label: str) -> Json:
    details: Json = {"name": name} if name else {}
    if kind is not None:
        if kind.group:
            details["group"] = kind.group
        details["kind"] = label
    return details


def success(kind: Kind | None = None, name: str = "", uid: str = "", code: int = 0) -> Json:
    """The Status object of a request that worked and has no object to show."""
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if kind is not None:
        body["details"] = {**_details(kind, name, kind.plural), "uid": uid}
    return {**body, "code": code} if code else body


def not_found(kind: Kind, name: str) -> StatusError:
    """404: no object of that name."""
    return StatusError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name, kind.plural))


def no_resource() -> StatusError:
    """404: the path names no resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str, *, terminating: bool = False) -> StatusError:
    """409: the name is taken, perhaps by an object on its way out."""
    prefix = "object is being deleted: " if terminating else ""
    message = f'{prefix}{kind.resource} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(kind, name, kind.plural))


def conflict(kind: Kind, name: str, why: str = "", *, label: str = "") -> StatusError:
    """409: somebody else wrote in between, or a precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    qualified = kind.resource if not label else ".".join(part for part in (label, kind.group) if part)
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(kind, name, label or kind.plural))


def invalid(kind: Kind, name: str, causes: Sequence[Cause], *, label: str = "") -> StatusError:
    """422: the object does not fit; one cause for each fault."""
    label = label or kind.kind
    qualified = ".".join(part for part in (label, kind.group) if part)
    return _invalid(f'{qualified} "{name}"', _details(kind, name, label), causes)


def invalid_options(options: str, causes: Sequence[Cause]) -> StatusError:
    """422: faults of the request's own options, e.g. `DeleteOptions`."""
    return _invalid(f'{options}.meta.k8s.io ""', {"group": "meta.k8s.io", "kind": options}, causes)


def invalid_patch(text: str) -> StatusError:
    """422: the patched object no longer decodes."""
    return _invalid(' ""', {}, [Cause(INVALID, "patch", text)])


def _invalid(subject: str, details: Json, causes: Sequence[Cause]) -> StatusError:
    faults = [f"{cause.field}: {cause.message}" for cause in causes]
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    details = {**details, "causes": [cause.body() for cause in causes]}
    return StatusError(422, "Invalid", f"{subject} is invalid: {text}", details)


def rejected_patch() -> StatusError:
    """422: a JSON patch whose operations do not apply."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def bad_request(message: str) -> StatusError:
    """400: the request itself makes no sense."""
    return StatusError(400, "BadRequest", message)


def undecodable(kind: Kind, why: str, got: str = "") -> StatusError:
    """400: the body is no object of this kind."""
    return bad_request(f'{got or kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}')


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[Cause] = ()) -> StatusError:
    """403: not allowed, by role or by admission."""
    details = _details(kind, name, kind.plural)
    if causes:
        details["causes"] = [cause.body() for cause in causes]
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def forbidden_path(user: str, verb: str, path: str) -> StatusError:
    """403: a path that is no resource."""
    return StatusError(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"', {})


def untyped(why: str) -> StatusError:
    """500: a body for server-side apply that has not its kind's shape."""
    return StatusError(500, "", f"failed to create typed patch object: {why}")


def too_large(limit: int) -> StatusError:
    """413: a body beyond the limit."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unauthorized() -> StatusError:
    """401: a token that nobody issued."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def not_acceptable(available: Sequence[str]) -> StatusError:
    """406: no representation that the client would take."""
    return StatusError(406, "NotAcceptable", f"only these are served: {', '.join(available)}", {})


def unsupported_media_type(accepted: Sequence[str], *, details: Json | None = None) -> StatusError:
    """415: a body in a format that this request does not take."""
    return StatusError(
        415, "UnsupportedMediaType", f"unknown body format; accepted are: {', '.join(accepted)}", details
    )


def expired(asked: int, oldest: int) -> StatusError:
    """410: a resourceVersion that the server has forgotten."""
    return StatusError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large_version(asked: int, current: int) -> StatusError:
    """504: a resourceVersion that has not happened yet."""
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", message, {**details, "retryAfterSeconds": 1})
