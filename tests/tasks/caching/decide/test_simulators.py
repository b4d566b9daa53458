"""Caches that a log is played through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.requests import Apart
from tasks.caching.decide.simulators import REACTIVE, EdgeCache, Lru, S3Fifo

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
    fetched = cache.fill(np.array(sorted(pins), int), NONE, sum(SIZES[item] for item in pins))
    assert fetched == sorted(pins)
    assert all(cache.request(item) for item in asked if item in pins)


def test_what_is_there_already_is_not_fetched_again() -> None:
    cache = EdgeCache("lru", 20, [1] * 10, Apart(10))
    cache.request(0)
    assert cache.fill(np.array([0, 1]), NONE, 5) == [1]
    assert cache.fill(np.array([0, 1]), NONE, 5) == []
    assert cache.fill(NONE, np.array([1, 2]), 0) == [2]
    assert cache.request(0)
