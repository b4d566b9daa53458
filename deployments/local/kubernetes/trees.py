"""JSON trees: copies, lookups and changed copies. Objects in the store are shared, so nobody changes one in place."""

from __future__ import annotations

import datetime
from typing import Any

Json = dict[str, Any]


def clone(tree: Any) -> Any:
    """A copy that shares nothing with the original.

    >>> a = {"x": [1, {"y": 2}]}; b = clone(a); b["x"][1]["y"] = 3; a
    {'x': [1, {'y': 2}]}
    """
    if isinstance(tree, dict):
        return {key: clone(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [clone(value) for value in tree]
    return tree


def dig(tree: Any, *path: str, default: Any = None) -> Any:
    """The value at a path of keys; `default` where a step is missing.

    >>> dig({"a": {"b": 1}}, "a", "b"), dig({"a": {}}, "a", "b", default=0)
    (1, 0)
    """
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return default
        tree = tree[key]
    return tree


def with_value(tree: Json, path: tuple[str, ...], value: Any) -> Json:
    """A copy with one value set, sharing all that did not change; None removes the key.

    >>> with_value({"a": {"b": 1}, "c": 2}, ("a", "b"), None)
    {'a': {}, 'c': 2}
    """
    key, *rest = path
    if rest:
        return {**tree, key: with_value(tree.get(key) or {}, tuple(rest), value)}
    if value is None:
        return {name: old for name, old in tree.items() if name != key}
    return {**tree, key: value}


def condition(obj: Json, kind: str) -> Json | None:
    """The condition of that type in an object's status."""
    for entry in dig(obj, "status", "conditions", default=()):
        if entry.get("type") == kind:
            return dict(entry)
    return None


def is_true(obj: Json, kind: str) -> bool:
    """Whether the condition of that type is True."""
    entries = dig(obj, "status", "conditions", default=())
    return any(entry.get("status") == "True" for entry in entries if entry.get("type") == kind)


def with_condition(conditions: list[Json], entry: Json, now: str, *, updates: bool = False) -> list[Json]:
    """Conditions with one entry set by type; `lastTransitionTime` moves only when the status does.

    With `updates`, `lastUpdateTime` is kept too, as Deployments do.
    """
    old = next((one for one in conditions if one["type"] == entry["type"]), None)
    same = old is not None and old["status"] == entry["status"]
    new = {**entry, "lastTransitionTime": old.get("lastTransitionTime", now) if old and same else now}
    if updates:
        unchanged = same and old is not None and all(old.get(key) == value for key, value in entry.items())
        new["lastUpdateTime"] = old.get("lastUpdateTime", now) if old and unchanged else now
    if old is None:
        return [*conditions, new]
    return [new if one is old else one for one in conditions]


def timestamp(epoch_s: float) -> str:
    """Epoch seconds as RFC 3339 with whole seconds.

    >>> timestamp(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.datetime.fromtimestamp(int(epoch_s), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_s(text: str) -> float:
    """Epoch seconds of an RFC 3339 timestamp.

    >>> epoch_s("1970-01-01T00:00:10Z")
    10.0
    """
    return datetime.datetime.fromisoformat(text).timestamp()
