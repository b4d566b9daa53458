"""Moves that want the same places: room and cap hold, those that fail go first, and no other choice brings more."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.migration.decide.joint import HELD_BACK, NO_ROOM, Room, share
from tasks.migration.decide.moves import Costs, decide_moves
from tasks.migration.decide.policies import POLICIES


def brute_force(gain: np.ndarray, first: np.ndarray, room: Room, most: int) -> tuple[int, float]:
    """Most of the first that can go, and the most that all who go can bring then."""
    best = (0, 0.0)
    for sites in itertools.product(range(-1, gain.shape[1]), repeat=len(gain)):
        at = np.array(sites)
        goes = np.flatnonzero(at >= 0)
        value = float(gain[goes, at[goes]].sum())
        if len(goes) <= most and np.isfinite(value) and room.holds(goes, at[goes]):
            best = max(best, (int(first[goes].sum()), value))
    return best


@settings(max_examples=25, deadline=None)
@given(arrays(np.float64, (5, 3), elements=st.one_of(st.integers(1, 40), st.just(-np.inf))),
       arrays(np.float64, (5, 2), elements=st.integers(1, 4)), arrays(np.float64, (3, 2), elements=st.integers(0, 8)),
       arrays(np.bool_, 5), st.sampled_from([2, 5]))  # fmt: skip
def test_no_choice_within_room_and_cap_brings_more(gain, size, free, first, most: int) -> None:
    order = np.lexsort((-gain.max(axis=1), ~first))
    gain, first, room = gain[order], first[order], Room(size[order], free)
    site = share(gain, first, room, most)
    goes = np.flatnonzero(site >= 0)
    assert len(goes) <= most
    assert room.holds(goes, site[goes])
    assert np.isfinite(gain[goes, site[goes]]).all()
    if most == 5:  # below that, what the cap leaves out is the least of a choice made without it
        assert (int(first[goes].sum()), float(gain[goes, site[goes]].sum())) == brute_force(gain, first, room, most)


def test_one_that_has_a_second_place_leaves_the_first_to_one_that_has_none() -> None:
    values = np.array([[4.0, 1.0, 1.1], [3.9, 1.0, np.nan]], np.float32)
    costs = Costs(values, values, values, np.zeros_like(values))
    room = Room(np.ones((2, 1)), np.array([[0.0], [1.0], [1.0]]))
    policy = POLICIES["seed-raw"]
    chosen = decide_moves(np.zeros(2, np.int64), costs, np.ones(2, np.float32), np.full(2, 1e4, np.float32), policy,
                          900.0, room=room)  # fmt: skip
    assert chosen.target.tolist() == [2, 1]
    assert chosen.benefit.tolist() == np.float32([(4 - np.float32(1.1)) * 16, np.float32(2.9) * 16]).tolist()


def test_a_second_place_that_the_rule_does_not_let_through_is_not_gone_to() -> None:
    values = np.array([[4.0, 1.0, 3.9], [3.9, 1.0, np.nan]], np.float32)
    costs = Costs(values, values, values, np.zeros_like(values))
    room = Room(np.ones((2, 1)), np.array([[0.0], [1.0], [1.0]]))
    chosen = decide_moves(np.zeros(2, np.int64), costs, np.ones(2, np.float32), np.full(2, 1e4, np.float32),
                          POLICIES["seed-raw"], 900.0, room=room)  # fmt: skip
    assert chosen.target.tolist() == [1, 0]
    assert chosen.reason.tolist() == ["pays", "target-full"]


def test_what_the_cap_and_what_the_others_hold_back_are_told_apart() -> None:
    gain = np.array([[9.0, -np.inf], [8.0, -np.inf], [7.0, 6.0], [5.0, 5.0]])
    site = share(gain, np.zeros(4, np.bool_), Room(np.ones((4, 1)), np.array([[1.0], [5.0]])), 2)
    assert site.tolist() == [0, NO_ROOM, 1, HELD_BACK]
