"""Why is today's plan of a pool not yesterday's? What it rests on is held against what it rested on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LEAST_NODE_HOURS, LEAST_RATIO = 2.0, 0.05
"""A pool whose planned node-hours differ by less than either is planned as before."""

Plan = Mapping[str, Any]


class Cause(StrEnum):
    """What is not as it was, in the order in which it is told."""

    NEW = "new"
    GONE = "gone"
    NO_PLAN = "no-plan"
    PLAN_AGAIN = "plan-again"
    POLICY = "policy"
    BOUNDS = "bounds"
    NODE_SIZE = "node-size"
    FORECAST = "forecast"
    REQUESTS = "requests"
    SIZE_NOW = "size-now"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Why:
    """One cause; `what` is the resource, bound or setting, `before` and `after` its values (None: not known)."""

    cause: Cause
    what: str = ""
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class Changed:
    """A pool whose plan changed: node-hours and highest size of both plans (None: it has none), and why."""

    pool: str
    node_hours: tuple[float | None, float | None]
    peak: tuple[int | None, int | None]
    why: tuple[Why, ...]


def plan_changes(before: Plan, after: Plan) -> list[Changed]:
    """Pools whose plans differ, the largest difference in node-hours first; of two stored plans (`document_of`)."""
    policy = [Why(Cause.POLICY, name, before["policy"].get(name), value)
              for name, value in after["policy"].items() if before["policy"].get(name) != value]  # fmt: skip
    old, new = ({pool["pool"]: pool for pool in plan["pools"]} for plan in (before, after))
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, is_now = (_sizes(plan, pools.get(name)) for plan, pools in ((before, old), (after, new)))
        if not _differs(was[0], is_now[0]) and (name in old) == (name in new):
            continue
        why = list(_why(name, old.get(name), new.get(name), before, after))
        told = ([*policy, *why] if name in old and name in new else why) or [Why(Cause.UNEXPLAINED)]
        found.append(Changed(name, (was[0], is_now[0]), (was[1], is_now[1]), tuple(told)))
    return sorted(found, key=lambda each: (-abs((each.node_hours[1] or 0) - (each.node_hours[0] or 0)), each.pool))


def _sizes(plan: Plan, pool: Mapping[str, Any] | None) -> tuple[float | None, int | None]:
    """Node-hours and the highest size that are planned."""
    sizes: Sequence[int] = (pool or {}).get("nodes_planned") or ()
    return (sum(sizes) * plan["step_s"] / 3600, max(sizes)) if sizes else (None, None)


def _differs(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= max(LEAST_NODE_HOURS, LEAST_RATIO * before)


def _why(
    name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, before: Plan, after: Plan
) -> Iterator[Why]:
    if old is None or new is None:
        yield Why(Cause.NEW if old is None else Cause.GONE)
        return
    if not new["nodes_planned"] or not old["nodes_planned"]:
        gone = [note["code"] for note in (old if new["nodes_planned"] else new)["notes"]]
        yield Why(Cause.PLAN_AGAIN if new["nodes_planned"] else Cause.NO_PLAN, ", ".join(gone))
        return
    was, is_now = (plan.get("inputs", {}).get(name, {}) for plan in (before, after))
    for bound in ("min_nodes", "max_nodes"):
        if was and was[bound] != is_now[bound]:
            yield Why(Cause.BOUNDS, bound, was[bound], is_now[bound])
    for resource, size in is_now.get("node_sizes", {}).items():
        if was and was["node_sizes"].get(resource) != size:
            yield Why(Cause.NODE_SIZE, resource, was["node_sizes"].get(resource), size)
    for resource, needed in new["nodes_needed_by"].items():
        peaks = [max(each) if each else None for each in (old["nodes_needed_by"].get(resource), needed)]
        if _moved(*peaks):
            foreseen = resource in ("cpu_cores", "memory_bytes")
            yield Why(Cause.FORECAST if foreseen else Cause.REQUESTS, resource, *peaks)
    if old["nodes_now"] != new["nodes_now"]:
        yield Why(Cause.SIZE_NOW, "", old["nodes_now"], new["nodes_now"])


def _moved(before: float | None, after: float | None) -> bool:
    """Whether the nodes that a resource needs at its peak changed by half a node, or became known or unknown."""
    if before is None or after is None:
        return before is not after
    return abs(after - before) >= 0.5
