"""The stages of a move, in order; each is written down when it has been reached."""

from __future__ import annotations

PLANNED, RESERVED, STARTED, HEALTHY = "planned", "reserved", "started", "healthy"
SHIFTING, DRAINED, REMOVED = "shifting", "drained", "removed"  # shifting: its `weight` says how far
STAGES = (PLANNED, RESERVED, STARTED, HEALTHY, SHIFTING, DRAINED, REMOVED)
WEIGHTS = (10, 50, 100)  # percent of the requests that the target gets, one after the other


def next_weight(weight: int) -> int | None:
    """The next share to shift to; None when all is shifted.

    >>> next_weight(0), next_weight(50), next_weight(100)
    (10, 100, None)
    """
    return next((each for each in WEIGHTS if each > weight), None)
