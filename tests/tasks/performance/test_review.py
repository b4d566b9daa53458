"""Bottlenecks, advice, trends and breaches of made weeks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from tasks.performance.decide.advice import Step
from tasks.performance.decide.bottlenecks import Rule
from tasks.performance.decide.review import Review, decide_review
from tasks.performance.decide.trends import accident, trends
from tasks.performance.decide.week import Week

NOW = datetime(2026, 3, 10, tzinfo=UTC)
GIB = 2.0**30
DAYS, STEPS = 7, 288
CORES, MEMORY = 4.0, 16 * GIB


def week(cpu: Any = 8.0, memory: Any = 32 * GIB, nodes: Any = 5.0, **columns: Any) -> Week:
    """One pool of nodes of 4 cores and 16 GiB; of what is given each broadcasts to (D, T)."""
    shape = 1, DAYS, STEPS
    rows = [np.broadcast_to(np.asarray(each, np.float32), shape) for each in (cpu, memory)]
    one = {
        "current": 5.0,
        "min_nodes": 1.0,
        "max_nodes": 10.0,
        "requested_nodes": 0.5,
        "price_usd_per_hour": 0.5,
        "paid_nodes": 0.0,
    }
    none = np.full((1, 2), np.nan)
    return Week(
        NOW, 300, ("eu/web",), np.stack(rows, axis=1), np.broadcast_to(np.asarray(nodes, np.float32), shape),
        np.array([[CORES, MEMORY]]), **{name: np.array([columns.get(name, value)]) for name, value in one.items()},
        breach_chance=np.zeros((1, 2)), breach_at_s=none, breach_peak=none,
    )  # fmt: skip


def review(made: Week) -> Review:
    return decide_review(made, {})


def busy(level: float, *, days: int = DAYS, minutes: int = 60) -> np.ndarray:
    """2 cores, and so many for an hour of each of the first days."""
    found = np.full((DAYS, STEPS), 2.0)
    found[:days, 100 : 100 + minutes // 5] = level
    return found


def test_a_calm_week_has_nothing_to_tell() -> None:
    told = review(week())
    assert (told.bottlenecks, told.advice, told.trends, told.breaches, told.known_ratio) == ((), (), (), (), 1.0)


def test_six_bad_days_of_seven_are_a_bottleneck_and_five_are_none() -> None:
    (found,) = review(week(busy(19.0, days=6))).bottlenecks
    assert (found.rule, found.resource, found.bad_days, found.confidence) == (Rule.SATURATED, "cpu_cores", 6, 0.8125)
    assert found.minutes == pytest.approx(60 * 6 / 7)
    assert review(week(busy(19.0, days=5))).bottlenecks == ()


def test_a_pool_that_may_not_grow_is_told_to_be_at_its_maximum() -> None:
    (found,) = review(week(busy(17.0), max_nodes=5.0)).bottlenecks
    assert found.rule is Rule.AT_MAXIMUM
    assert not review(week(busy(17.0))).bottlenecks


def test_work_queues_in_a_small_pool_long_before_it_is_full() -> None:
    (found,) = review(week(2.6, nodes=1.0, memory=2 * GIB)).bottlenecks
    assert (found.rule, found.bad_days) == (Rule.QUEUEING, 7)
    assert found.worst == pytest.approx(0.36, abs=0.01)  # Erlang C of 4 servers with 2.6 erlangs
    (told,) = review(week(2.6, nodes=1.0, memory=2 * GIB)).advice
    assert (told.step, told.nodes, told.minutes_after) == (Step.RAISE_FLOOR, 2, 0)
    assert not review(week(6.5 * 4, nodes=10.0, memory=2 * GIB)).bottlenecks


@given(st.integers(0, DAYS * STEPS), st.booleans())
def test_what_is_not_known_is_never_a_bottleneck_nor_a_saving(gap: int, of_nodes: bool) -> None:
    hidden = np.full(DAYS * STEPS, 19.0)
    hidden[gap:] = np.nan
    hidden = hidden.reshape(DAYS, STEPS)
    made = week(8.0, nodes=hidden, current=np.nan, min_nodes=9.0) if of_nodes else week(hidden, min_nodes=9.0)
    told = review(made)
    whole_days = int((np.isfinite(hidden).mean(axis=1) >= 0.5).sum())
    assert all(each.days == whole_days for each in told.bottlenecks)
    assert whole_days > 1 or not told.bottlenecks
    assert gap == DAYS * STEPS or Step.LOWER_FLOOR not in {each.step for each in told.advice}


def test_the_floor_that_is_advised_is_the_lowest_that_leaves_no_bad_day() -> None:
    made = week(busy(19.0))
    (told,) = review(made).advice
    assert (told.step, told.nodes) == (Step.RAISE_FLOOR, 6)

    def bad(nodes: int) -> int:
        return len(review(replace(made, nodes=np.maximum(made.nodes, nodes))).bottlenecks)

    assert [bad(nodes) for nodes in (5, 6)] == [1, 0]
    assert (told.minutes_before, told.minutes_after) == (60, 0)
    assert (told.node_hours, told.usd) == (24.0, 12.0)


def test_more_than_the_pool_may_have_is_a_raised_maximum() -> None:
    (told,) = review(week(busy(30.0), max_nodes=6.0)).advice
    assert (told.step, told.from_nodes, told.nodes) == (Step.RAISE_MAXIMUM, 6, 9)
    assert told.node_hours == pytest.approx(4.0)  # only while it is needed


def test_a_floor_that_nothing_needs_may_be_lowered_but_not_below_what_pods_request() -> None:
    (told,) = review(week(8.0, nodes=8.0, min_nodes=8.0)).advice
    assert (told.step, told.nodes, told.minutes_after) == (Step.LOWER_FLOOR, 4, 0)
    assert told.usd == pytest.approx(-24 * 4 * 0.5)
    (told,) = review(week(8.0, nodes=8.0, min_nodes=8.0, requested_nodes=5.2)).advice
    assert told.nodes == 6
    assert not review(week(8.0, nodes=8.0, min_nodes=8.0, requested_nodes=np.nan)).advice
    (told,) = review(week(8.0, nodes=8.0, min_nodes=8.0, paid_nodes=7.0)).advice
    assert (told.node_hours, told.usd) == (-96.0, -12.0)  # seven of the eight are paid for anyway


def test_growth_is_a_trend_and_passes_the_maximum_on_its_day() -> None:
    grows = 8.0 + np.arange(DAYS)[:, None] * np.ones(STEPS)
    told = review(week(grows, max_nodes=5.0, nodes=20.0))
    (trend,) = told.trends
    assert (trend.subject, trend.what, trend.level) == ("eu/web", "cpu_cores", 14.0)
    assert trend.change_ratio == pytest.approx(0.5)
    (breach,) = told.breaches
    assert (breach.by, breach.in_days) == ("trend", pytest.approx(4.0))  # 18 cores are 90 % of five nodes


def test_a_forecast_that_passes_the_maximum_is_told_with_its_chance() -> None:
    made = replace(week(), breach_chance=np.array([[0.5, 0.0]]), breach_peak=np.array([[40.0, np.nan]]),
                   breach_at_s=np.array([[NOW.timestamp() + 7200, np.nan]]))  # fmt: skip
    (breach,) = review(made).breaches
    assert (breach.by, round(breach.in_days * 24), breach.confidence) == ("forecast", 2, 0.5)


def test_health_that_falls_is_a_trend() -> None:
    (trend,) = decide_review(week(), {"edge": np.linspace(1.0, 0.7, DAYS)}).trends
    assert (trend.subject, trend.what) == ("health", "edge")
    assert trend.change_ratio == pytest.approx(-0.5)


@given(st.lists(st.floats(-100, 100) | st.just(np.nan), min_size=7, max_size=7))
def test_the_slope_is_theil_and_sens(days: list[float]) -> None:
    found, known = trends(np.array([days])), np.isfinite(days)
    if known.sum() < 3:
        assert found.confidence[0] == 0
        return
    assert found.slope_per_day[0] == pytest.approx(theilslopes(np.array(days)[known], np.flatnonzero(known))[0])


@pytest.mark.parametrize("days", [3, 5, 6])
def test_the_chance_of_an_accident_is_that_over_all_orders(days: int) -> None:
    pairs = [(a, b) for b in range(days) for a in range(b)]
    scores = np.array([sum(1 if order[a] < order[b] else -1 for a, b in pairs) for order in permutations(range(days))])
    for score in range(-len(pairs), len(pairs) + 1):
        assert accident(days, score) == pytest.approx((scores >= score).mean())
