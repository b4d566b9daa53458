"""Custom resources: the columns that a definition asks for, each found by a JSONPath."""

from __future__ import annotations

import json
import re
from typing import Any

from deployments.local.kubernetes.printing.ages import UNKNOWN, since
from deployments.local.kubernetes.printing.columns import AGE, NAME, Cell, Column

Json = dict[str, Any]

_STEP = re.compile(
    r"""\.(?P<field>(?:\\.|[^.\[\\])+) | \[['"](?P<quoted>[^'"]+)['"]\] | \[(?P<index>-?\d+)\] | \[(?P<all>\*)\]
    | \[\?\(@\.(?P<key>[^=!<>\s]+)\s*==\s*['"](?P<value>[^'"]*)['"]\)\]""",
    re.VERBOSE,
)


def columns(version: Json) -> list[Column]:
    """The columns of one version of a CustomResourceDefinition; name and age where it names none."""
    declared = version.get("additionalPrinterColumns")
    if not declared:
        return [NAME, AGE]
    return [NAME, *(Column(entry["name"], _cell(entry), entry.get("priority", 0) > 0, entry["type"],
                           entry.get("format", "")) for entry in declared)]  # fmt: skip


def _cell(entry: Json) -> Cell:
    path, kind = entry["jsonPath"], entry["type"]

    def cell(obj: Json, now_s: float) -> Any:
        found = found_at(obj, path)
        if not found:
            return None
        if kind != "date":
            return json.dumps(found[0]) if isinstance(found[0], (dict, list)) else found[0]
        try:
            return since(str(found[0]), now_s)
        except ValueError:
            return UNKNOWN

    return cell


def found_at(obj: Json, path: str) -> list[Any]:
    """What a JSONPath finds: fields, indexes, `[*]` and `[?(@.key=="value")]`.

    >>> found_at({"c": [{"type": "A", "s": 1}, {"type": "B", "s": 2}]}, '.c[?(@.type=="B")].s')
    [2]
    """
    found: list[Any] = [obj]
    for step in _STEP.finditer(path):
        found = [below for tree in found for below in _below(tree, step)]
    return found


def _below(tree: Any, step: re.Match[str]) -> list[Any]:
    name = step["quoted"] or (step["field"] or "").replace("\\", "")
    if name:
        return [tree[name]] if isinstance(tree, dict) and tree.get(name) is not None else []
    if not isinstance(tree, list):
        return []
    if step["index"]:
        return tree[int(step["index"]) :][:1]
    if step["all"]:
        return tree
    return [entry for entry in tree if isinstance(entry, dict) and str(entry.get(step["key"])) == step["value"]]
