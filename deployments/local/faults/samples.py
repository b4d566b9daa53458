"""What active and past faults did to metrics: samples that are absent, NaN, or misdated, and series that end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blocks.fleet import Fleet
from deployments.local.faults.fault import Fault
from deployments.local.promql import STALE, stale

Floats = NDArray[np.float64]

NAN, MISSING, SKEW = "metrics-nan", "metrics-missing", "clock-skew"
STOPS = frozenset({"metrics-freeze", "site-partition", "site-kill", "cluster-kill"})
KINDS = STOPS | {NAN, MISSING, SKEW}


@dataclass(frozen=True)
class Disturbance:
    """What happened to the scrapes of one series with begins_s < time < ends_s."""

    kind: str
    begins_s: float
    ends_s: float
    seconds: float = 0.0

    def on(self, scrapes_s: Floats) -> NDArray[np.bool_]:
        """Which of (N,) scrapes it covers."""
        return (scrapes_s > self.begins_s) & (scrapes_s < self.ends_s)


class SampleFaults:
    """The disturbances of each series."""

    def __init__(self, fleet: Fleet, faults: Iterable[Fault]) -> None:
        self._fleet, self._faults = fleet, faults

    def of(self, labels: Mapping[str, str]) -> tuple[Disturbance, ...]:
        """Those of the series with these labels, in the order of the faults."""
        found = []
        for fault in self._faults:
            if fault.kind not in KINDS or fault.state == "scheduled" or not self._about(fault, labels):
                continue
            ends_s = np.inf if fault.ends_s is None else fault.ends_s
            found.append(Disturbance(fault.kind, fault.begins_s, ends_s, fault.parameters.get("seconds", 0.0)))
        return tuple(found)

    def _about(self, fault: Fault, labels: Mapping[str, str]) -> bool:
        """Whether a fault is about a series: of one of its clusters, or of a site where one of them is."""
        named, pool = fault.concerns(self._fleet), fault.parameters.get("pool")
        if named is not None and labels.get("cluster") not in named:
            sites = {cluster.site for cluster in self._fleet.clusters if cluster.name in named}
            if "cluster" in labels or labels.get("site") not in sites or fault.parameters.get("cluster"):
                return False
        return pool in (None, labels.get("node_pool"))


def reach_s(disturbances: Sequence[Disturbance]) -> float:
    """How far from a span of time scrapes may lie that decide what is recorded in it."""
    return 2 * max((abs(each.seconds) for each in disturbances), default=0.0)


def recorded(disturbances: Sequence[Disturbance], scrapes_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Times and values that are stored of (N,) scrapes.

    A series whose target is gone ends with a staleness marker. As in Prometheus a sample that is not newer than all
    before it is refused, so a clock that was set back leaves a gap.
    """
    times, values, made = scrapes_s.copy(), values.copy(), np.ones(scrapes_s.size, dtype=bool)
    for each in disturbances:
        covered = each.on(scrapes_s)
        times[covered] += each.seconds
        if each.kind in STOPS:
            made &= ~covered
        elif each.kind == NAN:
            values[covered & ~stale(values)] = np.nan
        elif each.kind == MISSING:
            values[covered] = STALE
    times, values = times[made], values[made]
    newer = np.ones(times.size, dtype=bool)
    newer[1:] = times[1:] > np.maximum.accumulate(times)[:-1]
    return times[newer], values[newer]
