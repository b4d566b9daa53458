"""How fast the pods of lost nodes may be evicted: slower, or not at all, when much of a zone is gone.

As the node lifecycle controller of Kubernetes (ComputeZoneState, ReducedQPSFunc) with its default flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.local.kubernetes.trees import condition

Json = dict[str, Any]

RATE_PER_S = 0.1
"""Nodes a second whose pods are evicted (nodeEvictionRate)."""
REDUCED_PER_S = 0.01
"""The same in a large zone much of which is gone (secondaryNodeEvictionRate)."""
LARGE = 50
"""Nodes above which a zone is large (largeClusterSizeThreshold); in a small one nobody is evicted then."""
UNHEALTHY = 0.55
"""Share of nodes not ready from which much of a zone is gone (unhealthyZoneThreshold)."""
FULL, PARTIAL, NORMAL = "FullDisruption", "PartialDisruption", "Normal"
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def zone_of(node: Json) -> str:
    """Region and zone of a node as one word; nodes without labels share one zone."""
    labels = node["metadata"].get("labels", {})
    return f"{labels.get(_REGION, '')}/{labels.get(_ZONE, '')}"


def state(ready: Sequence[bool]) -> str:
    """State of a zone by the readiness of its nodes.

    >>> state([True, False, False]), state([True] * 2 + [False] * 3), state([False])
    ('Normal', 'PartialDisruption', 'FullDisruption')
    """
    lost = len(ready) - sum(ready)
    if lost and lost == len(ready):
        return FULL
    return PARTIAL if lost > 2 and lost / len(ready) >= UNHEALTHY else NORMAL


def rates(zones: Mapping[str, Sequence[bool]]) -> dict[str, float] | None:
    """Nodes a second that may be given up, by zone; None when everything is gone: then the fault is likely ours.

    >>> rates({"a": [False], "b": [True]}), rates({"a": [True] + [False] * 9}), rates({"a": [False]})
    ({'a': 0.1, 'b': 0.1}, {'a': 0.0}, None)
    """
    states = {zone: state(ready) for zone, ready in zones.items()}
    if states and set(states.values()) == {FULL}:
        return None
    reduced = {zone: REDUCED_PER_S if len(ready) > LARGE else 0.0 for zone, ready in zones.items()}
    return {zone: reduced[zone] if found == PARTIAL else RATE_PER_S for zone, found in states.items()}


def by_zone(nodes: Sequence[Json]) -> dict[str, list[bool]]:
    """Readiness of the nodes of each zone; nodes that never said anything do not count."""
    found: dict[str, list[bool]] = {}
    for node in nodes:
        if (ready := condition(node, "Ready")) is not None:
            found.setdefault(zone_of(node), []).append(ready["status"] == "True")
    return found
