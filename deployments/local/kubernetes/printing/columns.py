"""A column of a table, and the cells that many kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from deployments.local.kubernetes.printing.ages import since
from deployments.local.kubernetes.selectors import as_text
from deployments.local.kubernetes.trees import dig

Json = dict[str, Any]
Cell = Callable[[Json, float], Any]
"""What stands in a column for an object at a time (epoch seconds)."""

NONE = "<none>"


class Column(NamedTuple):
    """One column.

    Parameters
    ----------
    wide: shown with `-o wide` only.
    """

    title: str
    cell: Cell
    wide: bool = False
    type: str = "string"
    format: str = ""


def shows(title: str, cell: Callable[[Json], Any], *, wide: bool = False) -> Column:
    """A column whose cell does not depend on the time."""
    return Column(title, lambda obj, _now_s: cell(obj), wide)


def field(title: str, *path: str, default: Any = NONE, wide: bool = False) -> Column:
    """A column with the value at a path of keys."""
    return shows(title, lambda obj: dig(obj, *path, default=default), wide=wide)


def count(title: str, *path: str) -> Column:
    """A column with the number at a path of keys; 0 where it is absent."""
    return Column(title, lambda obj, _now_s: dig(obj, *path, default=0), False, "integer")


def ago(title: str, *path: str, default: str) -> Column:
    """A column with the time since the timestamp at a path of keys."""
    return Column(title, lambda obj, now_s: since(text, now_s) if (text := dig(obj, *path)) else default)


NAME = Column("Name", lambda obj, _now_s: obj["metadata"]["name"], False, "string", "name")
AGE = Column("Age", lambda obj, now_s: since(obj["metadata"].get("creationTimestamp"), now_s))
CREATED_AT = Column("Created At", lambda obj, _now_s: obj["metadata"]["creationTimestamp"], False, "date")


def labels_text(labels: Json | None) -> str:
    """Labels as `k=v,k=v`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def containers(*path: str, selector: bool = True) -> list[Column]:
    """The wide columns of what has a pod template at a path of keys: containers, images, selector."""

    def of_containers(what: str) -> Callable[[Json], str]:
        return lambda obj: ",".join(
            entry[what] for entry in dig(obj, *path, "template", "spec", "containers", default=())
        )

    found = [shows("Containers", of_containers("name"), wide=True), shows("Images", of_containers("image"), wide=True)]
    if selector:
        found.append(shows("Selector", lambda obj: as_text(dig(obj, *path, "selector")) or NONE, wide=True))
    return found


def shortened(words: Iterable[str], most: int, join: str = ",") -> str:
    """The first few of a list, and how many more there are.

    >>> shortened(["a", "b", "c"], 2)
    'a,b + 1 more...'
    """
    found = list(words)
    more = f" + {len(found) - most} more..." if len(found) > most else ""
    return join.join(found[:most]) + more
