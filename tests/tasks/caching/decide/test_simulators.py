"""Caches that a log is played through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.requests import Apart
from tasks.caching.decide.simulators import REACTIVE, Aging, EdgeCache, Lru, S3Fifo

SIZES = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
NONE = np.zeros(0, int)
requests = st.lists(st.integers(0, len(SIZES) - 1), max_size=200)


@pytest.mark.parametrize("capacity", [20, 137, 500])
def test_s3_fifo_agrees_with_libcachesim_request_by_request(capacity: int) -> None:
    libcachesim = pytest.importorskip("libcachesim", reason="the `cache` extra is not installed")
    asked = (np.random.default_rng(5).zipf(1.2, 20_000) % 5000 + 1).tolist()
    theirs, request = libcachesim.S3FIFO(cache_size=capacity, hashpower=12), libcachesim.Request()
    request.obj_size = 1
    ours = S3Fifo(capacity, [1] * 5001)
    for item in asked:
        request.obj_id = item
        assert ours.request(item) == theirs.get(request)


def test_lru_evicts_what_was_asked_for_longest_ago() -> None:
    cache = Lru(2, [1] * 4)
    assert [cache.request(item) for item in (0, 1, 0, 2, 1, 0)] == [False, False, True, False, False, False]


@given(requests, st.integers(1, 30), st.sampled_from(sorted(REACTIVE)), st.integers(0, 30))
def test_no_cache_holds_more_than_its_bytes_and_a_hit_was_held(
    asked: list[int], capacity: int, kind: str, later: int
) -> None:
    cache = REACTIVE[kind](capacity, SIZES)
    for place, item in enumerate(asked):
        if place == 50:
            cache.resize(later)
        held = item in cache.held
        assert cache.request(item) == held
        most = later if place >= 50 else capacity
        assert sum(size for item, size in enumerate(SIZES) if item in cache.held) <= most


@given(requests, st.sets(st.integers(0, 9), max_size=4))
def test_pinned_objects_always_hit(asked: list[int], pins: set[int]) -> None:
    cache = EdgeCache("s3fifo", 40, SIZES, Apart(10))
    fetched = cache.fill(np.array(sorted(pins), int), NONE, sum(SIZES[item] for item in pins), 0.0)
    assert fetched == sorted(pins)
    assert all(cache.request(item, 1.0) for item in asked if item in pins)


def test_what_is_there_already_is_not_fetched_again() -> None:
    cache = EdgeCache("lru", 20, [1] * 10, Apart(10))
    cache.request(0, 0.0)
    assert cache.fill(np.array([0, 1]), NONE, 5, 0.0) == [1]
    assert cache.fill(np.array([0, 1]), NONE, 5, 9.0) == []
    assert cache.fill(NONE, np.array([1, 2]), 0, 9.0) == [2]
    assert cache.request(0, 9.0)


class ByHand:
    """What an LRU with a pinned part and ageing copies does, step by step: lists of (object, time it was fetched)."""

    def __init__(self, capacity: int, life: list[float]) -> None:
        self.capacity, self.life = capacity, life
        self.pins: dict[int, float] = {}
        self.rest: list[tuple[int, float]] = []

    def is_fresh(self, copies: dict[int, float], item: int, now: float) -> bool:
        return item in copies and now < copies[item] + self.life[item]

    def request(self, item: int, now: float, room: int) -> bool:
        if self.is_fresh(self.pins, item, now):
            return True
        mine = dict(self.rest)
        hit = self.is_fresh(mine, item, now)
        at = mine[item] if hit else now
        if SIZES[item] <= room:
            self.rest = [(other, then) for other, then in self.rest if other != item]
            while sum(SIZES[other] for other, _ in self.rest) + SIZES[item] > room:
                self.rest.pop(0)
            self.rest.append((item, at))
        return hit

    def fill(self, pins: list[int], now: float, room: int) -> int:
        """Pins stay the same bytes, so that nothing is handed over."""
        mine, fetched = dict(self.rest), 0
        kept = {item: self.pins[item] for item in pins if self.is_fresh(self.pins, item, now)}
        for item in pins:
            if item not in kept:
                copied = self.is_fresh(mine, item, now)
                fetched += not copied
                kept[item] = mine[item] if copied else now
        self.pins = kept
        while sum(SIZES[item] for item, _ in self.rest) > room:
            self.rest.pop(0)
        return fetched


steps = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 5), st.none() | st.sets(st.integers(0, 9), max_size=3)), max_size=80
)


@given(steps, st.lists(st.sampled_from([0.5, 3.0, 10.0, np.inf]), min_size=10, max_size=10), st.integers(5, 40))
def test_stale_copies_miss_as_a_cache_kept_by_hand_says(
    asked: list[tuple[int, float, set[int] | None]], life: list[float], capacity: int
) -> None:
    room = capacity - capacity // 2
    ours, theirs = EdgeCache("lru", capacity, SIZES, Apart(10), life.__getitem__), ByHand(capacity, life)
    ours.fill(NONE, NONE, capacity - room, 0.0)
    now = 0.0
    for item, wait, plan in asked:
        now += wait
        if plan is not None:
            pins = sorted(plan)
            assert len(ours.fill(np.array(pins, int), NONE, capacity - room, now)) == theirs.fill(pins, now, room)
        assert ours.request(item, now) == theirs.request(item, now, room)


@given(requests, st.integers(1, 30), st.sampled_from(sorted(REACTIVE)))
def test_copies_that_never_grow_stale_change_nothing(asked: list[int], capacity: int, kind: str) -> None:
    plain, ageing = REACTIVE[kind](capacity, SIZES), Aging(REACTIVE[kind](capacity, SIZES), lambda _: np.inf)
    assert [plain.request(item) for item in asked] == [ageing.request(item, float(at)) for at, item in enumerate(asked)]
