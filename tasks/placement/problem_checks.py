"""A problem at the door: every mistake is one line that says where it is and how to mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from blocks.errors import InvalidInput
from blocks.fleet_checks import Finding, Path, did_you_mean, field_path
from tasks.placement.problem import Function, Part, PlacementSite, PlacementWorkload, Problem, Weights

AT_ONCE = 20  # findings that are collected before the rest is only counted


def parse_problem(data: Any, source: str = "problem") -> Problem:
    """The problem that plain data (of JSON, YAML, a form) describes.

    Raises
    ------
    InvalidInput: with the first mistake, where it is, how to mend it, and how many more there are.

    >>> parse_problem({"sites": [{"name": "a", "capacity": {"cpu": -1}}]})
    Traceback (most recent call last):
    ...
    blocks.errors.InvalidInput: problem: sites[0].capacity.cpu: `-1` is too small. To mend it: give 0 or more
    """
    try:
        problem = Problem.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise _refusal([_translate(detail) for detail in details[:AT_ONCE]], len(details), source) from None
    findings = list(_findings_of(problem))
    if findings:
        raise _refusal(findings, len(findings), source)
    return problem


def _refusal(findings: list[Finding], count: int, source: str) -> InvalidInput:
    first = findings[0]
    more = f" (and {count - 1} more)" if count > 1 else ""
    place = field_path(first.path)
    return InvalidInput(first.problem + more, where=f"{source}: {place}" if place else source, fix=first.fix)


def _translate(detail: ErrorDetails) -> Finding:
    """One of pydantic's errors in a person's words."""
    path: Path = tuple(key for key in detail["loc"] if not _is_branch(key))
    given, kind = _shown(detail.get("input")), detail["type"]
    ctx = detail.get("ctx", {})
    problem, fix = detail["msg"].lower(), "see `continuum place schema`"
    if kind == "missing":
        problem, fix = "it is missing", "add it"
    elif kind == "extra_forbidden":
        known = _fields_at(path)
        problem, fix = "no such field", did_you_mean(str(path[-1]), known, f"it knows {', '.join(sorted(known))}")
    elif kind in ("finite_number", "float_type", "float_parsing", "int_type", "int_parsing", "int_from_float"):
        problem, fix = f"{given} is not a {'whole' if kind.startswith('int') else 'finite'} number", "give a number"
    elif kind in ("greater_than_equal", "greater_than"):
        problem, fix = f"{given} is too small", f"give {ctx.get('ge', ctx.get('gt')):g} or more"
    elif kind in ("less_than_equal", "less_than"):
        limit = f"at most {ctx['le']:g}" if "le" in ctx else f"less than {ctx.get('lt')}"
        problem, fix = f"{given} is too large", f"give {limit}"
    elif kind == "too_short":
        problem, fix = f"there are no {path[-1] if path else 'values'}", "give one at least"
    elif kind in ("literal_error", "enum"):
        problem, fix = f"{given} is none of its values", f"give {ctx.get('expected', 'one of the schema')}"
    elif kind in ("model_type", "model_attributes_type", "dict_type", "list_type", "string_type"):
        wanted = {"list_type": "a list", "string_type": "text"}.get(kind, "an object")
        problem, fix = f"{given} is not {wanted}", f"give {wanted}"
    return Finding(path, problem, fix)


def _is_branch(key: str | int) -> bool:
    """Whether this part of pydantic's path names a branch of a union or a validator and no field."""
    return isinstance(key, str) and (key.startswith(("dict[", "constrained-", "function-")) or key == "float")


def _shown(value: Any) -> str:
    text = str(value)
    return f"`{text:.40}`" if isinstance(value, str | int | float | bool) and text.isprintable() else "this"


def _fields_at(path: Path) -> set[str]:
    """Names of the fields beside the one at `path`."""
    model: Any = Problem
    for key in path[:-1]:
        if isinstance(key, str) and key in getattr(model, "model_fields", {}):
            model = _PARTS.get(key, model)
    return set(model.model_fields)


_PARTS: dict[str, type[Part]] = {
    "sites": PlacementSite,
    "workloads": PlacementWorkload,
    "functions": Function,
    "weights": Weights,
}


def _findings_of(problem: Problem) -> Iterator[Finding]:
    """What does not hold between the parts: names, references, affinities, replicas, coordinates."""
    for check in _CHECKS:
        yield from check(problem)


def _duplicates(problem: Problem) -> Iterator[Finding]:
    for field in ("sites", "workloads", "zones", "functions"):
        first: dict[str, int] = {}
        for row, part in enumerate(getattr(problem, field)):
            if part.name in first:
                yield Finding((field, row, "name"), f"`{part.name}` is the name of {field}[{first[part.name]}] too",
                              "give each a name of its own")  # fmt: skip
            first.setdefault(part.name, row)


def _unknown(names: Iterable[str], known: Mapping[str, Any], what: str, path: Path) -> Iterator[Finding]:
    for place, name in enumerate(names):
        if name not in known:
            fix = did_you_mean(name, known, f"name one of the {what}s, or add it") if len(known) < 1000 else \
                f"name one of the {what}s, or add it"  # fmt: skip
            yield Finding((*path, place if isinstance(names, list) else name), f"no {what} is named `{name}`", fix)


