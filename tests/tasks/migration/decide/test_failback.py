"""Who fled goes home when that has been well for long enough, and no pattern of failures makes it flap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.migration.decide.failback import FLED_FROM, Homes, settled, well_for_s
from tasks.migration.decide.moves import Costs, decide_moves
from tasks.migration.decide.policies import POLICIES

DEFAULT = POLICIES["default"]
SLOT_S = 900.0
HOME, AWAY = 0, 1


def chosen(total: list[float], *, is_settled: bool = True, preferred: bool = True, error: float = 0.0,
           idle: float = 1e4) -> tuple[int, str]:  # fmt: skip
    """The target of one workload that stands in AWAY and fled from HOME, and why."""
    values = np.array([total], np.float32)
    costs = Costs(values, values, values, np.array([[0.0, error]], np.float32))
    homes = Homes(np.array([HOME]), np.array([is_settled]), np.array([preferred]))
    found = decide_moves(np.array([AWAY]), costs, np.ones(1, np.float32), np.array([idle], np.float32), DEFAULT, SLOT_S,
                         came_from=np.array([HOME]), homes=homes)  # fmt: skip
    return int(found.target[0]), str(found.reason[0])


def test_a_home_that_is_preferred_is_gone_back_to_though_it_does_not_pay() -> None:
    assert chosen([1.0, 1.0]) == (HOME, "failback")
    assert chosen([1.0, 1.0], preferred=False) == (AWAY, "gain-too-small")


def test_a_home_that_has_not_settled_is_not_gone_back_to_however_cheap_it_is() -> None:
    assert chosen([0.1, 1.0], is_settled=False)[0] == AWAY
    assert chosen([0.1, 1.0], preferred=False) == (HOME, "pays")


def test_where_this_place_fails_too_the_home_is_better_than_nothing() -> None:
    assert chosen([1.0, 5.0], is_settled=False, error=1.0) == (HOME, "source-failing")


def test_a_home_that_the_rule_would_leave_again_is_not_gone_back_to() -> None:
    assert chosen([2.0, 1.0])[0] == AWAY


@pytest.mark.parametrize("there", [np.nan, np.inf])
def test_a_home_that_is_not_measured_or_closed_is_not_gone_back_to(there: float) -> None:
    assert chosen([there, 1.0])[0] == AWAY


def test_the_cool_down_holds_for_the_way_home_too() -> None:
    assert chosen([1.0, 1.0], idle=2) == (AWAY, "cooling-down")


def play(healthy: list[bool], window_s: float) -> list[tuple[int, int]]:
    """(slot, target) of the moves of a workload whose home fails it in some slots, and looks well whenever it is away.

    The worst home there is: nothing is wrong with it but for this workload.
    """
    place, well_s, moves, flights = HOME, -1.0, list[tuple[int, int]](), 0
    since = 1e6
    for slot, fine in enumerate(healthy):
        well_s = well_for_s(well_s, SLOT_S, place == AWAY)
        failing = 1.0 if place == HOME and not fine else 0.0
        cost = np.array([[1.0 + 4 * failing, 1.0]], np.float32)
        errors = np.array([[failing, 0.0]], np.float32)
        stable = settled(np.array([well_s]), np.array([flights]), window_s) & (flights > 0)
        homes = Homes(np.array([HOME if flights else -1]), stable, np.array([True]))
        costs, idle = Costs(cost, cost, cost, errors), np.array([since], np.float32)
        found = decide_moves(np.array([place]), costs, np.ones(1, np.float32), idle, DEFAULT, SLOT_S, homes=homes)
        since += 1
        if found.target[0] != place:
            place, since = int(found.target[0]), 0
            moves.append((slot, place))
            flights += place == AWAY
            well_s = -1.0
    return moves


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.sampled_from([900.0, 3600.0, 7200.0]))
@example([False] * 400, 900.0)
def test_each_way_home_waits_for_the_window_twice_as_long_as_the_one_before(healthy, window_s: float) -> None:
    moves = play(healthy, window_s)
    away = [slot for slot, place in moves if place == AWAY]
    back = [slot for slot, place in moves if place == HOME]
    assert [place for _, place in moves] == [AWAY, HOME] * (len(moves) // 2) + [AWAY] * (len(moves) % 2)
    for number, (left, returned) in enumerate(zip(away, back, strict=False)):
        assert (returned - left - 1) * SLOT_S >= window_s * 2 ** min(number, 6)


def test_a_home_that_was_not_looked_at_for_long_is_not_known_to_have_been_well() -> None:
    assert well_for_s(7000, 3700, True) == 0
    assert well_for_s(7000, -10, True) == 0


def test_going_where_it_pays_is_no_flight() -> None:
    assert "pays" not in FLED_FROM
    assert "failback" not in FLED_FROM
