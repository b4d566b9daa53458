"""What a plan says of one pool, and of many."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.resource_plan.decide import Code, Priority, Step, decide_plan
from tests.growth import calls

CPU, MEMORY, GPU, STORAGE = range(4)
NOW, PEAK, MEAN = range(3)


def codes(plan, row=0):
    return {note.code for note in plan.notes[row]}


def wave(stage, low, high, *, begin=32, end=64):
    """Demand in cores: high from step `begin` to `end`, low otherwise."""
    steps = np.arange(stage.steps)
    return np.where((steps >= begin) & (steps < end), high, low)


def test_a_step_needs_the_policys_quantile_at_the_target_of_the_binding_resource(stage):
    pools = stage.pools()
    plan = stage.plan(pools, stage.forecast(pools, cpu=20.0, memory=100 * stage.gib))
    assert plan.quantile == 0.975
    assert plan.nodes_by_resource[CPU, 0, 0] == pytest.approx(20 / 3.6)
    assert plan.nodes_by_resource[MEMORY, 0, 0] == pytest.approx(100 / 14.4)
    assert set(plan.needed[0].tolist()) == {7}


@pytest.mark.parametrize(
    ("quantile", "cores"), [(0.5, 90.0), (0.9, 95.0), (0.95, 95 + 5 * 2 / 3), (0.99, 100.0), (0.01, 80.0)]
)
def test_a_level_between_those_of_the_forecast_is_read_between_them(stage, quantile, cores):
    pools = stage.pools()
    plan = stage.plan(pools, stage.forecast(pools, cpu=100.0, spread=0.05), replace(stage.policy, quantile=quantile))
    assert plan.nodes_by_resource[CPU, 0, 0] == pytest.approx(cores / 3.6, rel=1e-6)
    assert plan.quantile == min(max(quantile, 0.025), 0.975)


def test_amounts_over_and_under_are_those_of_the_present_nodes(stage):
    pools = stage.pools()
    plan = stage.plan(pools, stage.forecast(pools, cpu=wave(stage, 9.0, 27.0), memory=14.4 * stage.gib))
    assert plan.over[0, CPU] == pytest.approx([14.0, 0.0, 14.0 * 2 / 3], rel=1e-5)
    assert plan.under[0, CPU] == pytest.approx([0.0, 6.0, 6.0 / 3], rel=1e-5)
    assert plan.over[0, MEMORY] == pytest.approx([80 * stage.gib] * 3, rel=1e-5)


def test_the_schedule_goes_up_a_boot_time_before_the_wave_and_down_after_it(stage):
    pools = stage.pools(current=4)
    plan = stage.plan(pools, stage.forecast(pools, cpu=wave(stage, 14.4, 28.8), memory=0.0))
    assert [(change["from"], change["to"]) for change in plan.changes(0)] == [(4, 8), (8, 4)]
    assert [change["at"] for change in plan.changes(0)] == ["2026-03-04T21:45:00+00:00", "2026-03-05T06:00:00+00:00"]
    assert plan.action == (Step.GROW,)
    assert plan.minutes_as_is[0] > 400 > 60 > plan.minutes_planned[0]
    assert plan.saved_node_hours[0] == pytest.approx(-4 * 33 / 4)
    assert plan.saved_usd[0] == pytest.approx(-33 * 0.2)
    pools = stage.pools(current=4, paid_nodes=6)  # half of what it grows by is paid for anyway
    plan = stage.plan(pools, stage.forecast(pools, cpu=wave(stage, 14.4, 28.8), memory=0.0))
    assert plan.saved_usd[0] == pytest.approx(-33 / 2 * 0.2)


def test_a_pool_that_is_too_large_shrinks_and_saves(stage):
    pools = stage.pools(current=9)
    plan = stage.plan(pools, stage.forecast(pools))
    assert plan.action == (Step.SHRINK,)
    assert plan.sizes[0].tolist() == [5] * 96
    assert plan.saved_node_hours[0] == pytest.approx(96.0)


def test_a_low_that_is_shorter_than_the_hold_time_is_not_gone_down_to(stage):
    pools = stage.pools(current=5)
    dip = wave(stage, 18.0, 3.6, begin=40, end=48)
    assert set(stage.plan(pools, stage.forecast(pools, cpu=dip, memory=0.0)).sizes[0].tolist()) == {5}
    short = replace(stage.policy, least_hold_s=3600.0)
    assert min(stage.plan(pools, stage.forecast(pools, cpu=dip, memory=0.0), short).sizes[0]) == 1


def test_need_beyond_the_maximum_is_unmet_and_asks_for_a_higher_one(stage):
    pools = stage.pools(max_nodes=8)
    plan = stage.plan(pools, stage.forecast(pools, cpu=36.0))
    assert (plan.action, plan.priority) == ((Step.RAISE_MAX,), (Priority.HIGH,))
    assert plan.unmet[0] == 2
    assert max(plan.sizes[0]) == 8
    assert Code.AT_MAX in codes(plan)


def test_a_pool_above_its_maximum_is_not_cut_while_demand_needs_it(stage):
    pools = stage.pools(current=10, max_nodes=8)
    plan = stage.plan(pools, stage.forecast(pools, cpu=wave(stage, 34.0, 14.4, begin=48, end=96)))
    assert plan.sizes[0, 0] == 10
    assert plan.sizes[0, -1] == 4
    assert Code.ABOVE_MAX in codes(plan)
    assert Code.AT_MAX not in codes(plan)


def test_sizes_go_in_whole_groups_of_nodes(stage):
    pools = stage.pools(current=6, multiple_of=3, max_nodes=20)
    plan = stage.plan(pools, stage.forecast(pools, cpu=wave(stage, 14.4, 28.8)))
    assert set(plan.sizes[0].tolist()) <= {6, 9}


def test_a_forecast_that_is_missing_plans_nothing(stage):
    plan = stage.plan(stage.pools(2), None)
    assert plan.action == (Step.UNKNOWN,) * 2
    assert plan.steps == 0
    assert np.isnan(plan.saved_node_hours).all()
    assert Code.FORECAST_MISSING in codes(plan)
    assert plan.total()["node_hours_saved"] is None
    assert json.dumps(list(plan.to_records()), allow_nan=False)


@pytest.mark.parametrize("age_s", [10_801.0, -10_801.0, 86_400.0])
def test_a_forecast_that_is_stale_plans_nothing(stage, age_s):
    pools = stage.pools()
    plan = stage.plan(pools, stage.forecast(pools, age_s=age_s))
    assert plan.action == (Step.UNKNOWN,)
    assert Code.FORECAST_STALE in codes(plan)


def test_steps_of_the_forecast_that_are_over_are_left_out(stage):
    pools = stage.pools()
    plan = stage.plan(pools, stage.forecast(pools, age_s=4000.0))
    assert plan.steps == 92
    assert plan.start_s <= stage.now.timestamp() < plan.start_s + 900


@pytest.mark.parametrize("gap", [np.nan, -1.0, np.inf])
def test_a_gap_in_one_resource_never_lowers_the_pool(stage, gap):
    pools = stage.pools(current=9)
    memory = np.full(stage.steps, 16 * stage.gib)
    memory[50] = gap
    plan = stage.plan(pools, stage.forecast(pools, memory=memory))
    assert plan.sizes[0].tolist() == [9] * 96
    assert {Code.FORECAST_INCOMPLETE, Code.NOT_LOWERED} <= codes(plan)
    assert np.isnan(plan.over[0, MEMORY]).all()
    grown = stage.plan(pools, stage.forecast(pools, cpu=54.0, memory=memory))
    assert grown.sizes[0].max() == 15


def test_a_pool_without_a_forecast_has_no_plan_and_the_others_have(stage):
    pools = stage.pools(2)
    plan = decide_plan(pools, stage.forecast(pools.rows(slice(1))), stage.policy, stage.now)
    assert plan.action == (Step.SHRINK, Step.UNKNOWN)
    assert Code.FORECAST_MISSING in codes(plan, 1)
    assert plan.total()["pools_planned"] == 1
    assert plan.timeline()[0]["nodes_as_is"] == 6


def test_an_unreachable_pool_has_no_plan(stage):
    pools = stage.pools(reachable=False, current=0, ready=0)
    plan = stage.plan(pools, stage.forecast(pools))
    assert plan.action == (Step.UNKNOWN,)
    assert codes(plan) == {Code.UNREACHABLE}
    assert np.isnan(plan.over).all()


def test_a_missing_price_leaves_usd_unknown_and_node_hours_known(stage):
    pools = stage.pools(current=9, price_usd_per_hour=np.nan)
    plan = stage.plan(pools, stage.forecast(pools))
    assert np.isnan(plan.saved_usd[0])
    assert plan.saved_node_hours[0] == pytest.approx(96.0)
    assert plan.total()["usd_saved"] is None
    assert next(plan.to_records())["usd_saved"] is None


def test_requested_gpus_hold_the_pool_up(stage):
    pools = stage.pools(current=9, gpus=2.0, gpus_requested=15.0)
    plan = stage.plan(pools, stage.forecast(pools))
    assert plan.sizes[0].tolist() == [8] * 96
    assert plan.over[0, GPU].tolist() == [3.0, 3.0, 3.0]


def test_requests_that_are_not_known_never_lower_a_pool_that_has_the_resource(stage):
    pools = stage.pools(current=9, gpus=2.0)
    plan = stage.plan(pools, stage.forecast(pools))
    assert plan.sizes[0].tolist() == [9] * 96
    assert {Code.REQUESTS_UNKNOWN, Code.NOT_LOWERED} <= codes(plan)
    assert np.isnan(plan.over[0, GPU]).all()


def test_a_capacity_that_nobody_tells_is_unknown_and_not_zero(stage):
    pools = stage.pools(gpus_requested=0.0)
    plan = stage.plan(pools, stage.forecast(pools))
    assert next(plan.to_records())["over"]["gpus"] == {"now": None, "peak": None, "mean": None}
    assert plan.total()["resources"]["gpus"]["over"]["mean"] is None
    assert Code.CAPACITY_UNKNOWN in codes(plan)


def test_need_that_comes_before_nodes_can_boot_is_told(stage):
    pools = stage.pools(boot_s=1800.0)
    plan = stage.plan(pools, stage.forecast(pools, cpu=36.0))
    (note,) = (note for note in plan.notes[0] if note.code is Code.TOO_SOON)
    assert note.numbers["short_nodes"] == 4
    assert 40 < plan.minutes_planned[0] < 90  # three steps until they are Ready, then one in forty of every step


def test_actions_are_ordered_by_risk_then_by_saving(stage):
    names = ("a/calm", "b/risky", "c/dear", "d/cheap", "e/risk")
    pools = stage.pools(5, names=names, current=[5, 6, 20, 20, 6], price_usd_per_hour=[0.2, 0.2, 0.9, 0.1, 0.2])
    cpu = np.repeat([[18.0], [30.0], [18.0], [18.0], [22.4]], 96, axis=1)
    plan = stage.plan(pools, stage.forecast(pools, cpu=cpu))
    assert [names[row] for row in plan.order] == ["b/risky", "e/risk", "c/dear", "d/cheap", "a/calm"]
    assert plan.priority[0] is Priority.NONE
    assert plan.priority[1] is Priority.HIGH
    assert plan.priority[2] is plan.priority[3] is Priority.LOW


def test_as_of_needs_a_time_zone(stage):
    with pytest.raises(InvalidInput, match="time zone"):
        decide_plan(stage.pools(), None, stage.policy, stage.now.replace(tzinfo=None))


def test_bounds_that_make_no_sense_are_refused_with_the_pools_name(stage):
    with pytest.raises(InvalidInput, match="c000/web"):
        stage.pools(min_nodes=9, max_nodes=3)


ROW = st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(0, 20), st.sampled_from([60.0, 900.0, 3600.0]),
                st.sampled_from([1, 1, 3]), st.booleans(), st.integers(0, 2**32))  # fmt: skip


@settings(max_examples=80)
@given(rows=st.lists(ROW, min_size=1, max_size=5))
def test_what_holds_for_every_plan(stage, rows):
    current, low, room, boot, group, gap, seeds = (list(column) for column in zip(*rows, strict=True))
    high = [bound + more for bound, more in zip(low, room, strict=True)]
    pools = stage.pools(len(rows), current=current, ready=current, min_nodes=low, max_nodes=high, boot_s=boot,
                        multiple_of=group)  # fmt: skip
    cpu = np.stack([np.random.default_rng(seed).uniform(0, 90, stage.steps) for seed in seeds])
    cpu[np.array(gap), 7] = np.nan
    plan = stage.plan(pools, stage.forecast(pools, cpu=cpu))
    now = np.array(current)[:, None]
    known = plan.planned()
    moved = plan.sizes != now
    least, most, each = (np.array(column)[:, None] for column in (low, high, group))
    fits = -(-least // each) * each <= most // each * each
    inside = (plan.sizes >= least) & (plan.sizes <= most)
    whole = (plan.sizes % each == 0) | ~fits
    blind = np.array(gap)[:, None]
    assert (inside | ~moved | blind).all()
    assert (whole | ~moved).all()
    assert (plan.sizes >= now)[np.array(gap)].all()
    assert (plan.sizes >= np.minimum(plan.needed, np.where(fits, most // each * each, most)))[known].all()
    assert ((plan.minutes_planned >= 0) & (plan.minutes_planned <= 1440 + 1e-6))[known].all()
    assert sorted(plan.order.tolist()) == list(range(len(rows)))
    assert json.dumps([plan.total(), plan.timeline(), *plan.to_records()], allow_nan=False)


@settings(max_examples=30)
@given(rows=st.lists(ROW, min_size=2, max_size=5), data=st.data())
def test_a_pools_plan_does_not_depend_on_the_others_or_on_their_order(stage, rows, data):
    names = tuple(f"c{row}/p" for row in range(len(rows)))
    order = data.draw(st.permutations(range(len(rows))))

    def planned(chosen):
        current, low, room, boot, group, _, seeds = (
            list(column) for column in zip(*(rows[r] for r in chosen), strict=True)
        )
        pools = stage.pools(
            len(chosen), names=[names[row] for row in chosen], current=current, min_nodes=low,
            max_nodes=[a + b for a, b in zip(low, room, strict=True)], boot_s=boot, multiple_of=group,
        )  # fmt: skip
        cpu = np.stack([np.random.default_rng(seed).uniform(0, 90, stage.steps) for seed in seeds])
        return {
            record["pool"]: record | {"rank": 0}
            for record in stage.plan(pools, stage.forecast(pools, cpu=cpu)).to_records()
        }

    assert planned(range(len(rows))) == planned(order)
    assert planned(order)[names[0]] == planned([0])[names[0]]


def test_more_parts_than_one_give_the_same_plan(stage, monkeypatch):
    pools = stage.pools(7, current=[2, 4, 6, 8, 10, 12, 14])
    forecast = stage.forecast(pools, cpu=np.random.default_rng(3).uniform(5, 40, (7, 96)))
    whole = list(stage.plan(pools, forecast).to_records())
    monkeypatch.setattr("tasks.resource_plan.decide.plan.AT_ONCE", 3)
    assert list(stage.plan(pools, forecast).to_records()) == whole


def test_a_pool_more_costs_a_plan_a_few_calls_and_no_pass_of_its_own(stage):
    rng = np.random.default_rng(0)

    def work(count):
        current = rng.integers(2, 20, count)
        pools = stage.pools(count, names=[f"c{row}/p" for row in range(count)], current=current, ready=current)
        day = 1 + 0.4 * np.sin(np.arange(96) / 96 * 2 * np.pi + rng.uniform(0, 6, (count, 1)))
        forecast = stage.forecast(pools, cpu=current[:, None] * 3 * day)
        assert decide_plan(pools, forecast, stage.policy, stage.now).planned().all()
        return calls(lambda: decide_plan(pools, forecast, stage.policy, stage.now))

    # its notes are a pool's own, some twenty calls; all else is done for all at once
    assert work(2_020) - work(20) < 25 * 2_000


def test_a_pool_that_shrinks_takes_no_risk_away_and_has_low_priority(stage):
    pools = stage.pools(current=6)
    plan = stage.plan(pools, stage.forecast(pools, cpu=18.0, spread=0.1))
    assert plan.action == (Step.SHRINK,)
    assert plan.minutes_planned[0] > plan.minutes_as_is[0] > 1
    assert plan.priority == (Priority.LOW,)
