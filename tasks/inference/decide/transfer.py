"""What goes to the cloud, how, and how much: the cheapest split, and what a link's bandwidth allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FULL = 0.8  # of a link is used at most: beyond it queues grow
STEADY = 1.2  # a better row is taken only when the link is this much above its limit, so that nothing flaps


@dataclass(frozen=True)
class Way:
    """How requests are answered on a link of at least `mbps`.

    Attributes
    ----------
    cloud_ratio: of the requests that go to the cloud at most. compression_ratio: how much smaller they are sent.
    """

    name: str
    mbps: float
    cloud_ratio: float
    compression_ratio: float
    model: str
    batch: int


# The table of the first design (edge-cloud integration, "Adaptive Bandwidth Management"), best link first.
WAYS = (
    Way("cloud-heavy", 10.0, 0.70, 0.0, "full", 32),
    Way("balanced", 1.0, 0.30, 0.5, "optimised", 8),
    Way("edge-heavy", 0.0, 0.05, 0.8, "lightweight", 1),
)
OFFLINE = Way("edge-only", 0.0, 0.0, 0.0, "cached", 1)


def decide_way(mbps: float, now: str = "", ways: Sequence[Way] = WAYS) -> Way:
    """The row for a link; 0 or unknown (NaN) is offline. now: the row in force, left upwards only with a margin.

    >>> [decide_way(speed).name for speed in (50, 5, 0.5, 0, float("nan"))]
    ['cloud-heavy', 'balanced', 'edge-heavy', 'edge-only', 'edge-only']
    >>> decide_way(10.5, now="balanced").name, decide_way(12.5, now="balanced").name
    ('balanced', 'cloud-heavy')
    """
    if not mbps > 0:
        return OFFLINE
    names = [way.name for way in ways]
    at = names.index(now) if now in names else -1
    for place, way in enumerate(ways):
        if mbps > way.mbps * (STEADY if place < at else 1.0):
            return way
    return ways[-1]


def carried_ratio(way: Way, mbps: float, requests_per_s: float, request_bytes: float) -> float:
    """Share of the requests that goes to the cloud: the row's, or what `FULL` of the link carries if that is less.

    >>> carried_ratio(WAYS[0], mbps=20, requests_per_s=100, request_bytes=100_000)
    0.2
    """
    wanted_bps = requests_per_s * request_bytes * 8 * (1 - way.compression_ratio)
    return min(way.cloud_ratio, FULL * mbps * 1e6 / wanted_bps) if wanted_bps > 0 else way.cloud_ratio


@dataclass(frozen=True)
class Point:
    """One way to answer a mix of requests: accuracy (0-1), cost (USD a request), latency (ms) it gives.

    escalated_ratio: of the requests that the cloud answers.
    """

    escalated_ratio: float
    accuracy: float
    usd: float
    latency_ms: float


def decide_split(points: Sequence[Point], accuracy: float, latency_ms: float, carried: float = 1.0) -> Point | None:
    """The cheapest point that is accurate and fast enough and that the link carries; None where there is none.

    Of equal costs the most accurate is taken, then the one that escalates least.
    """
    fitting = [point for point in points if point.accuracy >= accuracy and point.latency_ms <= latency_ms
               and point.escalated_ratio <= carried]  # fmt: skip
    return min(fitting, key=lambda point: (point.usd, -point.accuracy, point.escalated_ratio), default=None)


def may_escalate(elapsed_ms: float, cloud_p95_ms: float, budget_ms: float) -> bool:
    """Whether the cloud's answer would still come in time."""
    return elapsed_ms + cloud_p95_ms <= budget_ms
