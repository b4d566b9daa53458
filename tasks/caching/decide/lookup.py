"""The serve path: local cache, then the region's, then the origin; and who keeps what comes from there, how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import NamedTuple

from tasks.caching.decide.simulators import REACTIVE

DAY_S = 24 * 3600.0
LOCAL, REGIONAL, EVERYWHERE = 0.3, 0.5, 0.7  # probabilities of a hit above which a tier keeps an object


class Keep(NamedTuple):
    """Seconds that each tier keeps an object; 0 where it does not. `shared_s` is for caches in front of all (a CDN)."""

    local_s: float
    regional_s: float
    shared_s: float


def decide_keep(local: float, regional: float, everywhere: float) -> Keep:
    """Who keeps an object that came from the origin, by the probability that it is asked for again within a day.

    The seed's thresholds. What is surer is kept longer: the probability's share of a day.

    Parameters
    ----------
    local, regional, everywhere: of a request at the site, in its region, and at any site.

    >>> decide_keep(0.25, 0.6, 0.9)
    Keep(local_s=0.0, regional_s=51840.0, shared_s=86400.0)
    """
    return Keep(local * DAY_S if local > LOCAL else 0.0, regional * DAY_S if regional > REGIONAL else 0.0,
                DAY_S if everywhere > EVERYWHERE else 0.0)  # fmt: skip


@dataclass
class Heard:
    """How often each object was asked for: counts that halve every `half_life_s` seconds."""

    half_life_s: float = 30 * DAY_S
    begin_s: float | None = None
    _counts: dict[int, tuple[float, float]] = field(default_factory=dict)

    def add(self, item: int, now_s: float) -> None:
        """One request."""
        self.begin_s = now_s if self.begin_s is None else self.begin_s
        self._counts[item] = (self._now(item, now_s) + 1.0, now_s)

    def probability(self, item: int, now_s: float, within_s: float = DAY_S) -> float:
        """Of at least one request within that time, if they come independently at the rate seen so far.

        Of a rate r the count after T seconds is r H / ln 2 (1 - 2^(-T / H)). What was heard for less than the time
        asked for counts as heard for that long: a first request says little of a rate.
        """
        if self.begin_s is None:
            return 0.0
        span_s = max(now_s - self.begin_s, within_s)
        seen_s = self.half_life_s / log(2) * (1 - 2.0 ** (-span_s / self.half_life_s))
        return 1.0 - exp(-self._now(item, now_s) * within_s / seen_s)

    def _now(self, item: int, now_s: float) -> float:
        count, at_s = self._counts.get(item, (0.0, now_s))
        return float(count * 2.0 ** ((at_s - now_s) / self.half_life_s))


class Tier:
    """One cache: a part that only a warmer fills, and a reactive part; both forget what has expired.

    Parameters
    ----------
    capacity: bytes of both parts. size: bytes of each object, by number; it may grow.
    """

    def __init__(self, capacity: int, size: Sequence[int], reactive: str = "s3fifo") -> None:
        self._capacity, self._size = capacity, size
        self._rest = REACTIVE[reactive](capacity, size)
        self._until_s: dict[int, float] = {}
        self._pins: dict[int, float] = {}  # with the time that each expires, the oldest fill first
        self._pinned_bytes = 0

    def has(self, item: int, now_s: float) -> bool:
        """Whether it is held and fresh; nothing changes."""
        return self.is_pinned(item, now_s) or (item in self._rest.held and self._until_s.get(item, 0.0) > now_s)

    def get(self, item: int, now_s: float) -> bool:
        """A user's request: whether it is a hit."""
        if not self.has(item, now_s):
            return False
        return self.is_pinned(item, now_s) or self._rest.request(item)

    def put(self, item: int, now_s: float, ttl_s: float) -> None:
        """Keep it in the reactive part, or renew what has expired there."""
        self._rest.request(item)
        self._until_s[item] = now_s + ttl_s

    def pin(self, item: int, now_s: float, ttl_s: float) -> None:
        """Keep it until it expires; where pins come to more than all the bytes, the oldest fills go."""
        size = self._size[item]
        if size > self._capacity:
            return
        self._unpin(item)
        for old, until_s in list(self._pins.items()):
            if until_s <= now_s or self._pinned_bytes + size > self._capacity:
                self._unpin(old)
        self._pins[item] = now_s + ttl_s
        self._pinned_bytes += size
        self._rest.resize(self._capacity - self._pinned_bytes)

    def is_pinned(self, item: int, now_s: float) -> bool:
        """Whether it is held in the part that only a warmer fills."""
        return self._pins.get(item, 0.0) > now_s

    def _unpin(self, item: int) -> None:
        if self._pins.pop(item, None) is not None:
            self._pinned_bytes -= self._size[item]
            self._rest.resize(self._capacity - self._pinned_bytes)


@dataclass
class Place:
    """A cache with what its users have asked for; the region's is shared by its sites."""

    tier: Tier
    heard: Heard = field(default_factory=Heard)


def look_up(item: int, now_s: float, site: Place, region: Place, everyone: Heard) -> str:
    """Serve one request, and say by which tier: `local`, `regional` or `origin`. What it teaches is kept by all three.

    From the region's cache a copy goes to the site for a while of its own; from the origin as `decide_keep` says.
    """
    for heard in (site.heard, region.heard, everyone):
        heard.add(item, now_s)
    if site.tier.get(item, now_s):
        return "local"
    chance = site.heard.probability(item, now_s)
    if region.tier.get(item, now_s):
        site.tier.put(item, now_s, max(chance, LOCAL) * DAY_S)
        return "regional"
    keep = decide_keep(chance, region.heard.probability(item, now_s), everyone.probability(item, now_s))
    for place, ttl_s in ((site, keep.local_s), (region, keep.regional_s)):
        if ttl_s:
            place.tier.put(item, now_s, ttl_s)
    return "origin"
