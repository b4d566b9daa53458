"""Hours of shadow passes against the simulated fleet, scored; and a gate that lets nobody act who has no score."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from blocks.fleet import Fleet
from blocks.store import Store
from blocks.store.tables import Mode, Scorecard, Verdict
from deployments.simulation import Simulation, ready, starting_simulation
from flows.cluster_scaling import ScalingRequest, cluster_scaling
from flows.demand_forecasting import demand_forecasting
from flows.scaling_scorecard import ScorecardRequest, scaling_scorecard
from tests.flows.conftest import START
from tests.flows.shortcuts import QUICK, asked_for, changes, sizes

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """A simulated fleet of its own: hours pass in here, and other files count on the morning."""
    with starting_simulation(tmp_path_factory.mktemp("own") / "local", speed=60, seed=7, start=START) as child:
        yield ready(child)


def scored_hours(told: list[dict], pool: str, better: bool, days: int = 1) -> list[Scorecard]:
    """Cards of whole days in which ours had half the live rule's violations, or twice as many."""
    end = datetime.fromisoformat(told[0]["as_of"])
    return [
        Scorecard(flow="cluster-scaling", subject=pool, method=method, period_start=end - timedelta(hours=back + 1),
                  period_end=end - timedelta(hours=back),
                  scores={"violation_minutes": minutes, "node_hours": 5.0, "minutes": 60.0})
        for back in range(24 * days - 1)
        for method, minutes in (("ours", 1.0 if better else 4.0), ("live", 2.0))
    ]  # fmt: skip


def test_hours_of_shadow_are_scored_once_with_an_outcome_for_each_decision(
    fleet: Fleet, simulation: Simulation
) -> None:
    demand_forecasting(QUICK)
    for _ in range(18):
        cluster_scaling(ScalingRequest())
        simulation.advance(900)
    demand_forecasting(QUICK)
    told = scaling_scorecard()
    store = Store.open()
    assert told["hours"] >= 2
    assert told["decisions"] > 0
    until = datetime.fromisoformat(told["scored_until"])
    every = list(store.decided("cluster-scaling", until - timedelta(days=1), until))
    outcomes = store.outcomes([row.id for row in every])
    assert len(outcomes) == len(every) == told["decisions"]
    whole = [outcome for outcome in outcomes.values() if outcome.happened["minutes"] == 60]
    assert whole
    assert all(set(outcome.baselines) == {"stay", "ours", "seed", "target-tracking"} for outcome in whole)
    assert set(told["pools"]) == {f"{cluster.name}/{pool.name}" for cluster, pool in fleet.pools()}
    web = told["pools"]["eu-eks/web"]["rules"]
    assert web["ours"]["minutes"] == web["live"]["minutes"] > 60
    titles = [section.title for section in store.sections(flow="scaling-scorecard")]
    assert titles == ["Scorecard: our sizes beside the rule that is live", "Scorecard: promised against realised"]
    again = scaling_scorecard(ScorecardRequest())
    assert again["hours"] == 0
    assert again["pools"] == told["pools"]


def test_the_gate_lets_no_pool_act_that_has_no_score(fleet: Fleet, simulation: Simulation, off_size: str) -> None:
    demand_forecasting(QUICK)
    before = sizes(fleet)
    log = asked_for(simulation)
    told = cluster_scaling(ScalingRequest(mode=Mode.ACT, gate_days=1), [off_size])
    (change,) = changes(told)
    assert change["result"] is None
    assert change["reasons"][-1]["code"] == "gate-unscored"
    assert "it stays in shadow" in change["words"]
    row = Store.open().decision(change["id"])
    assert (row.mode, row.state) == (Mode.SHADOW, Verdict.RECORDED)
    assert sizes(fleet) == before
    assert asked_for(simulation) == log


@pytest.mark.parametrize("better", [True, False])
def test_the_gate_opens_only_for_a_pool_that_beat_the_live_rule(fleet: Fleet, off_size: str, better: bool) -> None:
    demand_forecasting(QUICK)
    shadow = cluster_scaling(ScalingRequest())
    Store.open().save_scorecards(scored_hours([shadow], off_size, better))
    before = sizes(fleet)[off_size]
    (change,) = changes(cluster_scaling(ScalingRequest(mode=Mode.ACT, gate_days=1), [off_size]))
    assert (sizes(fleet)[off_size] == change["target"]) is better
    assert (sizes(fleet)[off_size] == before) is not better
    assert (change["reasons"][-1]["code"] == "gate-not-better") is not better


def test_a_gate_changes_no_decision_only_how_far_it_goes(fleet: Fleet, simulation: Simulation, off_size: str) -> None:
    demand_forecasting(QUICK)
    simulation.set_speed(0)
    told = [cluster_scaling(ScalingRequest(mode=mode, gate_days=1), [off_size]) for mode in (Mode.SHADOW, Mode.ACT)]
    rows = [Store.open().proposals(each["flow_run_id"]) for each in told]
    assert [row.content for row in rows[0]] == [row.content for row in rows[1]]
