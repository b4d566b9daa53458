"""Caches to replay a log through: LRU, S3-FIFO, and one with a part that only a plan fills. Capacities in bytes."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np

from tasks.caching.decide.requests import Apart, Ints


class Asked(Protocol):
    """A cache that is asked for objects."""

    def request(self, item: int) -> bool:
        """Whether it was there; it is now, unless it is larger than the cache."""
        ...


class Cache(Asked, Protocol):
    """A reactive cache that can be looked into: what is asked for and not there is fetched and kept."""

    @property
    def held(self) -> Collection[int]:
        """What it holds now."""
        ...

    def resize(self, capacity: int) -> None:
        """Grow, or evict until the rest fits."""
        ...


class Lru:
    """Evicts what was asked for longest ago."""

    def __init__(self, capacity: int, size: Sequence[int]) -> None:
        self._size, self._capacity, self._used = size, capacity, 0
        self.held: OrderedDict[int, None] = OrderedDict()

    def request(self, item: int) -> bool:
        """See `Asked.request`."""
        if item in self.held:
            self.held.move_to_end(item)
            return True
        size = self._size[item]
        if size <= self._capacity:
            self._make_room(self._capacity - size)
            self.held[item] = None
            self._used += size
        return False

    def resize(self, capacity: int) -> None:
        """See `Cache.resize`."""
        self._capacity = capacity
        self._make_room(capacity)

    def _make_room(self, most: int) -> None:
        while self._used > most:
            self._used -= self._size[self.held.popitem(last=False)[0]]


class S3Fifo:
    """Three FIFO queues: small (10 %), main (90 %), and a ghost of names that left small (90 %).

    Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1, with the details of their
    libCacheSim (to main from 2 hits on, at most 3 counted, the first fill goes on in main); ours also takes objects
    that are larger than small. With objects of one size it agrees with theirs request by request (a test compares).
    """

    SMALL, GHOST, TO_MAIN, MOST_HITS = 0.1, 0.9, 2, 3

    def __init__(self, capacity: int, size: Sequence[int]) -> None:
        self._size = size
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._ghost: OrderedDict[int, None] = OrderedDict()
        self.held: dict[int, int] = {}  # with the hits of each
        self._in_small = self._in_main = self._in_ghost = 0
        self._has_evicted = False
        self._set(capacity)

    def _set(self, capacity: int) -> None:
        self._capacity, self._most_small, self._most_ghost = (
            capacity,
            int(self.SMALL * capacity),
            int(self.GHOST * capacity),
        )
        self._most_main = capacity - self._most_small

    def request(self, item: int) -> bool:
        """See `Asked.request`."""
        if item in self.held:
            self.held[item] += 1
            return True
        size = self._size[item]
        if size > self._capacity:
            return False
        remembered = item in self._ghost
        if remembered:
            del self._ghost[item]
            self._in_ghost -= size
        while self._in_small + self._in_main + size > self._capacity:
            self._evict()
        if remembered or (not self._has_evicted and self._in_small >= self._most_small):
            self._main.append(item)
            self._in_main += size
        else:
            self._small.append(item)
            self._in_small += size
        self.held[item] = 0
        return False

    def resize(self, capacity: int) -> None:
        """See `Cache.resize`."""
        self._set(capacity)
        while self._in_small + self._in_main > capacity:
            self._evict()
        self._trim_ghost()

    def _evict(self) -> None:
        self._has_evicted = True
        if self._in_main > self._most_main or not self._small or not self._evict_small():
            self._evict_main()

    def _evict_small(self) -> bool:
        """Move on what was asked for twice; False where nothing left the cache."""
        while self._small:
            item = self._small.popleft()
            size = self._size[item]
            self._in_small -= size
            if self.held[item] >= self.TO_MAIN:
                self.held[item] = 0
                self._main.append(item)
                self._in_main += size
            else:
                del self.held[item]
                self._ghost[item] = None
                self._in_ghost += size
                self._trim_ghost()
                return True
        return False

    def _evict_main(self) -> None:
        while self._main:
            item = self._main.popleft()
            if hits := self.held[item]:
                self.held[item] = min(hits, self.MOST_HITS) - 1
                self._main.append(item)
            else:
                del self.held[item]
                self._in_main -= self._size[item]
                return

    def _trim_ghost(self) -> None:
        while self._in_ghost > self._most_ghost and self._ghost:
            self._in_ghost -= self._size[self._ghost.popitem(last=False)[0]]


Made = Callable[[int, Sequence[int]], Asked]  # an empty cache of a capacity, and the sizes of all objects
REACTIVE: dict[str, type[Lru] | type[S3Fifo]] = {"lru": Lru, "s3fifo": S3Fifo}


Life = Callable[[int], float]  # seconds that a copy of an object may be used


class Aging:
    """A cache whose copies grow stale: one past its life is fetched anew, and keeps its place, as with nginx and Squid.

    Parameters
    ----------
    life_s: None: copies are good for ever.
    """

    def __init__(self, cache: Asked, life_s: Life | None) -> None:
        self._cache, self._life_s = cache, life_s
        self.until_s: dict[int, float] = {}

    def request(self, item: int, now_s: float) -> bool:
        """Whether a copy was there that is not stale; one is there now, unless it is larger than the cache."""
        hit = self._cache.request(item)
        if self._life_s is None or (hit and now_s < self.until_s[item]):
            return hit
        self.until_s[item] = now_s + self._life_s(item)
        return False


class EdgeCache:
    """A site's cache: a pinned part that only `fill` changes, and a reactive part that requests and warming change."""

    def __init__(self, reactive: str, capacity: int, size: Sequence[int], apart: Apart,
                 life_s: Life | None = None) -> None:  # fmt: skip
        self._size, self._capacity, self._apart, self._life_s = size, capacity, apart, life_s
        self._policy: Cache = REACTIVE[reactive](capacity, size)
        self._rest = Aging(self._policy, life_s)
        self._pins: Ints = np.zeros(0, np.int64)
        self._pinned: dict[int, float] = {}  # with the time from which each is stale
        self._pinned_bytes = 0

    def request(self, item: int, now_s: float) -> bool:
        """See `Aging.request`; a pinned copy that is stale stays so until the next fill, the reactive part serves."""
        if self._life_s is None:  # the usual, and half of a replay's time
            return item in self._pinned or self._policy.request(item)
        return now_s < self._pinned.get(item, now_s) or self._rest.request(item, now_s)

    def held(self) -> Ints:
        """What the reactive part holds, the oldest first."""
        return np.array(list(self._policy.held), np.int64)

    def _is_fresh(self, item: int, now_s: float) -> bool:
        """Whether the reactive part has a copy that may be used."""
        return item in self._policy.held and now_s < self._rest.until_s.get(item, np.inf)

    def fill(self, pins: Ints, warm: Ints, pinned_bytes: int, now_s: float) -> list[int]:
        """Hold exactly `pins` in the pinned part and ask once, then verify, for each of `warm` that is not held.

        Warming goes through the cache as a warmer's two requests do: the first fetches, the second must hit. The most
        wanted comes last, so that it is the last to go. What is stale by now is fetched anew.

        Parameters
        ----------
        pins, warm: objects, most wanted first. pinned_bytes: what the pinned part may take; the rest is reactive.

        Returns
        -------
        The objects fetched: those that the site held already are copied.
        """
        held, self._pins = self._pins, pins
        new = pins[~self._apart.inside(pins, held)].tolist()
        left = {item: self._pinned.pop(item) for item in held[~self._apart.inside(held, pins)].tolist()}
        left = {item: until_s for item, until_s in left.items() if until_s > now_s}
        if self._life_s:
            new += [item for item, until_s in self._pinned.items() if until_s <= now_s]
        fetched = [item for item in new if not self._is_fresh(item, now_s)]
        self._pinned.update({item: self._rest.until_s.get(item, np.inf) for item in new})
        self._pinned.update({item: now_s + self._life_s(item) if self._life_s else np.inf for item in fetched})
        self._policy.resize(self._capacity - pinned_bytes)
        # A pinned part that has shrunk lets go of what it held, and the rest takes it over.
        over = list(left) if pinned_bytes < self._pinned_bytes else []
        wanted = [item for item in (*over[::-1], *warm[::-1].tolist())
                  if item not in self._pinned and not self._is_fresh(item, now_s)]  # fmt: skip
        for item in wanted:
            self._rest.request(item, now_s)
            self._rest.request(item, now_s)
        if self._life_s:
            self._rest.until_s.update({item: left[item] for item in wanted if item in left})
        self._pinned_bytes = pinned_bytes
        return fetched + list(set(wanted).difference(left))
