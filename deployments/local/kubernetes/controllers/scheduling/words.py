"""What the scheduler says of pods that it cannot place (FitError in pkg/scheduler/framework)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
_NO_CLAIMS = "no new claims to deallocate"
"""What the plugin for resource claims says of every pod that needs none; it speaks before the one for preemption."""


def fit_error(nodes: int, reasons: Iterable[str]) -> str:
    """How many nodes there are and why none of them will do: one reason for each node, or more.

    >>> fit_error(3, ["Insufficient cpu", "Insufficient cpu", "node(s) were unschedulable"])
    '0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu.'
    """
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    return f"0/{nodes} nodes are available: {', '.join(counted)}."


def unschedulable(filtered: str, preemption: str) -> str:
    """The whole message; `preemption` is empty when it succeeded."""
    return f"{filtered} {_NO_CLAIMS}, preemption: {preemption}" if preemption else filtered
