"""Sets of fields (FieldsV1): who owns what, as nested maps.

`f:name` is a field, `k:{...}` an entry of a keyed list, `v:...` an entry of a set, `.` the entry itself. An empty map
is an owned leaf. Sets are values here: nothing is changed in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deployments.local.kubernetes.schemas import Schema

Json = dict[str, Any]
Fields = dict[str, Any]

_SYSTEM = ("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
           "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields")  # fmt: skip
_KEY_DEFAULTS = {"protocol": "TCP"}
_MISSING = object()


def child(schema: Schema | None, key: str) -> Schema | None:
    """Type of a field below a type; None where nothing is known (maps are granular, lists are atomic then)."""
    if schema is None:
        return None
    if schema.form == "struct":
        return schema.fields.get(key)
    return schema.items if schema.form == "map" else None


def granular_map(value: Any, schema: Schema | None) -> bool:
    """Whether a value's keys are owned one by one."""
    return isinstance(value, dict) and not (schema is not None and schema.atomic)


def granular_list(value: Any, schema: Schema | None) -> bool:
    """Whether a list's entries are owned one by one."""
    return isinstance(value, list) and schema is not None and (schema.is_set or bool(schema.keys))


def element(entry: Any, schema: Schema) -> str:
    """Name of a list's entry in a set of fields."""
    if schema.is_set:
        return f"v:{json.dumps(entry)}"
    keys = {key: entry.get(key, _KEY_DEFAULTS.get(key)) for key in schema.keys}
    named = {key: value for key, value in sorted(keys.items()) if value is not None}
    return f"k:{json.dumps(named, separators=(',', ':'))}"


def of(value: Any, schema: Schema | None) -> Fields:
    """All fields of a value."""
    if granular_map(value, schema):
        return {f"f:{key}": of(entry, child(schema, key)) for key, entry in value.items()}
    if granular_list(value, schema) and schema is not None:
        if schema.is_set:
            return {element(entry, schema): {} for entry in value}
        return {element(entry, schema): {".": {}, **of(entry, schema.items)} for entry in value}
    return {}


def of_object(obj: Json, schema: Schema | None) -> Fields:
    """Fields of an object that can have an owner: all but identity and what the server keeps."""
    return without_system(of({key: obj[key] for key in obj if key not in ("kind", "apiVersion")}, schema))


def without_system(fields: Fields) -> Fields:
    """A set without the fields that the server itself keeps."""
    metadata = {key: value for key, value in fields.get("f:metadata", {}).items() if key[2:] not in _SYSTEM}
    rest = {key: value for key, value in fields.items() if key != "f:metadata"}
    return {"f:metadata": metadata, **rest} if metadata else rest


def union(one: Fields, other: Fields) -> Fields:
    """Fields in either."""
    result = dict(one)
    for key, below in other.items():
        result[key] = union(result[key], below) if key in result else below
    return result


def minus(one: Fields, other: Fields) -> Fields:
    """Fields of the first without those of the second: a leaf of the second takes away all below it."""
    result = {}
    for key, below in one.items():
        if key not in other:
            result[key] = below
        elif other[key] and below and (rest := minus(below, other[key])):
            result[key] = rest
        elif other[key] and not below:
            result[key] = below
    return result if set(result) != {"."} or "." not in other else {}


def common(one: Fields, other: Fields) -> Fields:
    """Fields in both; a leaf meets everything below it."""
    result = {}
    for key in one.keys() & other.keys():
        if not one[key] or not other[key]:
            result[key] = one[key] or other[key]
        elif below := common(one[key], other[key]):
            result[key] = below
    return result


def changed(old: Any, new: Any, schema: Schema | None) -> Fields | None:
    """Fields of `new` that `old` has not, or has otherwise; None for none, {} for the value itself."""
    if old is new or old == new:
        return None
    if granular_map(old, schema) and granular_map(new, schema):
        found: Fields = {}
        for key, entry in new.items():
            below = child(schema, key)
            if key not in old:
                found[f"f:{key}"] = of(entry, below)
            elif (difference := changed(old[key], entry, below)) is not None:
                found[f"f:{key}"] = difference
        return found or None
    if granular_list(old, schema) and granular_list(new, schema) and schema is not None:
        before = {element(entry, schema): entry for entry in old}
        found = {}
        for entry in new:
            name = element(entry, schema)
            if name not in before:
                found[name] = {} if schema.is_set else {".": {}, **of(entry, schema.items)}
            elif (difference := changed(before[name], entry, schema.items)) is not None:
                found[name] = difference
        return found or None
    return of(new, schema)


def removed(old: Any, new: Any, schema: Schema | None) -> Fields | None:
    """Fields of `old` that `new` has no longer; None for none."""
    if old is new or old == new:
        return None
    if granular_map(old, schema) and isinstance(new, dict):
        found = {}
        for key, entry in old.items():
            below = child(schema, key)
            if key not in new:
                found[f"f:{key}"] = of(entry, below)
            elif (difference := removed(entry, new[key], below)) is not None:
                found[f"f:{key}"] = difference
        return found or None
    if granular_list(old, schema) and isinstance(new, list) and schema is not None:
        now = {element(entry, schema): entry for entry in new}
        found = {}
        for entry in old:
            name = element(entry, schema)
            if name not in now:
                found[name] = of(entry, schema.items)
            elif not schema.is_set and (difference := removed(entry, now[name], schema.items)) is not None:
                found[name] = difference
        return found or None
    return None


def drop(value: Any, fields: Fields, schema: Schema | None) -> Any:
    """A copy of a value without the fields of a set."""
    if granular_map(value, schema):
        result = {}
        for key, entry in value.items():
            below = fields.get(f"f:{key}", _MISSING)
            if below is _MISSING:
                result[key] = entry
            elif below and isinstance(entry, (dict, list)):
                result[key] = drop(entry, below, child(schema, key))
        return result
    if granular_list(value, schema) and schema is not None:
        kept = []
        for entry in value:
            below = fields.get(element(entry, schema))
            if below is None:
                kept.append(entry)
            elif not schema.is_set and below and "." not in below:
                kept.append(drop(entry, below, schema.items))
        return kept
    return value


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """Paths of the leaves, as messages show them.

    >>> list(paths({"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}}}}}))
    ['.spec.containers[name="a"].image']
    """
    for key, below in sorted(fields.items()):
        if key == ".":
            continue
        here = prefix + _shown(key)
        if below and set(below) != {"."}:
            yield from paths(below, here)
        else:
            yield here


def _shown(key: str) -> str:
    if key.startswith("f:"):
        return f".{key[2:]}"
    if key.startswith("v:"):
        return f"[={key[2:]}]"
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(key[2:]).items()) + "]"
