"""Pools in closed loop over past demand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.scaling.decide import POLICIES, Pools
from tasks.scaling.decide.replay import Demand, Energy, oracle, play
from tasks.scaling.decide.settings import SETTINGS, chosen, frontier, settings_of, side_by_side


def demand_of(cores, boot_min=4, low=1, high=40, parts=None) -> Demand:
    cores = np.atleast_2d(np.asarray(cores, np.float64))
    ones = np.ones(len(cores))
    pools = Pools(
        unique_id=tuple(f"c{row}/p" for row in range(len(cores))),
        min_nodes=np.full(len(cores), low), max_nodes=np.full(len(cores), high), node_cpu_cores=ones,
        node_memory_bytes=ones * np.inf, boot_s=60.0 * boot_min * ones, price_usd_per_hour=ones * np.nan,
        hands_off=np.zeros(len(cores), np.bool_), owner=("",) * len(cores), fixed=np.zeros(len(cores), np.bool_),
    )  # fmt: skip
    parts = np.zeros(cores.shape[1], np.int64) if parts is None else np.asarray(parts)
    return Demand(pools, 0, cores, parts)


REACTIVE = replace(POLICIES["target-tracking"], tolerance_ratio=0.0, max_step_down_nodes=99)


def one_pool_slowly(cores, boot_min, target, window_min, low, high):
    """Target tracking of one pool, told minute by minute; (violations, node-minutes, changes)."""
    desired, orders, wants = high, [], {}
    violations = paid = changes = 0
    for minute, used in enumerate(cores):
        ready = desired - sum(nodes for when, nodes in orders if when > minute)
        violations += used > 0.9 * ready
        paid += desired
        need = int(np.ceil(used / target - 1e-6))
        goal = min(max(need, low), high)
        if goal < desired:
            lately = max([wants.get(minute - back, 0) for back in range(1, window_min + 1)], default=0)
            goal = max(goal, min(lately, desired)) if ready == desired else desired
        limit = desired + max(10, desired)
        goal = min(goal, limit)
        wants[minute] = need
        if goal > desired:
            orders.append((minute + boot_min, goal - desired))
        changes += goal != desired
        desired = goal
    return violations, paid, changes


@settings(max_examples=40)
@given(
    cores=st.lists(st.floats(0.01, 30), min_size=2, max_size=80),
    boot_min=st.integers(1, 9), target=st.sampled_from([0.5, 0.7, 0.9]), window=st.sampled_from([0, 5, 15]),
)  # fmt: skip
def test_a_slow_reference_agrees(cores, boot_min, target, window):
    policy = replace(REACTIVE, reactive_target_ratio=target, down_stabilisation_s=60.0 * window)
    score = play(demand_of(cores, boot_min), policy)
    found = [int(each[0, 0]) for each in (score.violation_minutes, score.node_minutes, score.changes)]
    assert found == list(one_pool_slowly(cores, boot_min, target, window, 1, 40))


@settings(max_examples=20)
@given(cores=st.lists(st.floats(0.01, 30), min_size=30, max_size=60), boot_min=st.integers(1, 20))
def test_the_oracle_meets_every_demand_and_nobody_who_does_is_cheaper_by_more_than_his_foresight(cores, boot_min):
    demand = demand_of(cores, boot_min)
    enough = np.clip(np.ceil(demand.cpu_cores / 0.9 - 1e-9), 1, 40).sum()
    assert oracle(demand, 0.9)[0, 0] >= enough
    score = play(demand, replace(REACTIVE, reactive_target_ratio=0.3))
    if score.violation_minutes[0, 0] == 0:
        assert score.node_minutes[0, 0] >= enough


def test_settings_side_by_side_score_as_each_alone():
    rng = np.random.default_rng(3)
    cores = 10 + 8 * np.sin(np.arange(600) / 60) + rng.normal(0, 1, 600)
    tried = SETTINGS["target-tracking"][::9]
    together = play(demand_of(np.repeat([cores], len(tried), axis=0)), side_by_side("target-tracking", tried, 1))
    for row, setting in enumerate(tried):
        alone = play(demand_of(cores), replace(POLICIES["target-tracking"], **setting))
        assert together.violation_minutes[row, 0] == alone.violation_minutes[0, 0]
        assert together.node_minutes[row, 0] == alone.node_minutes[0, 0]


def test_a_node_serves_only_when_it_has_booted():
    cores = np.concatenate([np.full(60, 2.0), np.full(30, 20.0)])
    score = play(demand_of(cores, boot_min=6), replace(REACTIVE, max_step_up_nodes=99))
    assert score.violation_minutes[0, 0] == 6  # seen in its first minute, ordered then, Ready six minutes later


def test_a_demand_that_was_not_measured_neither_violates_nor_lowers_anything():
    cores = np.concatenate([np.full(60, 20.0), np.full(30, np.nan)])
    score = play(demand_of(cores, parts=[-1] * 60 + [0] * 30), REACTIVE)
    assert score.violation_minutes[0, 0] == 0
    assert score.node_minutes[0, 0] == 30 * np.ceil(20 / 0.7)
    assert score.minutes[0, 0] == 0


def test_the_parts_of_the_time_add_up_to_the_whole():
    cores = 10 + 8 * np.sin(np.arange(600) / 30)
    whole = play(demand_of(cores), REACTIVE)
    halves = play(demand_of(cores, parts=[0] * 300 + [1] * 300), REACTIVE)
    for name in ("violation_minutes", "node_minutes", "changes", "minutes"):
        assert getattr(halves, name).sum() == getattr(whole, name).sum()


def test_a_schedule_holds_the_nodes_it_asks_for_through_its_hour():
    by_hour = np.zeros((1, 24), np.int64)
    by_hour[0, 2] = 12
    demand = demand_of(np.full(240, 0.5), parts=[-1] * 120 + [0] * 60 + [1] * 60)
    score = play(demand, POLICIES["schedule"], scheduled_nodes=by_hour)
    assert score.node_minutes[0, 0] >= 12 * 60


def test_energy_is_power_at_the_load_times_carbon_intensity():
    watts = np.linspace(1.0, 3.0, 11)
    energy = Energy(np.array([4.0]), watts, np.array([0]), np.full((1, 60), 300.0))
    demand = replace(demand_of(np.full(60, 20.0), low=40), energy=energy)  # 40 nodes at half load: 2 W a thread
    assert play(demand, REACTIVE).carbon_g[0, 0] == pytest.approx(40 * 4 * 2 / 1000 * 300)


def test_the_setting_chosen_has_fewest_violations_within_the_budget():
    hours, violations = np.array([3.0, 2.0, 1.0, 1.5]), np.array([0.0, 5.0, 9.0, 5.0])
    assert chosen(hours, violations, budget=2.0) == 3  # as good as the second, and cheaper
    assert chosen(hours, violations, budget=0.5) == 2  # none is within it: the thriftiest


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_the_frontier_holds_just_the_settings_that_none_beats(points):
    x, y = np.array(points, np.float64).T
    best = frontier(x, y)
    for place in range(len(points)):
        beaten = any(x[b] <= x[place] and y[b] <= y[place] for b in best if b != place)
        assert beaten or place in best


def test_tried_policies_have_about_forty_settings_and_the_seed_its_one():
    assert all(36 <= len(tried) <= 44 for tried in SETTINGS.values())
    assert settings_of("seed") == ({},)
