"""The gate: who may be acted upon, and what the others are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scaling.decide import Action, ReasonCode, Totals, gate
from tasks.scaling.decide.gate import beats
from tasks.scaling.report import explain

WEEK = 7 * 1440.0
NUMBERS = st.floats(0, 1000)
SUMS = st.builds(Totals, NUMBERS, NUMBERS, st.just(WEEK))


@pytest.fixture
def growing(stage):
    return stage.scene(cpu_cores=20.0).decide()


def gated(decisions, ours=None, live=None, days=7):
    name = decisions.unique_id[0]
    return gate(decisions, {name: ours} if ours else {}, {name: live} if live else {}, days)


def codes(decisions):
    return [reason.code for reason in decisions.reasons[0]]


def test_a_pool_that_beat_the_live_rule_is_not_held_back(growing):
    held = gated(growing, Totals(3, 700, WEEK), Totals(9, 700, WEEK))
    assert held.to_records() == growing.to_records()


@pytest.mark.parametrize("ours", [Totals(9, 700, WEEK), Totals(3, 701, WEEK), Totals(10, 650, WEEK)])
def test_a_pool_that_did_not_is_held_back_with_the_numbers(growing, ours):
    (record,) = gated(growing, ours, Totals(9, 700, WEEK)).to_records()
    assert record["action"] == Action.UP
    assert record["reasons"][-1]["code"] == ReasonCode.GATE_NOT_BETTER
    words = explain(record)
    assert f"ours had {ours.violation_minutes:.1f} min in violation and {ours.node_hours:.1f} node-hours" in words
    assert "the live rule 9.0 min and 700.0 node-hours" in words


@pytest.mark.parametrize("minutes", [0.0, 0.79 * WEEK])
def test_too_little_score_holds_back(growing, minutes):
    held = gated(growing, Totals(0, 1, minutes), Totals(9, 700, minutes))
    assert codes(held)[-1] == ReasonCode.GATE_UNSCORED
    assert "of the 134.4 h that the gate asks for" in explain(held.to_records()[0])


def test_no_score_at_all_holds_back(growing):
    assert codes(gated(growing))[-1] == ReasonCode.GATE_UNSCORED


def test_what_does_not_change_needs_no_gate(stage):
    calm = stage.scene(cpu_cores=16.0).decide()
    assert calm.action[0] == Action.HOLD
    assert gated(calm).to_records() == calm.to_records()


@given(ours=SUMS, live=SUMS)
def test_two_rules_never_beat_each_other_and_nothing_beats_itself(ours, live):
    assert not (beats(ours, live) and beats(live, ours))
    assert not beats(ours, ours)


@given(live=SUMS, less=st.floats(0.01, 1), more=st.floats(0, 5))
def test_more_violations_at_more_node_hours_never_pass(live, less, more):
    worse = Totals(live.violation_minutes + less, live.node_hours + more, WEEK)
    assert not beats(worse, live)
