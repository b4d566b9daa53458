"""The origin's protection, shared by all sites that are warmed: rates, a cap on what is in flight, and a stop rule."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from blocks.caches import Answer

RECENT = 100  # answers that the stop rule looks at
FEW = 20  # of them whose median latency is compared, and those that the baseline is made of
LEAST_SLOWER_S = 0.05  # below that a doubled latency is our own noise


@dataclass(frozen=True)
class Limits:
    """What the origin may be asked for, by all sites together.

    Attributes
    ----------
    requests_per_s, bytes_per_s: rates. in_flight: requests at once. per_site: of one site at once.
    most_errors: share of 5xx above which warming stops. slower: times the baseline latency, the same.
    baseline_s: what the origin usually takes; None: the median of the first answers.
    """

    requests_per_s: float = 50.0
    bytes_per_s: float = 50e6
    in_flight: int = 8
    per_site: int = 8
    most_errors: float = 0.01
    slower: float = 2.0
    baseline_s: float | None = None


class Bucket:
    """Tokens that come at a rate, a second's worth at most; who takes more than there are waits until they are paid."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._left, self._at = per_s, per_s, time.monotonic()

    async def take(self, many: float) -> None:
        """Wait for so many; they may be negative, where too many were taken."""
        present = time.monotonic()
        self._left = min(self._left + (present - self._at) * self._per_s, self._per_s) - many
        self._at = present
        if self._left < 0:
            await asyncio.sleep(-self._left / self._per_s)


class Origin:
    """What stands between the sites and their origin; `stopped` says why nothing more may be asked, "" while it may."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.stopped, self.requests, self.most_in_flight = limits, "", 0, 0
        self._requests, self._bytes = Bucket(limits.requests_per_s), Bucket(limits.bytes_per_s)
        self._slots, self._in_flight = asyncio.Semaphore(limits.in_flight), 0
        self._errors: deque[bool] = deque(maxlen=RECENT)
        self._seconds: deque[float] = deque(maxlen=FEW)
        self._baseline_s = limits.baseline_s

    @asynccontextmanager
    async def asking(self, expected_bytes: float) -> AsyncIterator[bool]:
        """A turn to ask for one object; False where warming has stopped meanwhile."""
        async with self._slots:
            await self._requests.take(1)
            await self._bytes.take(expected_bytes)
            if self.stopped:
                yield False
                return
            self._in_flight += 1
            self.requests += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            try:
                yield True
            finally:
                self._in_flight -= 1

    async def told(self, answer: Answer, expected_bytes: float) -> None:
        """What an asked object turned out to be: pays for bytes that were not expected, and judges the origin."""
        if answer.hit:
            return  # the origin was not asked after all
        self._errors.append(answer.status >= 500)
        self._judge_errors()
        if answer.status < 500:
            self._seconds.append(answer.seconds)
            self._judge_latency()
        await self._bytes.take(answer.size - expected_bytes)

    def stop(self, why: str) -> None:
        """Ask for nothing more; the first reason is kept."""
        self.stopped = self.stopped or why

    def _judge_errors(self) -> None:
        """One error is an accident."""
        errors = sum(self._errors)
        if errors > max(1.0, self.limits.most_errors * len(self._errors)):
            self.stop(f"the origin answered {errors} of {len(self._errors)} requests with 5xx")

    def _judge_latency(self) -> None:
        if len(self._seconds) < FEW:
            return
        recent = median(self._seconds)
        if self._baseline_s is None:
            self._baseline_s = recent
        elif recent > self.limits.slower * self._baseline_s and recent > self._baseline_s + LEAST_SLOWER_S:
            self.stop(f"the origin takes {recent:.3f} s instead of {self._baseline_s:.3f} s")
