import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput, Refused
from deployments.local.clock import LONGEST_PASS_S, SimulatedClock


class Wall:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


def still(start_s=1000.0):
    return SimulatedClock(start_s, speed=0, wall=Wall())


def test_time_flows_at_the_set_speed():
    wall = Wall()
    clock = SimulatedClock(1000.0, speed=60, wall=wall)
    wall.s += 2
    assert clock.now() == 1120.0


def test_time_waits_for_a_fleet_that_cannot_keep_the_speed():
    wall = Wall()
    clock = SimulatedClock(0.0, speed=60, wall=wall)

    def slow():  # a simulated second takes a fortieth of a second: at this speed it would fall ever further behind
        wall.s += 1 / 40
        clock.at(clock.now() + 1, "slow", slow)

    clock.at(1.0, "slow", slow)
    wall.s += 1
    for _ in range(20):
        begun_s = wall.s
        clock.run_due()
    assert wall.s - begun_s == pytest.approx(60 * LONGEST_PASS_S / 40, abs=0.05)
    assert clock.now() <= 40 * wall.s + 60


def test_a_change_of_speed_moves_no_time():
    wall = Wall()
    clock = SimulatedClock(1000.0, speed=60, wall=wall)
    wall.s += 2
    clock.speed = 10
    assert clock.now() == 1120.0
    wall.s += 1
    assert clock.now() == 1130.0


def test_a_callback_sees_the_time_it_was_due():
    clock, seen = still(), []
    clock.at(1500.5, "a", lambda: seen.append(clock.now()))
    clock.advance(3600)
    assert seen == [1500.5]
    assert clock.now() == 4600.0


def test_nothing_fires_early():
    clock, seen = still(), []
    clock.at(1010.0, "a", lambda: seen.append("a"))
    assert clock.advance(9.9) == 0
    assert clock.next_due() == 1010.0
    assert clock.advance(0.1) == 1
    assert clock.next_due() is None


def test_run_due_fires_what_wall_time_has_made_due():
    wall, seen = Wall(), []
    clock = SimulatedClock(0.0, speed=2, wall=wall)
    clock.at(5.0, "a", lambda: seen.append(clock.now()))
    wall.s = 3
    assert clock.run_due() == 1
    assert seen == [5.0]
    assert clock.now() == 6.0


def test_ties_fire_by_key_then_by_registration():
    clock, seen = still(), []
    for key, name in [("b", "b1"), ("a", "a1"), ("b", "b2"), ("a", "a2")]:
        clock.at(1010.0, key, lambda name=name: seen.append(name))
    clock.advance(10)
    assert seen == ["a1", "a2", "b1", "b2"]


def test_what_a_callback_registers_on_the_way_fires_in_the_same_advance():
    clock, seen = still(), []

    def tick():
        seen.append(clock.now())
        clock.at(clock.now() + 60, "tick", tick)

    clock.at(1060.0, "tick", tick)
    clock.advance(180)
    assert seen == [1060.0, 1120.0, 1180.0]


def test_a_time_already_past_means_now():
    clock, seen = still(), []
    clock.at(5.0, "a", lambda: seen.append(clock.now()))
    clock.run_due()
    assert seen == [1000.0]


def test_an_error_in_a_callback_keeps_the_rest_queued():
    clock, seen = still(), []
    clock.at(1001.0, "a", lambda: 1 / 0)
    clock.at(1002.0, "b", lambda: seen.append(clock.now()))
    with pytest.raises(ZeroDivisionError):
        clock.advance(5)
    assert clock.now() == 1005.0
    assert clock.run_due() == 1
    assert seen == [1002.0]


def test_time_cannot_be_advanced_from_inside_a_callback():
    clock = still()
    clock.at(1001.0, "a", lambda: clock.advance(1))
    with pytest.raises(Refused, match="inside a callback"):
        clock.advance(5)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_time_never_goes_back_or_nowhere(seconds):
    with pytest.raises(InvalidInput, match="finite number >= 0"):
        still().advance(seconds)


def test_a_negative_speed_is_refused():
    with pytest.raises(InvalidInput, match="speed is -1"):
        still().speed = -1


dues = st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), max_size=8)


@settings(max_examples=50)
@given(dues, st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_many_small_advances_play_the_same_as_one(due, parts):
    def played(advances):
        clock, seen = still(0.0), []
        for number, (when, key) in enumerate(due):
            clock.at(float(when), key, lambda number=number: seen.append((clock.now(), number)))
        for seconds in advances:
            clock.advance(seconds)
        return seen, clock.now()

    assert played(parts) == played([sum(parts)])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["wall", "advance", "speed", "run"]), st.integers(0, 9)), max_size=20))
def test_now_never_goes_backwards(moves):
    wall = Wall()
    clock = SimulatedClock(0.0, speed=1, wall=wall)
    seen = [clock.now()]
    for move, amount in moves:
        if move == "wall":
            wall.s += amount
        elif move == "advance":
            clock.advance(amount)
        elif move == "speed":
            clock.speed = amount
        else:
            clock.run_due()
        seen.append(clock.now())
    assert seen == sorted(seen)
