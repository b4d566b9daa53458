"""Scores of sizes over demand: against a slow count minute by minute, and where nothing may be counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.scaling.decide import POLICIES
from tasks.scaling.decide.marks import score_hour
from tasks.scaling.decide.scoring import (
    STALE_MIN,
    Span,
    Tally,
    by_minute,
    counted,
    live_sizes,
    own_sizes,
    ready_of,
    stay,
)

HABITS = replace(POLICIES["predictive"], down_stabilisation_s=900.0, max_step_down_ratio=0.25, max_step_down_nodes=2)
UNKNOWN = np.array([np.nan])
HOUR = (120, 180)


def span(load: Any, desired: Any, want: Any = None, acted_to: Any = None, *, ready: Any = None, every: int = 5,
         boot_min: int = 4, low: float = 1, high: float = 40) -> Span:  # fmt: skip
    """One pool; a pass every so many minutes."""
    seen = np.array(desired, np.float64)[None, :]
    count = seen.shape[1]
    spread = np.broadcast_to(np.asarray(load, np.float64), (every * count,))[None, :].copy()
    none = np.full(seen.shape, np.nan)
    return Span(
        unique_id=("eu-eks/web",), start_s=0, load=spread, at_min=np.arange(count) * every, desired=seen,
        ready=seen if ready is None else np.array(ready, np.float64)[None, :],
        want=seen if want is None else np.array(want, np.float64)[None, :],
        acted_to=none if acted_to is None else np.array(acted_to, np.float64)[None, :],
        low=np.where(np.isnan(seen), np.nan, low), high=np.where(np.isnan(seen), np.nan, high),
        boot_min=np.array([boot_min]),
    )  # fmt: skip


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), boot=st.integers(0, 12), gaps=st.booleans())
def test_sums_by_bin_are_those_of_a_slow_count(seed, boot, gaps):
    rng = np.random.default_rng(seed)
    load = rng.uniform(0, 12, 60)
    load[rng.random(60) < 0.2 * gaps] = np.nan
    desired = np.repeat(rng.integers(1, 12, 12), 5).astype(np.float64)[None, :]
    world = span(load, np.ones(12), boot_min=boot)
    found = counted(world, desired, ready_of(desired, world.boot_min), np.ones((1, 60), np.bool_), 0.9)
    bad, paid, known = np.zeros(12), np.zeros(12), np.zeros(12)
    for minute in range(60):
        if np.isnan(load[minute]):
            continue
        ready = min(desired[0, max(minute - back, 0)] for back in range(boot + 1))
        bad[minute // 5] += load[minute] > 0.9 * ready
        paid[minute // 5] += desired[0, minute]
        known[minute // 5] += 1
    assert found.violation_minutes[0].tolist() == bad.tolist()
    assert found.node_minutes[0].tolist() == paid.tolist()
    assert found.minutes[0].tolist() == known.tolist()


def test_a_size_that_no_pass_confirms_is_known_for_half_an_hour():
    world = span(1.0, [5, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 6])
    found = by_minute(world, world.desired)[0]
    assert found[: STALE_MIN + 1].tolist() == [5.0] * (STALE_MIN + 1)
    assert np.isnan(found[STALE_MIN + 1 : 45]).all()
    assert found[45:].tolist() == [6.0] * 5


def test_without_our_acts_the_live_rule_is_what_was_seen():
    live = live_sizes(span(1.0, [5, 7, np.nan, 6]), UNKNOWN, UNKNOWN, 99)
    assert live.nodes[0].tolist() == pytest.approx([5, 7, np.nan, 6], nan_ok=True)
    assert not live.acting.any()


def test_from_our_first_act_on_the_live_rule_stays_at_the_size_of_before():
    live = live_sizes(span(1.0, [5, 8, 8, 9], acted_to=[8, np.nan, 9, np.nan]), UNKNOWN, UNKNOWN, 99)
    assert live.nodes[0].tolist() == [5, 5, 5, 5]
    assert live.acting[0].tolist() == [False, True, True, True]
    assert (live.held[0], live.set_to[0]) == (5, 9)


def test_a_size_that_somebody_else_sets_is_the_live_rules_again():
    live = live_sizes(span(1.0, [5, 8, 12, 11], acted_to=[8, np.nan, np.nan, np.nan]), UNKNOWN, UNKNOWN, 99)
    assert live.nodes[0].tolist() == [5, 5, 12, 11]
    assert np.isnan(live.held[0])


def test_what_is_carried_on_is_as_it_is_where_the_next_span_begins():
    whole = span(1.0, [5, 8, 8, 8], acted_to=[8, np.nan, np.nan, np.nan])
    carried = live_sizes(whole, UNKNOWN, UNKNOWN, 5)
    later = span(1.0, [8, 8, 8])
    assert live_sizes(later, carried.held, carried.set_to, 99).nodes[0].tolist() == [5, 5, 5]
    assert np.isnan(live_sizes(whole, UNKNOWN, UNKNOWN, 0).held[0])


def test_in_shadow_our_size_follows_the_recorded_wants_up_at_once_and_down_after_a_quarter_of_an_hour():
    want = [4, 9, 4, 4, 4, 4, 4]
    world = span(1.0, [4] * 7, want)
    nowhere = np.zeros(world.desired.shape, np.bool_)
    assert own_sizes(world, nowhere, HABITS)[0].tolist() == [4, 9, 9, 9, 9, 7, 5]


def test_in_shadow_our_size_stays_within_bounds_and_steps():
    world = span(1.0, [5] * 3, [60, 60, 60], high=20)
    sizes = own_sizes(world, np.zeros(world.desired.shape, np.bool_), HABITS)[0]
    assert sizes.tolist() == [15, 20, 20]


def test_while_we_act_our_size_is_the_one_that_was_seen():
    world = span(1.0, [5, 6, 7], [20, 20, 20])
    assert own_sizes(world, np.ones(world.desired.shape, np.bool_), HABITS)[0].tolist() == [5, 6, 7]


def test_a_pass_that_did_not_look_at_the_pool_leaves_our_size():
    world = span(1.0, [5, np.nan, 5], [8, np.nan, 8])
    assert own_sizes(world, np.zeros(world.desired.shape, np.bool_), HABITS)[0].tolist() == [8, 8, 8]


def test_staying_counts_the_ready_nodes_until_those_that_boot_are_there():
    world = span(4.0, [6] * 4, ready=[4] * 4, boot_min=7)
    violations, node_minutes, minutes = stay(world, 1, 20, 0.9)
    assert (violations[0], node_minutes[0], minutes[0]) == (7, 90, 15)


def hour(world: Span, decisions: list[dict[str, Any]] | None = None, baselines: Any = None) -> Any:
    return score_hour(world, decisions or [], POLICIES["predictive"], baselines or {}, UNKNOWN, UNKNOWN, hour=HOUR)


def decision(minute: int, **more: Any) -> dict[str, Any]:
    promised = {"violation_minutes_if_not": 3.0, "violation_minutes_if_changed": 1.0, "node_hours_delta": 2.0}
    return {"pool": 0, "minute": minute, "acted": False, "current": 4, "horizon_s": 3600.0} | promised | more


def test_cards_of_an_hour_hold_ours_beside_the_live_rule_over_the_same_minutes():
    load = np.full(240, 4.0)
    load[150:155] = np.nan
    scored = hour(span(load, [4] * 48, [6] * 48))
    ours, live = scored.cards["ours"]["eu-eks/web"], scored.cards["live"]["eu-eks/web"]
    assert live == {"violation_minutes": 55.0, "node_hours": pytest.approx(4 * 55 / 60), "minutes": 55.0}
    assert ours == {"violation_minutes": 0.0, "node_hours": pytest.approx(6 * 55 / 60), "minutes": 55.0}


def test_an_outcome_tells_what_happened_over_the_horizon_beside_every_rule():
    load = np.full(240, 3.0)
    load[170:200] = 9.0
    always_ten = Tally(np.zeros((1, 48)), np.full((1, 48), 50.0), np.full((1, 48), 5.0))
    (outcome,) = hour(span(load, [4] * 48, [4] * 48), [decision(150)], {"ten": lambda _: always_ten}).outcomes
    happened, rules = outcome
    assert happened == {"violation_minutes": 30.0, "node_hours": 4.0, "minutes": 60.0}
    assert rules["stay"] == rules["ours"] == happened
    assert rules["ten"] == {"violation_minutes": 0.0, "node_hours": 10.0, "minutes": 60.0}


def test_promises_are_held_against_what_came():
    load = np.full(240, 3.0)
    load[170:200] = 9.0
    world = span(load, [4] * 48, acted_to=[np.nan] * 30 + [6] + [np.nan] * 17)
    promised = hour(world, [decision(125), decision(150, acted=True)]).cards["promise"]["eu-eks/web"]
    assert promised["decisions"] == 2
    assert promised["promised_violation_minutes"] == 3.0 + 1.0
    assert promised["promised_node_hours"] == 4.0 + 6.0
    assert promised["realised_violation_minutes"] == 15.0 + 30.0


def test_a_promise_whose_horizon_is_not_known_nearly_whole_is_not_held_against_anything():
    load = np.full(240, 3.0)
    load[150:160] = np.nan
    assert hour(span(load, [4] * 48), [decision(125)]).cards["promise"] == {}


def test_no_demand_at_all_counts_no_minute():
    scored = hour(span(np.nan, [4] * 48), [decision(125)])
    assert scored.cards["live"]["eu-eks/web"] == {"violation_minutes": 0.0, "node_hours": 0.0, "minutes": 0.0}
    assert scored.outcomes[0][0]["minutes"] == 0.0


def test_ours_is_counted_only_where_the_live_rule_is_known_too():
    desired = [4.0] * 26 + [np.nan] * 22
    scored = hour(span(np.full(240, 3.0), desired, [4.0] * 48))
    ours, live = scored.cards["ours"]["eu-eks/web"], scored.cards["live"]["eu-eks/web"]
    assert ours == live
    assert live["minutes"] == 125 + STALE_MIN + 1 - 120


def test_staying_at_the_size_of_before_our_acts_has_that_size_ready():
    acted = [np.nan] * 10 + [3.0] + [np.nan] * 37
    world = span(np.full(240, 4.0), [5.0] * 11 + [3.0] * 37, [3.0] * 48, acted)
    scored = hour(world)
    assert scored.cards["live"]["eu-eks/web"]["violation_minutes"] == 0
    assert scored.cards["live"]["eu-eks/web"]["node_hours"] == 5
    assert scored.cards["ours"]["eu-eks/web"]["violation_minutes"] == 60
