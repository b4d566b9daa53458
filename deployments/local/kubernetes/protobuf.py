"""Kubernetes' protobuf envelope, read only as far as kubectl sends it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from deployments.local.kubernetes import status
from deployments.local.kubernetes.protobuf_messages import Field, message, root

Json = dict[str, Any]

MAGIC = b"k8s\x00"


class _Unread(ValueError):
    """A field that says something and is not in the table."""


def decode(raw: bytes) -> Json:
    """An object in the envelope, as JSON.

    Raises
    ------
    StatusError: 415 for kinds and fields that are not read here (JSON is), 400 for a broken body.
    """
    if not raw.startswith(MAGIC):
        raise status.bad_request("the body is no Kubernetes protobuf object")
    try:
        envelope = _message(raw[len(MAGIC) :], "Unknown")
        about = envelope.get("type", {})
        name = root(about.get("apiVersion", ""), about.get("kind", ""))
        if not name:
            raise _Unread(about.get("kind", ""))
        body = _message(envelope.get("raw", b""), name)
    except _Unread as error:
        raise status.unsupported_media_type(("application/json", "application/yaml")) from error
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise status.bad_request(f"the protobuf body does not parse: {error}") from error
    return {**about, **body}


def _message(data: bytes, name: str) -> Json:
    known = message(name)
    found: Json = {}
    for number, raw in _fields(data):
        field = known.get(number)
        if field is None:
            if name != "Unknown" and raw:
                raise _Unread(f"{name} {number}")
            continue
        if field.type == "-":
            continue
        if field.form == "map":
            key, value = _entry(raw, field)
            found.setdefault(field.name, {})[key] = value
        elif field.form == "list":
            found.setdefault(field.name, []).append(_value(raw, field.type))
        elif field.form == "inline":
            found |= _message(raw, field.type)
        elif (value := _value(raw, field.type)) or field.pointer:
            found[field.name] = value
    return found


def _entry(data: bytes, field: Field) -> tuple[str, Any]:
    parts = dict(_fields(data))
    return _value(parts.get(1, b""), "s"), _value(parts.get(2, b""), field.type)


def _value(raw: Any, kind: str) -> Any:
    if kind == "s":
        return raw.decode()
    if kind == "i":
        return raw - 2**64 if raw >= 2**63 else raw  # int32 and int64 alike: two's complement in ten bytes
    if kind == "b":
        return bool(raw)
    if kind == "raw":
        return raw
    if kind == "y":
        return base64.b64encode(raw).decode()
    if kind == "q":
        return _message(raw, "Quantity").get("string", "0")
    if kind == "is":
        parts = _message(raw, "IntOrString")
        return parts.get("strVal", "") if parts.get("type") else parts.get("intVal", 0)
    return _message(raw, kind)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: an integer (wire type 0) or bytes (2); fixed widths (1, 5) are skipped over."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("a field runs over the end")
            yield number, data[position : position + length]
            position += length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
