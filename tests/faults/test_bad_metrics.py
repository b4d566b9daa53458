"""Metrics that freeze, lie or go, forecasts that are missing or old: nothing shrinks, and the decision says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blocks.errors import ContinuumError
from blocks.store.tables import State
from deployments.simulation import Simulation
from tasks.run import Run
from tasks.scaling.pool_access import open_pool
from tests.faults.conftest import SPEED
from tests.faults.laws import Laws
from tests.faults.scenes import POLICY, Pass, a_pass, forecast_of_now

BIG, SMALL = "us-gke/web", "eu-eks/web"  # one that a healthy pass shrinks, one that it grows
STALE_S = POLICY.stale_after_s + 300 + 120  # Prometheus itself carries a sample forward for five minutes


@pytest.fixture
def too_big(run: Run, laws: Laws) -> None:
    laws.somebody_set(BIG, open_pool(run.fleet, BIG).pool.max_nodes)


@pytest.fixture
def too_small(run: Run, laws: Laws) -> None:
    laws.somebody_set(SMALL, open_pool(run.fleet, SMALL).pool.min_nodes)


def nothing_shrank(told: Pass, run: Run) -> bool:
    return not [row for row in told.rows if row.action == "down"] and told.results == [] == run.journal.intents()


def test_with_good_metrics_and_a_forecast_the_pool_shrinks(
    run: Run, simulation: Simulation, laws: Laws, too_big: None
) -> None:
    simulation.set_speed(0)  # on a slow machine the forecast would be stale before it is read
    forecast_of_now(run)
    told = a_pass(run, [BIG], before_acting=lambda: simulation.set_speed(SPEED))
    assert [(result.subject, result.state) for result in told.results] == [(BIG, State.DONE)]
    assert told.of(BIG).action == "down"
    laws.check()


@pytest.mark.parametrize(
    ("kind", "more", "after_s", "code", "words"),
    [
        ("metrics-freeze", {}, STALE_S, "stale-data", "old"),
        ("metrics-nan", {}, STALE_S, "stale-data", "old"),
        ("metrics-missing", {}, 3600.0, "missing-data", "is missing"),
        ("clock-skew", {"seconds": -STALE_S}, STALE_S, "stale-data", "old"),
    ],
)
def test_metrics_that_cannot_be_believed_lower_nothing_and_the_decision_says_so(
    run: Run, simulation: Simulation, laws: Laws, too_big: None, kind: str, more: dict[str, float],
    after_s: float, code: str, words: str,
) -> None:  # fmt: skip
    simulation.set_speed(0)  # a slow machine lets no time pass but this
    simulation.add_fault({"kind": kind, "cluster": "us-gke", **more})
    simulation.advance(after_s)
    forecast_of_now(run)
    told = a_pass(run, [BIG])
    assert (told.of(BIG).action, code in told.codes(BIG)) == ("refuse", True), told.words(BIG)
    assert words in told.words(BIG)
    assert nothing_shrank(told, run)
    laws.check()


def test_a_source_of_metrics_that_is_gone_ends_the_pass_in_one_line(
    run: Run, laws: Laws, simulation: Simulation
) -> None:
    simulation.add_fault({"kind": "api", "api": "prometheus", "effect": "reset"})
    with pytest.raises(ContinuumError, match="metrics"):
        a_pass(run)
    assert run.journal.intents() == []
    laws.check()


def old(run: Run) -> None:
    forecast_of_now(run, age_s=POLICY.forecast_stale_after_s + 600)


@pytest.mark.parametrize(("given", "code"), [(lambda run: None, "forecast-missing"), (old, "forecast-stale")])
def test_without_a_forecast_to_believe_present_demand_decides_and_nothing_shrinks(
    run: Run, laws: Laws, too_big: None, too_small: None, given: Callable[[Run], None], code: str
) -> None:
    given(run)
    told = a_pass(run, [BIG, SMALL])
    assert (told.of(BIG).action, told.of(SMALL).action) == ("refuse", "up")
    assert code in told.codes(BIG) & told.codes(SMALL)
    assert "forecast" in told.words(SMALL)
    assert [(result.subject, result.state) for result in told.results] == [(SMALL, State.DONE)]
    laws.check(hurt=["eu-eks"])  # by whoever took its nodes away
