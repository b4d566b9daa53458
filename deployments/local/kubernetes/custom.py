"""CustomResourceDefinitions: the kinds they declare, and the shape their schemas give to objects."""

from __future__ import annotations

import re
from typing import Any

from deployments.local.kubernetes.decoding import DecodeError, decode
from deployments.local.kubernetes.kinds import Kind
from deployments.local.kubernetes.schemas import parse
from deployments.local.kubernetes.status import INVALID, NOT_SUPPORTED, REQUIRED, TOO_LONG, TYPE_INVALID, Cause
from deployments.local.kubernetes.trees import clone, dig

Json = dict[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def kinds_of(definition: Json) -> list[Kind]:
    """The kinds that a CustomResourceDefinition declares: one for each served version."""
    spec, names = definition["spec"], definition["spec"]["names"]
    found = []
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        declared = version.get("subresources", {})
        found.append(Kind(
            spec["group"], version["name"], names["plural"], names["kind"], tuple(names.get("shortNames", ())),
            spec.get("scope") != "Cluster", tuple(name for name in ("status", "scale") if name in declared),
            unconditional=False, categories=tuple(names.get("categories", ())), custom=version,
            singular=names.get("singular", names["kind"].lower()), list_kind=names.get("listKind", ""),
        ))  # fmt: skip
    return found


def _schema(kind: Kind) -> Json:
    found: Json = dig(kind.custom, "schema", "openAPIV3Schema", default={})
    return found


def shaped(kind: Kind, body: Json, unknown: list[str], *, filled: bool) -> Json:
    """A body pruned to its schema, with the schema's defaults if `filled`; metadata is checked as everywhere.

    Raises
    ------
    DecodeError: the metadata has not the shape of metadata.
    """
    metadata = decode(body.get("metadata", {}), parse("ObjectMeta"), "metadata", unknown)
    rest = {key: value for key, value in body.items() if key != "metadata"}
    if not isinstance(rest, dict):
        raise DecodeError("the object provided is no JSON object")
    obj = _pruned(clone(rest), _schema(kind), "", unknown)
    if filled:
        _fill(obj, _schema(kind))
    return {**obj, "metadata": metadata or {}}


def _pruned(value: Any, schema: Json, path: str, unknown: list[str]) -> Any:
    if isinstance(value, dict):
        fields, extra = schema.get("properties", {}), schema.get("additionalProperties")
        keep_all = schema.get(PRESERVE) or schema.get("x-kubernetes-embedded-resource")
        result = {}
        for key, entry in value.items():
            where = f"{path}.{key}" if path else key
            if key in fields:
                if entry is not None or fields[key].get("nullable"):
                    result[key] = _pruned(entry, fields[key], where, unknown)
            elif isinstance(extra, dict):
                result[key] = _pruned(entry, extra, where, unknown)
            elif keep_all or extra is True:
                result[key] = entry
            else:
                unknown.append(where)
        return result
    if isinstance(value, list):
        return [_pruned(entry, schema.get("items", {}), f"{path}[{i}]", unknown) for i, entry in enumerate(value)]
    return value


def _fill(value: Any, schema: Json) -> None:
    if isinstance(value, dict):
        for key, below in schema.get("properties", {}).items():
            if key not in value and "default" in below:
                value[key] = clone(below["default"])
            if key in value:
                _fill(value[key], below)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for key in value.keys() - schema.get("properties", {}).keys():
                _fill(value[key], extra)
    elif isinstance(value, list):
        for entry in value:
            _fill(entry, schema.get("items", {}))


def check(kind: Kind, obj: Json) -> list[Cause]:
    """Faults of a custom resource against its schema, or of a definition; none for other kinds."""
    if kind.custom is not None:
        return _faults({key: value for key, value in obj.items() if key != "metadata"}, _schema(kind), "")
    return _definition_faults(obj) if kind.resource == DEFINITIONS else []


_TYPES = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,),
}  # fmt: skip


def _faults(value: Any, schema: Json, path: str) -> list[Cause]:
    if value is None and schema.get("nullable"):
        return []
    wanted = schema.get("type")
    if schema.get(INT_OR_STRING):
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
    else:
        fits = wanted is None or (
            isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        )
    if not fits:
        return [Cause(TYPE_INVALID, path, f"{path} in body must be of type {wanted}")]
    causes = _limits(value, schema, path)
    if isinstance(value, dict):
        causes += _object_faults(value, schema, path)
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            causes += _faults(entry, schema.get("items", {}), f"{path}[{index}]")
    return causes


def _object_faults(value: Json, schema: Json, path: str) -> list[Cause]:
    prefix = f"{path}." if path else ""
    causes = [Cause(REQUIRED, prefix + key) for key in schema.get("required", ()) if key not in value]
    fields, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for key, entry in value.items():
        if key in fields:
            causes += _faults(entry, fields[key], prefix + key)
        elif isinstance(extra, dict):
            causes += _faults(entry, extra, prefix + key)
    return causes


def _limits(value: Any, schema: Json, path: str) -> list[Cause]:
    causes = []
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(f'"{entry}"' for entry in schema["enum"])
        causes.append(Cause(NOT_SUPPORTED, path, f'"{value}": supported values: {allowed}'))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            why = f"{path} in body should be greater than or equal to {schema['minimum']}"
            causes.append(Cause(INVALID, path, f"{value}: {why}"))
        if "maximum" in schema and value > schema["maximum"]:
            why = f"{path} in body should be less than or equal to {schema['maximum']}"
            causes.append(Cause(INVALID, path, f"{value}: {why}"))
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            causes.append(Cause(INVALID, path, f'"{value}": should be at least {schema["minLength"]} chars long'))
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            causes.append(Cause(TOO_LONG, path, f"may not be more than {schema['maxLength']} bytes"))
        if "pattern" in schema and not re.search(schema["pattern"], value):
            causes.append(Cause(INVALID, path, f'"{value}": should match {schema["pattern"]!r}'))
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            causes.append(Cause(INVALID, path, f"{len(value)}: should have at least {schema['minItems']} items"))
        if "maxItems" in schema and len(value) > schema["maxItems"]:
            causes.append(Cause("FieldValueTooMany", path, f"must have at most {schema['maxItems']} items"))
    return causes


def _definition_faults(obj: Json) -> list[Cause]:
    """A definition is named after what it declares, and stores exactly one version."""
    spec = obj.get("spec") or {}
    causes = [Cause(REQUIRED, f"spec.{field}") for field in ("group", "scope", "versions") if not spec.get(field)]
    causes += [Cause(REQUIRED, f"spec.names.{f}") for f in ("plural", "kind") if not dig(spec, "names", f)]
    if causes:
        return causes
    wanted = f"{spec['names']['plural']}.{spec['group']}"
    if obj["metadata"]["name"] != wanted:
        causes.append(Cause(INVALID, "metadata.name", f'"{obj["metadata"]["name"]}": must be {wanted}'))
    if sum(1 for version in spec["versions"] if version.get("storage")) != 1:
        causes.append(Cause(INVALID, "spec.versions", "must have exactly one version marked as storage version"))
    return causes
