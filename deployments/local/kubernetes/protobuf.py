"""Kubernetes' protobuf envelope, read only as far as kubectl sends it: create namespace, evict, delete, can-i."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployments.local.kubernetes import status

Json = dict[str, Any]

MAGIC = b"k8s\x00"
# Field numbers by message: name and type. s string, i integer, [s] strings, {s} a map, else another message.
MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Unknown": {1: ("type", "TypeMeta"), 2: ("raw", "bytes")},
    "TypeMeta": {1: ("apiVersion", "s"), 2: ("kind", "s")},
    "ObjectMeta": {1: ("name", "s"), 2: ("generateName", "s"), 3: ("namespace", "s"), 11: ("labels", "{s}"),
                   12: ("annotations", "{s}"), 14: ("finalizers", "[s]")},
    "Entry": {1: ("key", "s"), 2: ("value", "s")},
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "ServiceAccount": {1: ("metadata", "ObjectMeta")},
    "ConfigMap": {1: ("metadata", "ObjectMeta"), 2: ("data", "{s}")},
    "Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {1: ("gracePeriodSeconds", "i"), 2: ("preconditions", "Preconditions"),
                      4: ("propagationPolicy", "s"), 5: ("dryRun", "[s]")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "AccessSpec")},
    "AccessSpec": {1: ("resourceAttributes", "Resource"), 2: ("nonResourceAttributes", "NonResource")},
    "Resource": {1: ("namespace", "s"), 2: ("verb", "s"), 3: ("group", "s"), 4: ("version", "s"), 5: ("resource", "s"),
                 6: ("subresource", "s"), 7: ("name", "s")},
    "NonResource": {1: ("path", "s"), 2: ("verb", "s")},
    "Preconditions": {1: ("uid", "s"), 2: ("resourceVersion", "s")},
}  # fmt: skip


def decode(raw: bytes) -> Json:
    """An object in the envelope, as JSON.

    Raises
    ------
    StatusError: 415 for kinds that are not read here (a client then sends JSON), 400 for a broken body.
    """
    if not raw.startswith(MAGIC):
        raise status.bad_request("the body is no Kubernetes protobuf object")
    try:
        envelope = _message(raw[len(MAGIC) :], "Unknown")
        kind = envelope.get("type", {}).get("kind", "")
        if kind not in MESSAGES:
            raise status.unsupported_media_type(("application/json", "application/yaml"))
        body = _message(envelope.get("raw", b""), kind)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise status.bad_request(f"the protobuf body does not parse: {error}") from error
    return {**envelope["type"], **body}


def _message(data: bytes, name: str) -> Json:
    known = MESSAGES[name]
    found: Json = {}
    for number, value in _fields(data):
        if number not in known:
            continue
        key, kind = known[number]
        if kind == "{s}":
            entry = _message(value, "Entry")
            found.setdefault(key, {})[entry.get("key", "")] = entry.get("value", "")
        elif kind == "[s]":
            found.setdefault(key, []).append(value.decode())
        elif kind in ("i", "bytes"):
            found[key] = value
        elif kind == "s":
            if text := value.decode():
                found[key] = text
        else:
            found[key] = _message(value, kind)
    return found


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
