"""Buckets of requests: bursts are let through, then only what time gives back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Throttled
from deployments.local.clock import SimulatedClock
from deployments.local.throttling import Rate, Rates, Throttle

RATES = Rates(reads=Rate(2, 10), writes=Rate(1, 3))


def admitted(throttle: Throttle, account: str = "a", method: str = "POST") -> bool:
    try:
        throttle.admit(account, method)
    except Throttled:
        return False
    return True


def test_a_burst_passes_and_the_next_request_does_not() -> None:
    throttle = Throttle(SimulatedClock(0, speed=0), RATES)
    assert [admitted(throttle) for _ in range(4)] == [True, True, True, False]


def test_accounts_and_verbs_have_buckets_of_their_own() -> None:
    throttle = Throttle(SimulatedClock(0, speed=0), RATES)
    assert [admitted(throttle) for _ in range(4)][-1] is False
    assert admitted(throttle, "b")
    assert [admitted(throttle, method="GET") for _ in range(11)].count(True) == 10


def test_after_the_time_that_the_refusal_names_the_request_passes() -> None:
    clock = SimulatedClock(0, speed=0)
    throttle = Throttle(clock, RATES)
    for _ in range(3):
        throttle.admit("a", "PUT")
    with pytest.raises(Throttled) as refused:
        throttle.admit("a", "PUT")
    clock.advance(refused.value.retry_after_s)
    throttle.admit("a", "PUT")


@given(st.lists(st.floats(0, 5), max_size=60))
def test_never_more_passes_than_the_burst_and_what_time_gave_back(pauses_s: list[float]) -> None:
    clock = SimulatedClock(0, speed=0)
    throttle = Throttle(clock, RATES)
    passed = 0
    for pause_s in pauses_s:
        clock.advance(pause_s)
        passed += admitted(throttle)
        assert passed <= RATES.writes.burst + RATES.writes.per_s * clock.now() + 1e-9
