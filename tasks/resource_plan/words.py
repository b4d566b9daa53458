"""The words for every note of a plan, and how amounts are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.resource_plan.decide import Code

# The word for each resource, the unit it is shown in, and what one such unit is.
SHOWN = {
    "cpu_cores": ("CPU", "cores", 1.0),
    "memory_bytes": ("memory", "GiB", 2.0**30),
    "gpus": ("GPU", "GPUs", 1.0),
    "storage_bytes": ("storage", "GiB", 2.0**30),
    "": ("demand", "", 1.0),
}

# What is said, and what a person can do ("" where there is nothing to do). One entry for every code.
WORDS: dict[Code, tuple[str, str]] = {
    Code.UNREACHABLE: (
        "the cluster or its node-pool API does not answer",
        "run `continuum doctor`, check network and credentials",
    ),
    Code.FORECAST_MISSING: (
        "there is no day-ahead forecast of {resource}",
        "run demand-forecasting with plan day-ahead, or look at why it fails",
    ),
    Code.FORECAST_STALE: (
        "the day-ahead forecast is {age_h:.1f} h old",
        "run demand-forecasting with plan day-ahead, or look at why it fails",
    ),
    Code.FORECAST_INCOMPLETE: (
        "the day-ahead forecast of {resource} has gaps",
        "look at the metric source of this cluster",
    ),
    Code.NOT_LOWERED: ("not all that its nodes have is known, so it is not planned below its present size", ""),
    Code.CAPACITY_UNKNOWN: ("neither inventory nor cluster tells the {resource} of a node", ""),
    Code.REQUESTS_UNKNOWN: (
        "what pods request of {resource} is not known",
        "let the role read pods (deployments/kubernetes/rbac-shadow.yaml)",
    ),
    Code.PRICE_UNKNOWN: ("no price", "set price_usd_per_hour of the pool in fleet.yaml"),
    Code.AT_MAX: (
        "the peak needs {peak_nodes:.0f} nodes, {unmet_nodes:.0f} more than the maximum of {max_nodes:.0f} allows",
        "raise max_nodes of the pool, and the cloud's quota with it",
    ),
    Code.ABOVE_MAX: (
        "{current_nodes:.0f} nodes are above the maximum of {max_nodes:.0f}; it is not cut for that alone",
        "raise max_nodes, or shrink the pool by hand",
    ),
    Code.TOO_SOON: (
        "nodes needed sooner than they boot ({boot_min:.0f} min): {short_nodes:.0f}",
        "let cluster-scaling act now, or grow the pool by hand",
    ),
    Code.OWNED: ("it is for {owner} to size", "give the plan to its owner"),
}

# Told by a cell that says "unknown", and once for the fleet: not again for every pool.
QUIET = frozenset({Code.CAPACITY_UNKNOWN, Code.PRICE_UNKNOWN})


def said(note: Mapping[str, Any], owner: str) -> str:
    """A note in words.

    >>> said({"code": "forecast-stale", "resource": "", "numbers": {"age_s": 18000.0}}, "")
    'the day-ahead forecast is 5.0 h old'
    """
    numbers = {name: float("nan") if value is None else value for name, value in note["numbers"].items()}
    more = {"age_h": numbers.get("age_s", 0.0) / 3600, "boot_min": numbers.get("boot_s", 0.0) / 60}
    text = WORDS[Code(note["code"])][0]
    owner = "its owner (marked hands-off)" if owner == "hands-off" else owner
    return text.format(resource=SHOWN[note["resource"]][0], owner=owner, **more, **numbers)


def mends(notes: list[Mapping[str, Any]]) -> str:
    """What to do about a pool's notes, each once."""
    return "; ".join(dict.fromkeys(mend for note in notes if (mend := WORDS[Code(note["code"])][1])))


def amount(value: float | None, resource: str) -> str:
    """An amount of a resource in its unit.

    >>> amount(12.34, "cpu_cores"), amount(None, "gpus"), amount(2.0**31, "memory_bytes")
    ('12.3 cores', 'unknown', '2.0 GiB')
    """
    _, unit, one = SHOWN[resource]
    return "unknown" if value is None else f"{value / one:,.1f} {unit}"
