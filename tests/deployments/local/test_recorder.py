"""The ring of recorded minutes: what it keeps, what it forgets, what it adds up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.local.clock import SimulatedClock
from deployments.local.recorder import LENGTH, Recorder, Row

START_S = 1_767_614_400.0
LOAD, POWER = Row("load", "eu", "web"), Row("power", "berlin")


class Played:
    """A recorder whose present values a test sets."""

    def __init__(self, **values: float) -> None:
        self.clock = SimulatedClock(START_S + 10, speed=0)
        self.now = {LOAD: 1.0, POWER: 100.0}
        self.recorder = Recorder(self.clock, lambda: self.now)

    def play(self, *powers: float) -> None:
        for power in powers:
            self.now = self.now | {POWER: power}
            self.clock.advance(60)

    def last(self, row: Row, minutes: int) -> list[float]:
        return self.recorder.read(row, self.times(minutes)).tolist()

    def times(self, minutes: int) -> np.ndarray:
        return self.clock.now() // 60 * 60 - 60.0 * np.arange(minutes)[::-1]


@pytest.fixture
def played() -> Played:
    made = Played()
    made.recorder.begin(lambda times_s: {LOAD: (times_s - START_S) / 60})
    return made


def test_before_the_start_there_is_what_was_given_or_what_the_first_minute_had(played: Played) -> None:
    assert played.last(LOAD, 3) == [-2.0, -1.0, 1.0]
    assert played.last(POWER, LENGTH) == [100.0] * LENGTH


def test_each_whole_minute_is_recorded_once(played: Played) -> None:
    played.play(110, 120)
    assert played.last(POWER, 3) == [100.0, 110.0, 120.0]
    played.now[POWER] = 999.0
    played.clock.advance(49)
    assert played.last(POWER, 1) == [120.0]


def test_the_ring_wraps_and_forgets_what_is_older(played: Played) -> None:
    played.play(*range(LENGTH + 20))
    assert played.last(POWER, LENGTH) == [float(n) for n in range(20, LENGTH + 20)]
    assert np.isnan(played.last(POWER, LENGTH + 1)[0])
    assert np.isnan(played.recorder.read(POWER, played.times(1) + 60)).all()


def test_a_row_that_ends_has_no_more_values_and_is_dropped_in_the_end(played: Played) -> None:
    del played.now[LOAD]
    played.play(100)
    assert np.isnan(played.last(LOAD, 1)).all()
    assert played.recorder.rows("load") == [LOAD]
    played.play(*[100] * 2 * LENGTH)
    assert played.recorder.rows("load") == []


def test_a_row_that_appears_has_no_past(played: Played) -> None:
    late = Row("load", "eu", "shop")
    played.now[late] = 3.0
    played.play(100)
    assert np.isnan(played.last(late, 2)).tolist() == [True, False]


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=30))
def test_the_total_never_falls_and_grows_by_each_minute(powers: list[float]) -> None:
    played = Played()
    played.recorder.begin(lambda times_s: {})
    played.play(*powers)
    totals = played.recorder.total(POWER, played.times(len(powers) + 1))
    assert np.diff(totals) == pytest.approx([float(np.float32(power)) * 60 for power in powers], abs=1e-3)
    assert np.all(np.diff(totals) >= 0)


def test_a_total_keeps_its_value_to_the_last_bit_as_time_goes_on(played: Played) -> None:
    played.play(*(1 / n for n in range(1, 200)))
    at = played.times(100)
    before = played.recorder.total(POWER, at)
    played.play(*(1 / n for n in range(1, 200)))
    assert played.recorder.total(POWER, at).tolist() == before.tolist()


def test_a_restored_ring_says_the_same_and_goes_on(played: Played) -> None:
    played.play(*range(LENGTH + 5))
    saved = json.loads(json.dumps(played.recorder.snapshot()))
    clock = SimulatedClock(played.clock.now(), speed=0)
    other = Recorder(clock, lambda: {POWER: 7.0})
    other.restore(saved)
    times = played.times(LENGTH)
    for read in ("read", "total"):
        np.testing.assert_array_equal(getattr(other, read)(POWER, times), getattr(played.recorder, read)(POWER, times))
    clock.advance(60)
    assert other.read(POWER, times[-1:] + 60).tolist() == [7.0]
