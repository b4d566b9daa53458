"""What an autoscaler remembers between two looks; plain data, all of it JSON-able. Times: seconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

SCAN_S = 10.0
"""Seconds between two looks (`--scan-interval`)."""
FIRST_BACKOFF_S, LONGEST_BACKOFF_S, BACKOFF_RESET_S = 300.0, 1800.0, 10_800.0
"""Of a pool whose scale-up failed: `--initial-`, `--max-node-group-backoff-duration`, `-reset-timeout`."""


@dataclass
class Backoff:
    """Why and until when a pool is left alone after a failed scale-up."""

    until_s: float
    duration_s: float
    failed_s: float
    code: str
    message: str


@dataclass
class State:
    """Memory of one cluster's autoscaler.

    Attributes
    ----------
    grown_s, drain_failed_s: when it last added nodes, and last failed to drain one.
    unneeded: since when each node could go.
    draining: since when each node is being drained.
    growing: running scale-ups: pool name by operation id.
    backoffs: by pool name.
    statuses: word and time of the last transition of each line of the status ConfigMap.
    """

    grown_s: float = 0.0
    drain_failed_s: float = 0.0
    unneeded: dict[str, float] = field(default_factory=dict)
    draining: dict[str, float] = field(default_factory=dict)
    growing: dict[str, str] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    statuses: dict[str, tuple[str, float]] = field(default_factory=dict)

    def back_off(self, pool: str, now_s: float, code: str, message: str) -> None:
        """Leave a pool alone for a while: five minutes at first, twice as long after each further failure."""
        last = self.backoffs.get(pool)
        duration_s = FIRST_BACKOFF_S
        if last is not None and now_s - last.failed_s < BACKOFF_RESET_S:
            duration_s = min(last.duration_s * 2, LONGEST_BACKOFF_S)
        self.backoffs[pool] = Backoff(now_s + duration_s, duration_s, now_s, code, message)

    def held_off(self, pool: str, now_s: float) -> Backoff | None:
        """The back-off that holds a pool now."""
        found = self.backoffs.get(pool)
        return found if found is not None and now_s < found.until_s else None

    def snapshot(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> Self:
        """From a snapshot."""
        backoffs = {pool: Backoff(**backoff) for pool, backoff in saved["backoffs"].items()}
        statuses = {key: (word, since_s) for key, (word, since_s) in saved["statuses"].items()}
        return cls(**{**saved, "backoffs": backoffs, "statuses": statuses})
