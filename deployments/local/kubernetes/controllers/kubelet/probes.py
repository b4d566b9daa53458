"""Probes: when a container counts as started, as ready, and when it is killed for not answering."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

Json = dict[str, Any]

STARTUP, READINESS, LIVENESS = "startup", "readiness", "liveness"
_DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


class Streak(NamedTuple):
    """What a probe has been seeing, and since when (epoch seconds)."""

    passes: bool
    since_s: float


def probe_of(container: Json, what: str) -> Json | None:
    """A container's probe of one sort, with its defaults; None when it has none."""
    probe = container.get(f"{what}Probe")
    return None if probe is None else {**_DEFAULTS, **{key: value for key, value in probe.items() if value}}


def verdict_s(probe: Json, started_s: float, streak: Streak) -> float:
    """When a streak becomes the probe's verdict: with its last needed tick, epoch seconds.

    A probe ticks every `periodSeconds` from `initialDelaySeconds` after the container's start.

    >>> slow = {"initialDelaySeconds": 5, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    >>> verdict_s(slow, 100.0, Streak(True, 100.0)), verdict_s(slow, 100.0, Streak(False, 121.0))
    (105.0, 145.0)
    """
    needed = probe["successThreshold"] if streak.passes else probe["failureThreshold"]
    first_s, period_s = started_s + probe["initialDelaySeconds"], probe["periodSeconds"]
    ticks_before = max(math.ceil((streak.since_s - first_s) / period_s), 0)
    return float(first_s + (ticks_before + needed - 1) * period_s)
