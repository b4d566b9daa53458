"""The plan against the simulated fleet: what is there, what is unknown, and that nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from blocks.fleet import Fleet
from blocks.inventory import save_fleet
from blocks.kubernetes import KubernetesApi
from blocks.store import Journal, Store
from blocks.store.series import SeriesStore
from deployments.command import app
from deployments.command.report import stored_sections
from deployments.report import render
from deployments.simulation import Simulation, ready, starting_simulation
from flows.demand_forecasting import ForecastRequest, demand_forecasting
from flows.resource_plan import PlanRequest, resource_plan
from tasks.resource_plan.record import newest_plan
from tests.flows.conftest import START
from tests.flows.shortcuts import asked_for

pytestmark = pytest.mark.server

DAY = ForecastRequest(history_days=9, plan="day-ahead", engine="seasonal-naive")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """A simulated fleet of its own: hours pass in here, and other files count on the morning."""
    with starting_simulation(tmp_path_factory.mktemp("own") / "local", speed=60, seed=7, start=START) as child:
        yield ready(child)


def by_pool(told: dict) -> dict[str, dict]:
    return {pool["pool"]: pool for pool in told["pools"]}


def codes(pool: dict) -> set[str]:
    return {note["code"] for note in pool["notes"]}


def test_a_day_is_planned_for_every_pool_and_nothing_is_touched(fleet: Fleet, simulation: Simulation) -> None:
    demand_forecasting(DAY)
    before = asked_for(simulation)
    told = resource_plan()
    assert asked_for(simulation) == before
    assert Journal(Store.open()).intents() == []
    assert Store.open().decisions() == []
    assert set(by_pool(told)) == {f"{cluster.name}/{pool.name}" for cluster, pool in fleet.pools()}
    for pool in told["pools"]:
        assert pool["action"] != "unknown"
        assert 94 <= len(pool["nodes_planned"]) <= 96
        assert pool["changes"] == [] or pool["changes"][0]["from"] == pool["nodes_now"]
    assert told["total"]["pools_planned"] == len(told["pools"])


def test_gpus_are_unknown_where_nobody_tells_them_and_never_zero(fleet: Fleet) -> None:
    demand_forecasting(DAY)
    pools = by_pool(resource_plan())
    cloud, edge = pools["eu-eks/web"], pools["edge-munich/edge"]
    assert cloud["over"]["gpus"] == cloud["under"]["gpus"] == {"now": None, "peak": None, "mean": None}
    assert cloud["over"]["storage_bytes"]["now"] is None
    # the inventory tells the storage of an edge site: 4 TB on 8 nodes at most, and no pod asks for any
    assert edge["over"]["storage_bytes"]["now"] == pytest.approx(edge["nodes_now"] * 4e12 / 8)
    assert edge["usd_saved"] is None
    assert "price-unknown" in codes(edge)


def test_without_a_forecast_nothing_is_planned_and_the_reason_is_told(fleet: Fleet) -> None:
    told = resource_plan()
    assert {pool["action"] for pool in told["pools"]} == {"unknown"}
    assert all(pool["nodes_planned"] is None and "forecast-missing" in codes(pool) for pool in told["pools"])
    assert told["total"]["node_hours_saved"] is None
    titles = [section.title for section in Store.open().sections(flow="resource-plan")]
    assert titles[-1] == "Resource plan: not planned"


def test_a_stale_forecast_plans_nothing(fleet: Fleet, simulation: Simulation) -> None:
    demand_forecasting(DAY)
    simulation.advance(4 * 3600)
    told = resource_plan()
    assert all("forecast-stale" in codes(pool) for pool in told["pools"])


def test_a_cluster_that_is_away_is_told_and_the_others_are_planned(fleet: Fleet) -> None:
    clusters = [
        cluster.model_copy(
            update={"kubernetes": cluster.kubernetes.model_copy(update={"server": "http://127.0.0.1:9"})}
        )
        if cluster.name == "edge-osaka"
        else cluster
        for cluster in fleet.clusters
    ]
    save_fleet(fleet.model_copy(update={"clusters": clusters}), "partly")
    demand_forecasting(DAY.model_copy(update={"fleet": "partly"}))
    told = resource_plan(PlanRequest(fleet="partly"))
    pools = by_pool(told)
    assert codes(pools["edge-osaka/edge"]) == {"unreachable"}
    assert pools["edge-osaka/edge"]["action"] == "unknown"
    assert pools["eu-eks/web"]["action"] != "unknown"
    assert any("edge-osaka" in line for line in told["trouble"])


def test_pods_that_cannot_be_read_leave_requests_unknown(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from blocks.errors import Unauthorized

    def forbidden(self, **given):
        raise Unauthorized("may not list pods", where=f"cluster {self.name}")

    demand_forecasting(DAY)
    monkeypatch.setattr(KubernetesApi, "pods", forbidden)
    told = resource_plan()
    edge = by_pool(told)["edge-munich/edge"]
    assert {"requests-unknown", "not-lowered"} <= codes(edge)
    assert edge["over"]["storage_bytes"]["now"] is None
    assert min(edge["nodes_planned"]) >= edge["nodes_now"]
    assert sum("GPU and storage requests are unknown" in line for line in told["trouble"]) == len(fleet.clusters)


def test_the_plan_is_in_the_report_and_in_the_command(fleet: Fleet) -> None:
    demand_forecasting(DAY)
    told = resource_plan()
    sections = [section.content for section in stored_sections(Store.open(), told["flow_run_id"])]
    html = render(sections, title="T", subtitle="S", footer="F", simulated=True)
    assert "nothing acts on it" in html
    assert "The fleet: nodes over the day" in html
    answer = CliRunner().invoke(app, ["plan", "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == newest_plan(SeriesStore.open(), "default") == told
    shown = CliRunner().invoke(app, ["plan"])
    assert "eu-eks/web" in shown.stdout
    assert "█" in shown.stdout
