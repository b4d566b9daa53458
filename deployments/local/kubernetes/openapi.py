"""OpenAPI: what kubectl reads to explain kinds, to merge lists on apply, and to learn who validates fields."""

from __future__ import annotations

from typing import Any

from deployments.local.kubernetes.discovery import GIT_VERSION
from deployments.local.kubernetes.kinds import Kind, Registry
from deployments.local.kubernetes.schemas import TYPES, Schema, parse

Json = dict[str, Any]

V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""How the second version is asked for, and what it is called in the answer: a valid media type has no @."""
_GVK = "x-kubernetes-group-version-kind"
_OPTIONS = ("dryRun", "fieldValidation")
_SCALARS: dict[str, Json] = {
    "s": {"type": "string"}, "i": {"type": "integer"}, "b": {"type": "boolean"}, "n": {"type": "number"},
    "t": {"type": "string", "format": "date-time"}, "mt": {"type": "string", "format": "date-time"},
    "q": {"type": "string", "description": "A quantity."}, "is": {"type": "string", "format": "int-or-string"},
    "y": {"type": "string", "format": "byte"}, "*": {"type": "object"},
}  # fmt: skip
_IDENTITY: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}


def index(registry: Registry, prefix: str = "") -> Json:
    """/openapi/v3: which documents there are. kubectl takes the URLs as they are, so they carry the mount's prefix."""
    places = ["api/v1"]
    places += [f"apis/{name}/{entry}" for name, versions in registry.groups().items() if name for entry in versions]
    return {"paths": {place: {"serverRelativeURL": f"{prefix}/openapi/v3/{place}?hash=0"} for place in places}}


def document(registry: Registry, place: str) -> Json:
    """/openapi/v3/PLACE: the kinds' fields, and that objects can be patched with which options."""
    group_name, version_name = ("", "v1") if place == "api/v1" else tuple(place.split("/")[1:3])
    kinds = [kind for kind in registry if (kind.group, kind.version) == (group_name, version_name)]
    options = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _OPTIONS]
    paths = {}
    for kind in kinds:
        if "patch" in kind.verbs:
            scope = "namespaces/{namespace}/" if kind.namespaced else ""
            operation = {"parameters": options, "responses": {}, _GVK: _identity(kind)}
            paths[f"/{place}/{scope}{kind.plural}/{{name}}"] = {"patch": operation}
    return {"openapi": "3.0.0", "info": {"title": f"simulated {place}", "version": GIT_VERSION}, "paths": paths,
            "components": {"schemas": _schemas(kinds)}}  # fmt: skip


def _identity(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schemas(kinds: list[Kind]) -> Json:
    """The schemas of kinds and of every type that they are made of."""
    found: Json = {}
    for kind in kinds:
        if kind.custom is not None:
            declared = kind.custom.get("schema", {}).get("openAPIV3Schema", {})
            fields = {**_IDENTITY, **declared.get("properties", {}), "metadata": _shown(parse("ObjectMeta"), found)}
            found[kind.kind] = {**declared, "type": "object", "properties": fields, _GVK: [_identity(kind)]}
        elif kind.kind in TYPES:
            _shown(parse(kind.kind), found)
            made = found[kind.kind]
            fields = {**_IDENTITY, **made["properties"]}
            found[kind.kind] = {**made, "properties": fields, _GVK: [_identity(kind)]}
    return found


def _shown(schema: Schema, found: Json) -> Json:
    """A type as OpenAPI; the structs that it needs are put into `found`."""
    if schema.form == "struct":
        if schema.name not in found:
            found[schema.name] = {}  # types may contain themselves
            fields = {name: _shown(below, found) for name, below in schema.fields.items()}
            found[schema.name] = {"type": "object", "properties": fields}
        return {"allOf": [{"$ref": f"#/components/schemas/{schema.name}"}]}
    if schema.form == "map":
        return {"type": "object", "additionalProperties": _shown(schema.items, found)}
    if schema.form == "list":
        shown: Json = {"type": "array", "items": _shown(schema.items, found)}
        if schema.patch_key:
            shown["x-kubernetes-patch-merge-key"] = schema.patch_key
        return {**shown, "x-kubernetes-patch-strategy": "merge"} if schema.patch_key or schema.is_set else shown
    return _SCALARS[schema.form.rstrip("0")]


def second_version() -> bytes:
    """/openapi/v2, as protobuf: that namespaces can be patched with which options, and nothing else.

    kubectl asks it only for a List in a file, and takes what holds for namespaces to hold for the List. The numbers
    are those of gnostic's openapiv2.proto.
    """
    operation = b""
    for name in _OPTIONS:
        query = _bytes(2, b"query") + _bytes(4, name.encode())
        operation += _bytes(8, _bytes(1, _bytes(2, _bytes(3, query))))  # item > parameter > no body > query
    served = b'group: ""\nversion: v1\nkind: Namespace\n'
    operation += _bytes(13, _bytes(1, _GVK.encode()) + _bytes(2, _bytes(2, served)))
    path = _bytes(1, b"/api/v1/namespaces/{name}") + _bytes(2, _bytes(8, operation))
    return _bytes(1, b"2.0") + _bytes(8, _bytes(2, path))


def _bytes(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    size, length = b"", len(content)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content
