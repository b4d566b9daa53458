"""Between a body and an object of its kind, both ways."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes import conversion, custom, status
from deployments.local.kubernetes.backend import Options
from deployments.local.kubernetes.decoding import DecodeError, decode
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.schemas import Schema, parse
from deployments.local.kubernetes.store import Stored
from deployments.local.kubernetes.trees import clone

Json = dict[str, Any]


def schema_of(kind: Kind) -> Schema | None:
    """The type of a built-in kind; None for a custom one."""
    return None if kind.custom is not None else parse(kind.kind)


def presented(kind: Kind, entry: Stored) -> Json:
    """A stored object as its kind's version shows it, with `kind` and `apiVersion`; the caller's own copy."""
    return {"kind": kind.kind, "apiVersion": kind.api_version, **conversion.shown(kind, clone(entry.obj))}


def shaped(kind: Kind, body: Json, options: Options, *, filled: bool = True) -> Json:
    """A body as an object of its kind in its stored version: types checked, unknown fields dropped.

    Raises
    ------
    DecodeError: it has not that shape.
    StatusError: 400, it names another kind or version, or unknown fields while they are refused.
    """
    if not isinstance(body, dict):
        raise DecodeError("the object provided is no JSON object")
    _check_type(kind, body)
    body = conversion.stored(kind, {key: value for key, value in body.items() if key not in ("kind", "apiVersion")})
    unknown: list[str] = []
    if kind.custom is not None:
        obj = custom.shaped(kind, body, unknown, filled=filled)
    else:
        obj = decode(body, parse(kind.kind), "", unknown)
    obj.setdefault("metadata", {})
    if unknown and options.strict:
        faults = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise status.undecodable(kind, f"strict decoding error: {faults}")
    if not options.quiet:
        options.warnings.extend(f'unknown field "{path}"' for path in unknown)
    return dict(obj)


def _check_type(kind: Kind, body: Json) -> None:
    """A body's `kind` and `apiVersion`, if it has them, must be the path's."""
    got_kind, got_version = body.get("kind", kind.kind), body.get("apiVersion", kind.api_version)
    if (got_kind or kind.kind) != kind.kind or (got_version or kind.api_version) != kind.api_version:
        why = f'no kind "{got_kind}" of version "{got_version}" is served here'
        raise status.undecodable(kind, why, str(got_kind))