def _references(problem: Problem) -> Iterator[Finding]:
    sites = {site.name: site for site in problem.sites}
    zones = {zone.name: zone for zone in problem.zones} | dict.fromkeys(problem.latency_ms)
    workloads = {workload.name: workload for workload in problem.workloads}
    if problem.zones:
        yield from _unknown(problem.latency_ms, {zone.name: zone for zone in problem.zones}, "zone", ("latency_ms",))
    for zone, row in problem.latency_ms.items():
        yield from _unknown(row, sites, "site", ("latency_ms", zone))
    for number, each in enumerate(problem.workloads):
        path: Path = ("workloads", number)
        if each.cost:
            yield from _unknown(each.cost, sites, "site", (*path, "cost"))
        if each.allowed:
            yield from _unknown(each.allowed, sites, "site", (*path, "allowed"))
        if each.demand:
            yield from _unknown(each.demand, zones, "zone", (*path, "demand"))
        if isinstance(each.latency_limit_ms, dict):
            yield from _unknown(each.latency_limit_ms, zones, "zone", (*path, "latency_limit_ms"))
        for field in ("affinity", "anti_affinity"):
            if names := getattr(each, field):
                yield from _unknown(names, workloads, "workload", (*path, field))
    for number, function in enumerate(problem.functions):
        yield from _unknown(function.sites, sites, "site", ("functions", number, "sites"))
        yield from _unknown(function.capacity, sites, "site", ("functions", number, "capacity"))
        yield from _unknown(function.servers, sites, "site", ("functions", number, "servers"))
        yield from _unknown(function.demand, zones, "zone", ("functions", number, "demand"))


def _affinities(problem: Problem) -> Iterator[Finding]:
    """Cycles, contradictions, and affinities between workloads with other numbers of replicas."""
    rows = {workload.name: (row, workload) for row, workload in enumerate(problem.workloads)}
    together = _Sets()
    for row, each in enumerate(problem.workloads):
        for place, name in enumerate(each.affinity):
            other = rows[name][1] if name in rows else each
            if other.replicas != each.replicas:
                yield Finding(("workloads", row, "affinity", place),
                              f"`{each.name}` has {each.replicas} replicas and `{name}` has {other.replicas}",
                              "give both the same number of replicas")  # fmt: skip
            together.join(each.name, name)
    for row, cycle in _cycles(rows):
        yield Finding(("workloads", row, "affinity"), f"affinity runs in a circle: {' -> '.join(cycle)}",
                      "remove one of these affinities; one direction is enough")  # fmt: skip
    for row, each in enumerate(problem.workloads):
        for place, name in enumerate(each.anti_affinity):
            if together.root(each.name) == together.root(name):
                yield Finding(("workloads", row, "anti_affinity", place),
                              f"`{each.name}` must stand apart from `{name}`, and also with it",
                              "remove the affinity or the anti_affinity")  # fmt: skip


class _Sets:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(parent, parent)
            name = parent
        return name

    def join(self, a: str, b: str) -> None:
        self._parent[self.root(a)] = self.root(b)


def _cycles(rows: Mapping[str, tuple[int, PlacementWorkload]]) -> Iterator[tuple[int, list[str]]]:
    """The first circle of affinities, by depth-first search without recursion."""
    done: set[str] = set()
    for start in rows:
        if start in done or not rows[start][1].affinity:
            continue
        trail: list[str] = [start]
        waiting = [iter(rows[start][1].affinity)]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                done.add(trail.pop())
                waiting.pop()
            elif name in trail:
                yield rows[name][0], [*trail[trail.index(name) :], name]
                return
            elif name in rows and name not in done:
                trail.append(name)
                waiting.append(iter(rows[name][1].affinity))


def _replicas(problem: Problem) -> Iterator[Finding]:
    regions = {site.region or site.name for site in problem.sites}
    for row, each in enumerate(problem.workloads):
        if each.replicas == 1 or each.spread == "none":
            continue
        listed = [set(names) for names in (each.cost, each.allowed) if names is not None]
        room = len(regions) if each.spread == "region" else min([len(problem.sites), *map(len, listed)])
        if each.replicas > room:
            yield Finding(("workloads", row, "replicas"),
                          f"{each.replicas} replicas must be spread, over {room} {each.spread}s",
                          f"ask for {room} or fewer, or set its spread to none")  # fmt: skip


def _coordinates(problem: Problem) -> Iterator[Finding]:
    for field in ("sites", "zones"):
        for row, part in enumerate(getattr(problem, field)):
            if (part.lat is None) != (part.lon is None):
                yield Finding((field, row), f"`{part.name}` has one of lat and lon only", "give both, or none")


def _opening(problem: Problem) -> Iterator[Finding]:
    if problem.open and problem.open.count and problem.open.count > len(problem.sites):
        yield Finding(("open", "count"), f"{problem.open.count} sites to open, and there are {len(problem.sites)}",
                      f"open {len(problem.sites)} or fewer")  # fmt: skip


def _used_resources(problem: Problem) -> Iterator[Finding]:
    """A resource that no site has is a slip of the pen more often than a wish."""
    known = {resource: None for site in problem.sites for resource in site.capacity}
    seen: dict[str, int] = defaultdict(int)
    for row, each in enumerate(problem.workloads):
        for resource, amount in each.requests.items():
            if amount > 0 and resource not in known and not seen[resource]:
                seen[resource] += 1
                yield Finding(("workloads", row, "requests", resource), f"no site has any `{resource}`",
                              did_you_mean(resource, known, "add it to a site's capacity"))  # fmt: skip


_CHECKS: tuple[Callable[[Problem], Iterator[Finding]], ...] = (
    _duplicates,
    _references,
    _affinities,
    _replicas,
    _coordinates,
    _opening,
    _used_resources,
)
