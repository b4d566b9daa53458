"""Problems from files: JSON or YAML of our own, and OR-Library's `pmed` and `cap`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path

from blocks.errors import InvalidInput
from blocks.marked_yaml import read_yaml
from tasks.placement.decide.facility import Facilities
from tasks.placement.problem import Problem
from tasks.placement.problem_checks import parse_problem

FORMATS = ("orlib-pmed", "orlib-cap")


def read_problem(path: Path) -> Problem:
    """The problem of a `.json`, `.yaml` or `.yml` file.

    Raises
    ------
    InvalidInput: the file cannot be read, or the problem has a mistake: the first, with its place.
    """
    text = _text(path)
    if path.suffix in (".yaml", ".yml"):
        root, mistakes = read_yaml(text)
        if mistakes or root is None:
            first = mistakes[0] if mistakes else None
            raise InvalidInput(first.problem if first else "it is empty",
                               where=f"{path}:{first.place[0]}" if first else str(path),
                               fix=first.fix if first else "give it sites and workloads")  # fmt: skip
        return parse_problem(root.data(), str(path))
    return parse_problem(_json(text, path), str(path))


def read_orlib(path: Path, name: str) -> Facilities:
    """Sites to open, of an OR-Library file; `name` is one of `FORMATS`.

    Raises
    ------
    InvalidInput: the file cannot be read, or is not of the format.
    """
    if name not in FORMATS:
        raise InvalidInput(f"no format is named `{name}`", where="--format", fix=f"give one of {', '.join(FORMATS)}")
    return _pmed(path) if name == "orlib-pmed" else _cap(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InvalidInput(f"cannot be read: {why}", where=str(path), fix="check its name") from error


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        fix = "check the commas, quotes and braces of this line and the one above"
        raise InvalidInput(f"no valid JSON: {error.msg}", where=f"{path}:{error.lineno}", fix=fix) from error
    except _Twice as error:
        raise InvalidInput(f"the key `{error}` is there twice in one object", where=str(path),
                           fix="keep one of the two") from error  # fmt: skip
    except RecursionError as error:
        raise InvalidInput("nested too deep", where=str(path), fix="a problem has 5 levels") from error


class _Twice(Exception):
    """A key is twice in one object: JSON readers would silently drop the first."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _numbers(path: Path, format_name: str) -> NDArray[np.float64]:
    words = _text(path).split()
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        odd = next((word for word in words if not _is_number(word)), "")
        fix = "write the capacity of cap-a, -b or -c into the file" if odd == "capacity" else "give an OR-Library file"
        raise InvalidInput(f"`{odd:.40}` is no number", where=str(path), fix=fix) from error
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise InvalidInput("a number is negative or not finite", where=str(path), fix=f"give an {format_name} file")
    return numbers


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _pmed(path: Path) -> Facilities:
    """`n m p`, then m edges `i j length`; of an edge that comes twice the last holds. Beasley (1990)."""
    numbers = _numbers(path, "orlib-pmed")
    if len(numbers) < 3 or len(numbers) != 3 + 3 * int(numbers[1]):
        raise InvalidInput("it does not hold as many edges as its first line says", where=str(path),
                           fix="give an orlib-pmed file")  # fmt: skip
    count, p = int(numbers[0]), int(numbers[2])
    edges = numbers[3:].reshape(-1, 3)
    ends = edges[:, :2].astype(np.int64) - 1
    if not 1 <= p <= count or (len(ends) and (ends.min() < 0 or ends.max() >= count)):
        raise InvalidInput("an edge, or p, names a node that is not there", where=str(path),
                           fix="give an orlib-pmed file")  # fmt: skip
    return graph_facilities(count, ends, edges[:, 2], p)


def graph_facilities(count: int, ends: NDArray[np.int64], lengths: NDArray[np.float64], p: int) -> Facilities:
    """A p-median problem on a graph: every node is a client and a site, the cost is the shortest path."""
    table = np.full((count, count), np.inf)
    table[ends[:, 0], ends[:, 1]] = lengths
    table[ends[:, 1], ends[:, 0]] = lengths
    known = np.isfinite(table)
    at = np.nonzero(known)
    # a path of length zero is a path: scipy drops explicit zeros of dense input only
    cost = shortest_path(csr_matrix((table[at], at), shape=table.shape), method="D", directed=False)
    np.fill_diagonal(cost, 0.0)
    width = len(str(count))
    names = tuple(f"{node + 1:0{width}}" for node in range(count))
    return Facilities(names, names, cost, np.zeros(count), p)


def _cap(path: Path) -> Facilities:
    """`m n`, m times `capacity open_cost`, then n times `demand` and m costs of serving the whole client."""
    numbers = _numbers(path, "orlib-cap")
    sites, clients = (int(numbers[0]), int(numbers[1])) if len(numbers) >= 2 else (0, 0)
    if sites < 1 or clients < 1 or len(numbers) != 2 + 2 * sites + clients * (1 + sites):
        raise InvalidInput("it does not hold as many numbers as its first line says", where=str(path),
                           fix="give an orlib-cap file")  # fmt: skip
    limits = numbers[2 : 2 + 2 * sites].reshape(sites, 2)
    rows = numbers[2 + 2 * sites :].reshape(clients, 1 + sites)
    wide, tall = len(str(sites)), len(str(clients))
    return Facilities(
        tuple(f"{row + 1:0{tall}}" for row in range(clients)), tuple(f"{row + 1:0{wide}}" for row in range(sites)),
        rows[:, 1:], limits[:, 1], requests=rows[:, :1], capacity=limits[:, :1], split=True,
    )  # fmt: skip
