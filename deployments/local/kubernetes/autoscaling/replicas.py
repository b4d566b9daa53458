"""How many replicas a metric asks for (kubernetes: pkg/controller/podautoscaler/replica_calculator.go).

Values are integers in thousandths, and divisions cut off, where the real controller's do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from deployments.local.kubernetes.decoding import quantity
from deployments.local.kubernetes.trees import condition, dig, epoch_s

Json = dict[str, Any]

TOLERANCE = 0.1
"""How far from 1 a ratio may be without an effect."""
CPU_INITIALIZATION_S, INITIAL_READINESS_S = 300.0, 30.0
"""--horizontal-pod-autoscaler-cpu-initialization-period and --horizontal-pod-autoscaler-initial-readiness-delay."""


class NoProposal(LookupError):
    """A metric says nothing about replicas, and why."""


class Sample(NamedTuple):
    """What one pod used, in thousandths, over a window that ended at `at_s`."""

    value: int
    at_s: float
    window_s: float


class Measured(NamedTuple):
    """What is measured: a resource, of one container or ("") of all of them."""

    resource: str
    container: str = ""


class Tolerance(NamedTuple):
    """Ratios from 1 - down to 1 + up change nothing."""

    down: float = TOLERANCE
    up: float = TOLERANCE

    def covers(self, ratio: float) -> bool:
        """Whether a ratio is near enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Groups(NamedTuple):
    """Pods of a target by what their samples are worth: counted, not ready, without a sample, out of the game."""

    ready: int
    unready: list[str]
    missing: list[str]
    ignored: list[str]


class Proposal(NamedTuple):
    """Replicas that a metric asks for.

    Parameters
    ----------
    average: mean use of the pods counted, thousandths.
    utilization: percent of what these pods request; None where the target is a value.
    """

    replicas: int
    average: int
    utilization: int | None = None


@functools.lru_cache(maxsize=4096)
def thousandths(text: str) -> int:
    """A quantity in thousandths, rounded up.

    >>> thousandths("250m"), thousandths("1"), thousandths("1500u")
    (250, 1000, 2)
    """
    return math.ceil(round(float(quantity(text)) * 1000, 6))


def grouped(pods: Sequence[Json], samples: Mapping[str, Sample], now_s: float, *, cpu: bool) -> Groups:
    """Pods of a target in groups. Readiness matters for CPU only: starting up takes CPU that says nothing of load."""
    found, ready = Groups(0, [], [], []), 0
    for pod in pods:
        name, phase = pod["metadata"]["name"], dig(pod, "status", "phase")
        if "deletionTimestamp" in pod["metadata"] or phase == "Failed":
            found.ignored.append(name)
        elif phase == "Pending":
            found.unready.append(name)
        elif name not in samples:
            found.missing.append(name)
        elif cpu and _unready(pod, samples[name], now_s):
            found.unready.append(name)
        else:
            ready += 1
    return found._replace(ready=ready)


def _unready(pod: Json, sample: Sample, now_s: float) -> bool:
    ready, started = condition(pod, "Ready"), dig(pod, "status", "startTime")
    if ready is None or started is None:
        return True
    since_s, started_s = epoch_s(ready["lastTransitionTime"]), epoch_s(started)
    if started_s + CPU_INITIALIZATION_S > now_s:  # the sample may still hold the start
        return bool(ready["status"] == "False") or sample.at_s < since_s + sample.window_s
    return bool(ready["status"] == "False") and started_s + INITIAL_READINESS_S > since_s  # never was ready


def requested(pods: Sequence[Json], what: Measured) -> dict[str, int]:
    """What each pod requests, thousandths, by name.

    Raises
    ------
    NoProposal: a container requests nothing.
    """
    found = {}
    for pod in pods:
        name, total = pod["metadata"]["name"], 0
        for entry in pod["spec"]["containers"]:
            if what.container in ("", entry["name"]):
                asked = dig(entry, "resources", "requests", what.resource)
                if asked is None:
                    why = f"missing request for {what.resource} in container {entry['name']} of Pod {name}"
                    raise NoProposal(why)
                total += thousandths(asked)
        found[name] = total
    return found


def by_utilization(
    pods: Sequence[Json], samples: Mapping[str, Sample], what: Measured, target: int, present: int,
    tolerance: Tolerance, now_s: float,
) -> Proposal:  # fmt: skip
    """Replicas that bring mean use to `target` percent of requests.

    Parameters
    ----------
    present: replicas wanted now.

    Raises
    ------
    NoProposal: no pod, none whose sample counts, or one that requests nothing.
    """
    values, groups = _counted(pods, samples, what, now_s)
    requests = requested(pods, what)
    fallback = max(100, target)  # a missing pod is taken to use all it requests, or the target where that is more

    def utilization(values: Mapping[str, int]) -> int:
        known = [name for name in values if name in requests]
        total = sum(requests[name] for name in known)
        if total == 0:
            raise NoProposal("no metrics returned matched known pods")
        return sum(values[name] for name in known) * 100 // total

    def ratio(values: Mapping[str, int]) -> float:
        return utilization(values) / target

    first = ratio(values)
    filler = {name: requests[name] * fallback // 100 for name in groups.missing} if first < 1.0 else {}
    if first > 1.0:
        filler = dict.fromkeys(groups.missing, 0)
    replicas = _replicas(values, groups, filler, ratio, present, tolerance)
    return Proposal(replicas, sum(values.values()) // len(values), utilization(values))


def by_average(
    pods: Sequence[Json], samples: Mapping[str, Sample], what: Measured, target: int, present: int,
    tolerance: Tolerance, now_s: float,
) -> Proposal:  # fmt: skip
    """Replicas that bring mean use to `target` thousandths.

    Raises
    ------
    NoProposal: no pod, or none whose sample counts.
    """

    def ratio(values: Mapping[str, int]) -> float:
        return (sum(values.values()) // len(values)) / target

    values, groups = _counted(pods, samples, what, now_s)
    filler = dict.fromkeys(groups.missing, target if ratio(values) < 1.0 else 0)
    replicas = _replicas(values, groups, filler, ratio, present, tolerance)
    return Proposal(replicas, sum(values.values()) // len(values))


def _counted(
    pods: Sequence[Json], samples: Mapping[str, Sample], what: Measured, now_s: float
) -> tuple[dict[str, int], Groups]:
    if not pods:
        raise NoProposal("no pods returned by selector while calculating replica count")
    groups = grouped(pods, samples, now_s, cpu=what.resource == "cpu")
    left_out = {*groups.ignored, *groups.unready}
    values = {name: sample.value for name, sample in samples.items() if name not in left_out}
    if not values:
        raise NoProposal("did not receive metrics for targeted pods (pods might be unready)")
    return values, groups


def _replicas(
    values: dict[str, int], groups: Groups, filler: dict[str, int], ratio: Callable[[Mapping[str, int]], float],
    present: int, tolerance: Tolerance,
) -> int:  # fmt: skip
    """Replicas for a ratio of use to target; pods without a sample damp the change and never turn its direction."""
    first = ratio(values)
    hold_back = bool(groups.unready) and first > 1.0
    if not hold_back and not groups.missing:
        return present if tolerance.covers(first) else math.ceil(first * groups.ready)
    filled = {**values, **filler, **(dict.fromkeys(groups.unready, 0) if hold_back else {})}
    second = ratio(filled)
    if tolerance.covers(second) or (first < 1.0 < second) or (second < 1.0 < first):
        return present
    wanted = math.ceil(second * len(filled))
    if (second < 1.0 and wanted > present) or (second > 1.0 and wanted < present):
        return present
    return wanted
