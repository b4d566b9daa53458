"""What a pod asks for: containers, init containers and sidecars, overhead, requests of the pod as a whole."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

from deployments.local.kubernetes.decoding import quantity

Json = dict[str, Any]
Items = tuple[tuple[str, str], ...]

_POD_LEVEL = ("cpu", "memory")


def requests(spec: Json) -> dict[str, float]:
    """What a pod asks for in the units of its quantities, one pod place included.

    Containers and sidecars run together; before them each init container runs with the sidecars started so far, and
    the larger need counts (resource.AggregateContainerRequests in k8s.io/component-helpers).

    >>> requests({"containers": [{"resources": {"requests": {"cpu": "500m"}}}] * 2})
    {'cpu': 1.0, 'pods': 1.0}
    """
    return {**_total(
        tuple(_items(container) for container in spec.get("containers", ())),
        tuple((entry.get("restartPolicy") == "Always", _items(entry)) for entry in spec.get("initContainers", ())),
        tuple(sorted(spec.get("overhead", {}).items())), _items(spec),
    ), "pods": 1.0}  # fmt: skip


def _items(container: Json) -> Items:
    return tuple((container.get("resources") or {}).get("requests", {}).items())


@functools.lru_cache(maxsize=2048)
def _total(
    containers: tuple[Items, ...], starters: tuple[tuple[bool, Items], ...], overhead: Items, whole: Items
) -> dict[str, float]:
    running = _sum(*containers)
    starting: dict[str, float] = {}
    sidecars: dict[str, float] = {}
    for stays, items in starters:
        if stays:
            running, sidecars = _plus(running, _sum(items)), _plus(sidecars, _sum(items))
            need = sidecars
        else:
            need = _plus(_sum(items), sidecars)
        starting = {name: max(starting.get(name, 0.0), need.get(name, 0.0)) for name in {**starting, **need}}
    total = {name: max(running.get(name, 0.0), starting.get(name, 0.0)) for name in {**running, **starting}}
    total |= {name: quantity(text) for name, text in whole if name in _POD_LEVEL}
    return _plus(total, _sum(overhead))


def _sum(*parts: Items) -> dict[str, float]:
    total: Counter[str] = Counter()
    for items in parts:
        for name, text in items:
            total[name] += quantity(text)  # type: ignore[assignment]
    return dict(total)


def _plus(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}} if other else one


def amounts(of: dict[str, float]) -> dict[str, int]:
    """Whole numbers, rounded up: CPU in thousandths, everything else in its unit. Sums of them never drift.

    >>> amounts({"cpu": 0.1, "memory": 64.0})
    {'cpu': 100, 'memory': 64}
    """
    return {name: math.ceil(value * (1000 if name == "cpu" else 1) - 1e-6) for name, value in of.items()}


def offered(room: dict[str, str]) -> dict[str, int]:
    """What a node has to give, from its allocatable quantities, rounded down."""
    return {name: math.floor(quantity(text) * (1000 if name == "cpu" else 1) + 1e-6) for name, text in room.items()}
