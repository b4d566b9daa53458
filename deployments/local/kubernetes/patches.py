"""The three patch formats: JSON merge patch (RFC 7386), strategic merge patch, JSON patch (RFC 6902)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from deployments.local.kubernetes import fields, status
from deployments.local.kubernetes.schemas import Schema
from deployments.local.kubernetes.trees import clone

Json = dict[str, Any]

_DIRECTIVE, _ORDER, _DELETE = "$patch", "$setElementOrder/", "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_INDEX = re.compile(r"^(0|-?[1-9]\d{0,8})\Z")
MAX_OPERATIONS = 10_000
"""Operations that one JSON patch may have."""


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch: maps merge, null deletes, everything else replaces. The target is left alone.

    >>> merge({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2]})
    {'a': {'c': 2}, 'd': [2]}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, patch: Any, schema: Schema | None) -> Any:
    """Strategic merge patch: like a merge patch, but lists with a merge key merge entry by entry.

    Directives: `$patch: delete|replace|merge`, `$setElementOrder/F`, `$deleteFromPrimitiveList/F`, `$retainKeys`.

    Raises
    ------
    StatusError: 400, an entry of a keyed list comes without its key.
    """
    if not isinstance(patch, dict):
        return patch
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    orders = {key.removeprefix(_ORDER): value for key, value in patch.items() if key.startswith(_ORDER)}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            field = key.removeprefix(_DELETE)
            result[field] = [entry for entry in result.get(field) or () if entry not in value]
        elif key == _RETAIN:
            result = {name: entry for name, entry in result.items() if name in value}
        elif key == _DIRECTIVE or key.startswith(_ORDER):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_field(result.get(key), value, fields.child(schema, key))
    for field, order in orders.items():
        result[field] = _ordered(result.get(field) or [], order, fields.child(schema, field))
    return result


def _strategic_field(target: Any, value: Any, schema: Schema | None) -> Any:
    if not isinstance(value, list):
        return value if schema is not None and schema.replaced else strategic(target, value, schema)
    if schema is None or schema.form != "list":
        return value
    if schema.is_set:
        return _interleaved(value, target or [])
    if not schema.patch_key:
        return [entry for entry in value if not (isinstance(entry, dict) and _DIRECTIVE in entry)]
    return _keyed_list(target or [], value, schema)


def _keyed_list(target: list[Json], patch: list[Any], schema: Schema) -> list[Json]:
    key = schema.patch_key
    if any(isinstance(entry, dict) and entry.get(_DIRECTIVE) == "replace" for entry in patch):
        return [entry for entry in patch if _DIRECTIVE not in entry]
    old, merged, gone = {entry.get(key): entry for entry in target}, {}, set()
    for entry in patch:
        if not isinstance(entry, dict) or key not in entry:
            raise status.bad_request(f"map: {entry!r} does not contain declared merge key: {key}")
        if entry.get(_DIRECTIVE) == "delete":
            gone.add(entry[key])
        else:
            merged[entry[key]] = strategic(old.get(entry[key]), entry, schema.items)
    entries = {**old, **merged}
    return [entries[name] for name in _interleaved(list(merged), [name for name in old if name not in gone])]


def _interleaved(patched: list[Any], server: list[Any]) -> list[Any]:
    """Order of a merged list: patched entries in the patch's order, the others in the server's; where the server
    knows both of two neighbours its order holds, and an entry new to it comes before whatever is left.

    >>> _interleaved(["new", "b"], ["a", "b", "c"]), _interleaved(["c"], ["a", "b", "c"])
    (['new', 'a', 'b', 'c'], ['a', 'b', 'c'])
    """
    rank = {name: index for index, name in enumerate(server)}
    left, right, result = list(patched), [name for name in server if name not in patched], []
    while left and right:
        first = left[0] not in rank or rank[left[0]] < rank[right[0]]
        result.append(left.pop(0) if first else right.pop(0))
    return result + left + right


def _ordered(entries: list[Any], order: list[Any], schema: Schema | None) -> list[Any]:
    key = schema.patch_key if schema is not None else ""

    def name(entry: Any) -> Any:
        return entry.get(key) if key and isinstance(entry, dict) else entry

    rank = {name(entry): index for index, entry in enumerate(order)}
    return sorted(entries, key=lambda entry: rank.get(name(entry), len(rank)))


def json_patch(target: Any, operations: Any) -> Any:
    """JSON patch, all operations or none. As on a real server, `replace` of a missing map key adds it.

    >>> json_patch({"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}])
    {'a': [2, 3]}

    Raises
    ------
    StatusError: 400 when it is no list of operations, 422 when one of them does not apply.
    """
    if not isinstance(operations, list) or not all(_is_operation(entry) for entry in operations):
        raise status.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        why = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise status.StatusError(413, "RequestEntityTooLarge", why)
    result = clone(target)
    for operation in operations:
        try:
            result = _operation(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise status.rejected_patch() from error
    return result


def _is_operation(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key, ""), str) for key in ("op", "path", "from"))


def _operation(tree: Any, operation: Json) -> Any:
    name, path = operation["op"], _pointer(operation["path"])
    if name == "test":
        if not _equal(_find(tree, path, missing=None), operation.get("value")):
            raise ValueError("test failed")
    elif name in ("add", "replace"):
        if not path:
            return clone(operation["value"])
        _put(tree, path, clone(operation["value"]), insert=name == "add")
    elif name == "remove":
        _take(tree, path)
    elif name in ("move", "copy"):
        source = _pointer(operation["from"])
        value = _take(tree, source) if name == "move" else clone(_find(tree, source))
        _put(tree, path, value, insert=True)
    else:
        raise ValueError(f"no operation {name!r}")
    return tree


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError("a pointer starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


_NEEDED = object()


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; Python alone would take `true` for 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _find(tree: Any, path: list[str], missing: Any = _NEEDED) -> Any:
    for index, part in enumerate(path):
        if isinstance(tree, list):
            tree = tree[_position(part, tree)]
        elif not isinstance(tree, dict):
            raise TypeError(part)
        elif part in tree or missing is _NEEDED or index < len(path) - 1:
            tree = tree[part]
        else:
            return missing
    return tree


def _position(part: str, entries: list[Any]) -> int:
    position = _index(part)
    if position < 0:
        position += len(entries)
    if not 0 <= position < len(entries):
        raise IndexError(part)
    return position


def _index(part: str) -> int:
    if not _INDEX.match(part):
        raise ValueError(part)
    return int(part)


def _put(tree: Any, path: list[str], value: Any, *, insert: bool) -> None:
    parent, last = _find(tree, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif not isinstance(parent, list):
        raise TypeError(last)
    elif last == "-":
        parent.append(value)
    elif insert:
        if not 0 <= (position := _index(last)) <= len(parent):
            raise IndexError(last)
        parent.insert(position, value)
    else:
        parent[_position(last, parent)] = value


def _take(tree: Any, path: list[str]) -> Any:
    parent, last = _find(tree, path[:-1]), path[-1]
    if not isinstance(parent, (dict, list)):
        raise TypeError(last)
    return parent.pop(last) if isinstance(parent, dict) else parent.pop(_position(last, parent))


def _directed(target: Any, patch: Any, schema: Schema | None) -> Any:
    """A strategic merge; directives and merge keys of the wrong type make the patch a bad one."""
    try:
        return strategic(target, patch, schema)
    except (TypeError, AttributeError) as error:
        raise status.bad_request(f"invalid strategic merge patch: {error}") from error


def function(patch_type: str, body: Any, schema: Schema | None) -> Callable[[Any], Any]:
    """The function that a patch is, from an object to the changed one. `patch_type`: merge, strategic or json.

    Raises
    ------
    KeyError: an unknown type of patch.
    """
    known: dict[str, Callable[[Any], Any]] = {
        "merge": lambda target: merge(target, body),
        "strategic": lambda target: _directed(target, body, schema),
        "json": lambda target: json_patch(target, body),
    }
    return known[patch_type]
