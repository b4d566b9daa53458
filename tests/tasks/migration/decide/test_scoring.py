"""A move is held against staying over the same slots; slots that are not measured count for neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.migration.decide.scoring import Course, score_move

ANY = arrays(np.float64, (6,), elements=st.one_of(st.floats(0.1, 100), st.just(np.nan)))


def course(latency: object, usd: float = 1.0, grams: float = 0.0, errors: float = np.nan) -> Course:
    values = np.asarray(latency, np.float64)
    return Course(values, *(np.full(len(values), each) for each in (usd, grams, errors)))


def score(there: Course, stay: Course) -> tuple[dict[str, float], dict[str, float]]:
    return score_move(there, stay, usual_ms=50.0, usual_usd=2.0, carbon_usd_per_g=1e-4, slot_s=900.0)


def test_what_it_brought_is_the_difference_of_the_objective_slot_by_slot() -> None:
    happened, stay = score(course([10.0, 20.0], usd=1.0, grams=100), course([60.0, 70.0], usd=2.0, grams=300))
    assert happened["benefit_slots"] == pytest.approx(2 * (0.5 * 50 / 50 + 0.5 * 1.02 / 2))
    assert (happened["latency_ms"], stay["latency_ms"], happened["minutes"]) == (15.0, 65.0, 30.0)
    assert (happened["carbon_g_per_hour"], stay["carbon_g_per_hour"]) == (100, 300)


def test_errors_that_would_have_gone_on_count_for_the_move() -> None:
    happened, _ = score(course([50.0], errors=0.0), course([50.0], errors=0.5))
    assert happened["benefit_slots"] == pytest.approx(2.0)


@given(ANY, ANY)
def test_a_slot_counts_where_both_are_measured_and_the_way_back_brings_the_opposite(one, other) -> None:
    there, stay = course(one), course(other, usd=3.0)
    known = np.isfinite(one) & np.isfinite(other)
    happened, stayed = score(there, stay)
    assert happened["minutes"] == stayed["minutes"] == 15 * known.sum()
    back, _ = score(stay, there)
    assert back["benefit_slots"] == pytest.approx(-happened["benefit_slots"])


def test_without_any_slot_nothing_is_said() -> None:
    happened, stay = score(course([np.nan]), course([1.0]))
    assert happened == stay == {"minutes": 0.0, "benefit_slots": 0.0}


def test_money_that_did_not_count_in_the_decision_does_not_count_now() -> None:
    there, stay = course([50.0], usd=np.nan), course([100.0], usd=1.0)
    happened, _ = score_move(there, stay, usual_ms=50.0, usual_usd=None, carbon_usd_per_g=1e-4, slot_s=900.0)
    assert happened["benefit_slots"] == pytest.approx(0.5)
    assert "usd_per_hour" not in happened
    assert score(replace(there), stay)[0]["minutes"] == 0
