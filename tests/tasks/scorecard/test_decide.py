"""Sums of the fleet's scorecard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.scorecard.decide import Counted, PoolSums, by_flow, promises, savings

AT = datetime(2026, 3, 10, tzinfo=UTC)


def test_the_mode_of_a_flow_is_that_of_its_newest_decision() -> None:
    rows = [Counted("f", "up", "act", "acted", 3, AT), Counted("f", "up", "shadow", "recorded", 9, AT - timedelta(1)),
            Counted("f", "up", "act", "undone", 1, AT), Counted("a", "hold", "shadow", "recorded", 1, AT)]  # fmt: skip
    a, f = by_flow(rows)
    assert (a.flow, a.mode, a.acted) == ("a", "shadow", 0)
    assert (f.mode, f.decisions, f.acted, f.states["undone"]) == ("act", 13, 4, 1)


def test_what_was_not_promised_or_not_measured_is_in_no_sum() -> None:
    found = promises([({"a": 1.0, "b": 1.0}, {"a": 2.0, "c": 3.0}, {}), ({"a": 4.0}, {"a": 4.0}, {})])
    assert list(found) == ["a"]
    assert (found["a"].count, found["a"].promised, found["a"].happened) == (2, 5.0, 6.0)


def test_a_baseline_that_some_decisions_lack_is_left_out() -> None:
    rows = [({"a": 1.0}, {"a": 1.0}, {"stay": {"a": 2.0}, "other": {"a": 9.0}}),
            ({"a": 1.0}, {"a": 1.0}, {"stay": {"a": 3.0}})]  # fmt: skip
    assert promises(rows)["a"].baselines == {"stay": 5.0}


def test_savings_leave_pools_without_a_price_out_of_the_money_alone() -> None:
    found = savings([PoolSums(1, 10, 5, 12, 0.5, 100.0), PoolSums(0, 8, 0, 7)])
    assert found is not None
    assert (found.violation_minutes, found.node_hours) == (4, 1)
    assert (found.usd, found.carbon_g) == (pytest.approx(1.0), pytest.approx(200.0))
    assert (found.pools, found.unpriced, found.unmetered) == (2, 1, 1)
    assert savings([]) is None
