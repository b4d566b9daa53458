"""How often a cloud may be asked: one bucket of requests per account and kind of verb, on the simulated clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from blocks.errors import Throttled
from deployments.local.clock import SimulatedClock

READS = ("GET", "HEAD")


class Rate(NamedTuple):
    """Requests a second that a bucket gets back, and the most that it holds."""

    per_s: float
    burst: float


@dataclass(frozen=True)
class Rates:
    """Rates of one cloud's reads and writes."""

    reads: Rate
    writes: Rate


class Throttle:
    """Token buckets of one cloud. They start full; time that stands still fills none."""

    def __init__(self, clock: SimulatedClock, rates: Rates) -> None:
        self._clock, self._rates = clock, rates
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}

    def admit(self, account: str, method: str) -> None:
        """Let one request through. Throttled: the bucket is empty; it says when to come again."""
        reading, now_s = method in READS, self._clock.now()
        rate = self._rates.reads if reading else self._rates.writes
        left, since_s = self._left.get((account, reading), (rate.burst, now_s))
        left = min(left + (now_s - since_s) * rate.per_s, rate.burst)
        allowed = left >= 1
        self._left[account, reading] = (left - 1 if allowed else left, now_s)
        if not allowed:
            verbs = "read" if reading else "write"
            raise Throttled(verbs, retry_after_s=(1 - left) / rate.per_s, where=account)
