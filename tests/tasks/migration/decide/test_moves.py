"""Which workloads move: never on what is not known, never above the cap, never back at once; and the optimum is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.migration.decide.joint import Room
from tasks.migration.decide.moves import Chosen, Costs, decide_moves, smoothed
from tasks.migration.decide.policies import POLICIES, Policy
from tasks.migration.decide.replay import Course, course_of, first_places, optimum, play
from tasks.migration.decide.world import made_up

DEFAULT = POLICIES["default"]
SLOT_S = 900.0


def costs(total: object, errors: object = 0.0) -> Costs:
    values = np.asarray(total, np.float32)
    return Costs(values, values, values, np.broadcast_to(np.asarray(errors, np.float32), values.shape))


def decide(total: object, place: list[int], *, errors: object = 0.0, idle: float = 1e4,
           came_from: list[int] | None = None, policy: Policy = replace(DEFAULT, cap=1.0)) -> Chosen:  # fmt: skip
    count = len(place)
    return decide_moves(np.array(place), costs(total, errors), np.full(count, 1.0, np.float32),
                        np.full(count, idle, np.float32), policy, SLOT_S,
                        came_from=None if came_from is None else np.array(came_from))  # fmt: skip


def test_a_place_that_is_much_better_is_gone_to() -> None:
    chosen = decide([[1.0, 0.5]], [0])
    assert (chosen.target.tolist(), chosen.reason.tolist()) == ([1], ["pays"])


def test_a_gain_that_does_not_pay_for_the_move_is_left() -> None:
    assert decide([[1.0, 0.9]], [0]).reason.tolist() == ["move-costs-too-much"]


def test_what_is_not_measured_is_never_gone_to_and_a_place_not_measured_is_kept() -> None:
    assert decide([[1.0, np.nan]], [0]).target.tolist() == [0]
    assert decide([[np.nan, 0.1]], [0]).reason.tolist() == ["not-measured"]


def test_a_workload_that_moved_lately_stays_unless_its_place_fails() -> None:
    assert decide([[1.0, 0.5]], [0], idle=2).reason.tolist() == ["cooling-down"]
    failing = decide([[5.0, 0.5]], [0], idle=2, errors=[[0.5, 0.0]])
    assert failing.reason.tolist() == ["source-failing"]


def test_nobody_goes_back_where_it_came_from_within_hours() -> None:
    chosen = decide([[1.0, 0.2, 0.3]], [0], idle=10, came_from=[1])
    assert chosen.target.tolist() == [2]


def test_at_most_the_cap_moves_those_that_fail_first() -> None:
    total = np.tile(np.array([2.0, 0.5], np.float32), (40, 1))
    errors = np.zeros((40, 2), np.float32)
    errors[30, 0] = 0.9
    chosen = decide(total, [0] * 40, errors=errors, policy=DEFAULT)
    assert (chosen.target != 0).sum() == 2
    assert chosen.target[30] == 1
    assert (chosen.reason == "capped").sum() == 38


def test_a_small_fleet_may_move_one_at_a_time_unless_the_cap_is_nought() -> None:
    assert (decide([[2.0, 0.5]] * 4, [0] * 4, policy=DEFAULT).target != 0).sum() == 1
    assert (decide([[2.0, 0.5]] * 4, [0] * 4, policy=replace(DEFAULT, cap=0.0)).target == 0).all()


def test_those_that_gain_most_share_the_room_of_a_target_and_the_cap_counts_only_who_goes() -> None:
    total = np.array([[2.0, 0.5], [4.0, 0.5], [3.0, 0.5]], np.float32)
    room = Room(np.array([[1.0], [2.0], [1.0]]), np.array([[0.0], [1.5]]))
    policy = replace(DEFAULT, cap=0.34)
    chosen = decide_moves(np.zeros(3, np.int64), costs(total), np.ones(3, np.float32), np.full(3, 1e4, np.float32),
                          policy, SLOT_S, room=room)  # fmt: skip
    assert chosen.reason.tolist() == ["capped", "target-full", "pays"]


@given(arrays(np.float32, (12, 5), elements=st.one_of(st.floats(0.125, 5, width=32), st.just(np.float32(np.nan)))),
       st.lists(st.integers(0, 4), min_size=12, max_size=12), st.sampled_from(sorted(POLICIES)))  # fmt: skip
def test_a_move_goes_to_a_known_place_that_costs_less(total, place: list[int], name: str) -> None:
    policy = POLICIES[name]
    chosen = decide(total, place, policy=policy)
    moved = chosen.target != np.array(place)
    rows = np.flatnonzero(moved)
    assert moved.sum() <= max(policy.cap * 12, 1)
    assert np.isfinite(total[rows, chosen.target[rows]]).all()
    assert (total[rows, chosen.target[rows]] < total[rows, np.array(place)[rows]]).all()


def test_a_missing_measurement_leaves_the_smoothed_value() -> None:
    assert smoothed(np.array([1.0]), np.array([np.nan]), 0.2).tolist() == [1.0]
    assert smoothed(np.array([1.0]), np.array([2.0]), 0.2).tolist() == pytest.approx([1.2])


@settings(max_examples=30)
@given(arrays(np.float32, (5, 1, 3), elements=st.floats(0.125, 3, width=32)), st.floats(0.1, 2), st.integers(0, 2))
def test_the_optimum_is_the_best_of_all_courses(truth, move: float, begin: int) -> None:
    course = Course(truth, truth, truth, truth * 0, np.array([move], np.float32), SLOT_S)
    best = np.inf
    for code in range(3**5):
        sites = [code // 3**slot % 3 for slot in range(5)]
        moves = sum(one != other for one, other in zip([begin, *sites], sites, strict=False))
        best = min(best, sum(float(truth[slot, 0, site]) for slot, site in enumerate(sites)) + moves * np.float32(move))
    assert optimum(course, np.array([begin])) == pytest.approx(best, rel=1e-5)


def test_no_policy_beats_the_optimum_and_the_default_keeps_its_promises_on_a_fresh_seed() -> None:
    course = course_of(made_up(901, workloads=120, sites=20, days=3))
    places = first_places(course)
    scores = {name: play(course, policy, places) for name, policy in POLICIES.items()}
    assert all(score.cost_ratio >= 1 - 1e-6 for score in scores.values())
    default = scores["default"]
    assert default.cost_ratio < min(scores[name].cost_ratio for name in ("never", "always-best", "seed-raw"))
    assert default.peak_pass_ratio <= 0.05
    assert default.backflip_ratio <= 0.03


def test_nobody_goes_to_a_site_that_is_measured_no_more_however_cheap_it_was() -> None:
    seen = np.full((40, 1, 2), 0.2, np.float32)
    seen[20:, 0, 0] = 2.0
    told = Course(seen, seen, seen, seen * 0, np.array([0.1], np.float32), SLOT_S)
    silent = seen.copy()
    silent[20:, 0, 1] = np.nan
    assert play(told, DEFAULT, np.array([0])).moves_per_workload_day > 0
    gone = replace(told, seen_latency=silent, seen_money=silent)
    assert play(gone, DEFAULT, np.array([0])).moves_per_workload_day == 0


def test_a_workload_that_comes_later_costs_nobody_anything_before() -> None:
    truth = np.ones((8, 2, 2), np.float32)
    late = truth.copy()
    late[:4, 1] = np.nan
    whole, part = (Course(each, each, each, truth * 0, np.ones(2, np.float32), SLOT_S) for each in (truth, late))
    assert (optimum(whole, first_places(whole)), optimum(part, first_places(part))) == (16.0, 12.0)
    assert play(part, DEFAULT, first_places(part)).cost_ratio == 1
