"""Patterns of the conformance transcripts: markers, paths and asserts, as the transcripts' README defines them."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]

MARKERS = {
    "uid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "rv": r"[1-9]\d*",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "microtime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "hash": r"[a-z0-9]{5,10}",
    "suffix": r"[bcdfghjklmnpqrstvwxz2456789]{5}",
    "ip": r"\d{1,3}(?:\.\d{1,3}){3}",
    "version": r"v?\d+\.\d+\S*",
    "minor": r"\d+\+?",
    "string": r"(?s:.+)",
}
_WHOLE = {
    "<int>": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "<bool>": lambda value: isinstance(value, bool),
    "<number>": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "<object>": lambda value: isinstance(value, dict),
    "<list>": lambda value: isinstance(value, list),
    "<any>": lambda value: value is not None,
    "<absent>": lambda value: value is None,
    "<empty>": lambda value: not value,
}
_MARKER = re.compile("<(" + "|".join(MARKERS) + ")>")
_UNORDERED_KEYS = {
    "conditions": ("type",),
    "managedFields": ("manager", "operation", "subresource"),
    "taints": ("key", "effect"),
}


def differences(pattern: Any, value: Any, path: str = "") -> list[str]:
    """Where a value does not fit a pattern; empty when it does."""
    if isinstance(pattern, dict):
        return _object_differences(pattern, value, path)
    if isinstance(pattern, list):
        return _list_differences(pattern, value, path)
    if isinstance(pattern, str):
        if pattern in _WHOLE:
            return [] if _WHOLE[pattern](value) else [f"{path}: {value!r} is not {pattern}"]
        if _MARKER.search(pattern):
            fits = isinstance(value, str) and re.fullmatch(_regular(pattern), value)
            return [] if fits else [f"{path}: {value!r} does not fit {pattern!r}"]
    same = pattern == value and isinstance(pattern, bool) == isinstance(value, bool)
    return [] if same else [f"{path}: {value!r} instead of {pattern!r}"]


def _regular(pattern: str) -> str:
    parts = _MARKER.split(pattern)
    return "".join(MARKERS[part] if index % 2 else re.escape(part) for index, part in enumerate(parts))


def _object_differences(pattern: Json, value: Any, path: str) -> list[str]:
    if len(pattern) == 1:
        (key, inner), *_ = pattern.items()
        if key == "<text>":
            return [] if isinstance(value, str) and value else [f"{path}: {value!r} is no text"]
        if key == "<one-of>":
            return (
                [] if any(not differences(one, value, path) for one in inner) else [f"{path}: fits none of the forms"]
            )
        if key in ("<contains>", "<unordered>"):
            return _contained(inner, value, path, exact=key == "<unordered>")
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    found = []
    for key, inner in pattern.items():
        where = f"{path}.{key}" if path else key
        if key in _UNORDERED_KEYS and isinstance(inner, list) and isinstance(value.get(key), list):
            found += _keyed(inner, value[key], where, _UNORDERED_KEYS[key], closed=key == "taints")
        elif key not in value and inner not in ("<absent>", "<empty>"):
            found.append(f"{where}: missing")
        else:
            found += differences(inner, value.get(key), where)
    return found


def _keyed(pattern: list[Any], value: list[Any], path: str, keys: tuple[str, ...], *, closed: bool) -> list[str]:
    """Lists compared entry by entry through their keys; with `closed` no other entries may be there."""

    def name(entry: Any) -> tuple[Any, ...]:
        return tuple(entry.get(key) for key in keys)

    entries = {name(entry): entry for entry in value}
    found = []
    for entry in pattern:
        if name(entry) in entries:
            found += differences(entry, entries[name(entry)], f"{path}[{name(entry)}]")
        else:
            found.append(f"{path}: no entry {name(entry)}")
    if closed and len(value) > len(pattern):
        found.append(f"{path}: more entries than {len(pattern)}")
    return found


def _list_differences(pattern: list[Any], value: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {value!r} is no list"]
    if len(pattern) != len(value):
        return [f"{path}: {len(value)} entries instead of {len(pattern)}"]
    return [fault for index, (one, entry) in enumerate(zip(pattern, value, strict=True))
            for fault in differences(one, entry, f"{path}[{index}]")]  # fmt: skip


def _contained(pattern: list[Any], value: Any, path: str, *, exact: bool) -> list[str]:
    """Every pattern is met by an entry of its own, in any order."""
    if not isinstance(value, list) or (exact and len(value) != len(pattern)):
        return [f"{path}: {value!r} has not the entries wanted"]
    left, found = list(value), []
    for one in pattern:
        match = next((entry for entry in left if not differences(one, entry)), None)
        if match is None:
            found.append(f"{path}: no entry fits {one!r}")
        else:
            left.remove(match)
    return found


_STEP = re.compile(
    r"""\.?(?: (?P<name>[^.\[\]]+) | \["(?P<quoted>[^"]+)"\] | \[(?P<index>\d+)\] | \[(?P<all>\*)\]
             | \[\?(?P<key>[^=]+)=(?P<value>[^\]]*)\] )""",
    re.VERBOSE,
)


def at(value: Any, path: str) -> Any:
    """The value at a path; None where a step is missing.

    >>> at({"a": [{"t": "x", "v": 1}]}, "a[?t=x].v"), at({"a": [1, 2]}, "a.length"), at({"a": [{"b": 3}]}, "a[*].b")
    (1, 2, [3])
    """
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"path {path!r} at {position}")
        position = match.end()
        if match["all"]:
            rest = path[position:].lstrip(".")
            return [at(entry, rest) for entry in value or []]
        value = _step(value, match)
        if value is None:
            return None
    return value


def _step(value: Any, match: re.Match[str]) -> Any:
    if match["index"] is not None:
        position = int(match["index"])
        return value[position] if isinstance(value, list) and position < len(value) else None
    if match["key"] is not None:
        entries = value if isinstance(value, list) else []
        return next((entry for entry in entries if str(entry.get(match["key"])) == match["value"]), None)
    name = match["name"] or match["quoted"]
    if name == "length" and isinstance(value, list):
        return len(value)
    return value.get(name) if isinstance(value, dict) else None


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


_OPERATORS = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "lt": lambda value, wanted: value is not None and _number(value) < _number(wanted),
    "le": lambda value, wanted: value is not None and _number(value) <= _number(wanted),
    "gt": lambda value, wanted: value is not None and _number(value) > _number(wanted),
    "ge": lambda value, wanted: value is not None and _number(value) >= _number(wanted),
    "in": lambda value, wanted: value in wanted,
    "exists": lambda value, _wanted: value is not None,
    "absent": lambda value, _wanted: value is None,
    "contains": lambda value, wanted: value is not None and wanted in value,
    "not-contains": lambda value, wanted: value is None or wanted not in value,
    "len": lambda value, wanted: len(value or ()) == wanted,
    "min-len": lambda value, wanted: len(value or ()) >= wanted,
    "sorted": lambda value, _wanted: value is not None and list(value) == sorted(value),
    "unique": lambda value, _wanted: value is not None and len(set(value)) == len(value),
}


def holds(check: Json, body: Any) -> bool:
    """Whether one assert holds."""
    value = at(body, check["path"])
    return bool(_OPERATORS[check["op"]](check.get("default") if value is None else value, check.get("value")))


def broken_asserts(checks: list[Json], body: Any) -> list[str]:
    """Asserts that do not hold."""
    return [f"{check['path']}: {at(body, check['path'])!r} is not {check['op']} {check.get('value', '')!r}"
            for check in checks if not holds(check, body)]  # fmt: skip
