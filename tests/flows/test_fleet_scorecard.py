"""The fleet's page: what other flows have left in the store, summed up and shown."""

from __future__ import annotations

from datetime import timedelta

import pytest

from blocks.fleet import Fleet
from blocks.series import utc
from blocks.store import Store
from blocks.store.tables import Decision, Mode, Outcome, Scorecard, Verdict, now
from flows.cluster_scaling import ScalingRequest, cluster_scaling
from flows.fleet_monitoring import fleet_monitoring
from flows.fleet_scorecard import FleetScoreRequest, fleet_scorecard
from tasks.forecasting.observe import source_time_s
from tasks.monitoring import tell

pytestmark = pytest.mark.server


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tell, "emit", lambda event, identity: None)


def test_an_empty_store_says_what_is_not_known_and_how_that_comes(fleet: Fleet) -> None:
    told = fleet_scorecard()
    assert (told["health"], told["flows"], told["kept"], told["savings"]) == (None, {}, {}, None)
    (first, *_) = Store.open().sections(flow="fleet-scorecard")
    assert "fleet-monitoring has not run" in first.content["paragraphs"][0]


@pytest.mark.usefixtures("quiet")
def test_health_decisions_promises_and_savings_stand_on_one_page(fleet: Fleet) -> None:
    fleet_monitoring()
    cluster_scaling(ScalingRequest(mode=Mode.SHADOW))
    store, end = Store.open(), utc(source_time_s(fleet) // 3600 * 3600)
    row, theirs = (
        Decision(flow_run_id=fleet, flow="workload-migration", subject="eu-eks/shop", action="move", mode=Mode.ACT,
                 state=Verdict.ACTED, as_of=now(), promised={"latency_ms": -20.0}, fleet=fleet)
        for fleet in ("default", "another")
    )  # fmt: skip
    store.record_decisions([row, theirs])
    store.save_outcomes([Outcome(decision_id=row.id, measured_at=now(), happened={"latency_ms": -15.0},
                                 baselines={"stay": {"latency_ms": 0.0}})])  # fmt: skip
    pool = fleet.clusters[0].node_pools[0]
    subject, minutes = f"{fleet.clusters[0].name}/{pool.name}", 60.0
    sums = {"ours": (2.0, 4.0), "live": (6.0, 5.0)}
    store.save_scorecards([
        Scorecard(flow="cluster-scaling", subject=subject, method=method, period_start=end - timedelta(hours=1),
                  period_end=end, scores={"violation_minutes": bad, "node_hours": hours, "minutes": minutes})
        for method, (bad, hours) in sums.items()
    ])  # fmt: skip
    store.save_scorecards([
        Scorecard(flow="energy-report", subject=name, method="modelled", period_start=end - timedelta(hours=1),
                  period_end=end, scores={"location_g": 500.0})
        for name in ("fleet default", fleet.clusters[0].name)
    ])  # fmt: skip
    told = fleet_scorecard(FleetScoreRequest(days=1))
    assert told["health"]["overall"] > 0.5
    assert told["flows"]["cluster-scaling"]["mode"] == "shadow"
    assert told["flows"]["workload-migration"]["states"] == {"acted": 1}
    assert told["kept"]["workload-migration"]["latency_ms"] == {
        "count": 1, "promised": -20.0, "happened": -15.0, "baselines": {"stay": 0.0}}  # fmt: skip
    saved = told["savings"]
    assert (saved["violation_minutes"], saved["node_hours"], saved["pools"]) == (4.0, 1.0, 1)
    assert saved["usd"] == pytest.approx(pool.price_usd_per_hour)
    assert saved["carbon_g"] == pytest.approx(500.0 / 5)  # five nodes in that hour
    page = store.sections(flow="fleet-scorecard")
    assert page[0].content["plots"][0]["points"]
    assert "act: workload-migration; shadow: cluster-scaling" in " ".join(page[0].content["paragraphs"]).lower()
    assert page[2].content["table"]["rows"][0][:2] == ["workload-migration", "latency ms"]
