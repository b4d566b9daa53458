"""Energy reports of the simulated fleet: totals that the files repeat, a period told twice, a budget."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from blocks.events import BudgetExceeded
from blocks.fleet import Fleet
from blocks.store import Store
from deployments.simulation import Simulation
from flows.energy_report import EnergyRequest, energy_report

pytestmark = pytest.mark.server


@pytest.fixture
def hour_gone(simulation: Simulation, fleet: Fleet) -> None:
    """The recorder has a whole hour behind it, and no other one ends while a test looks."""
    simulation.advance(7200)
    simulation.set_speed(0)


@pytest.mark.usefixtures("hour_gone")
def test_an_hour_is_accounted_and_its_rows_add_up_to_its_totals(fleet: Fleet) -> None:
    told = energy_report()
    assert set(told["by_cluster"]) == {cluster.name for cluster in fleet.clusters}
    assert told["totals"]["energy_kwh"] > 0.5
    assert 0 < told["totals"]["idle_kwh"] < told["totals"]["energy_kwh"]
    (rows,) = (Path(path) for path in told["files"] if path.endswith(".csv"))
    with rows.open() as file:
        total = sum(Decimal(row["energy_kwh"]) for row in csv.DictReader(file))
    assert total == Decimal(str(told["totals"]["energy_kwh"]))
    (card,) = Store.open().scorecards(flow="energy-report", subject="fleet default")
    assert card.scores["energy_kwh"] == told["totals"]["energy_kwh"]
    again = energy_report()
    assert (again["totals"], again["files"]) == (told["totals"], told["files"])


@pytest.mark.usefixtures("hour_gone")
def test_a_period_above_its_budget_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[BudgetExceeded] = []
    monkeypatch.setattr("tasks.energy.record.emit", lambda event, identity: said.append(event))
    told = energy_report(EnergyRequest(budget_kwh=0.001, budget_kg=1e6))
    (event,) = said
    assert (event.quantity, event.actual) == ("energy_kwh", told["totals"]["energy_kwh"])


@pytest.mark.usefixtures("hour_gone")
def test_a_pool_without_a_grid_zone_is_left_out_by_name_and_the_rest_counts(fleet: Fleet) -> None:
    from blocks.inventory import save_fleet

    sites = [site.model_copy(update={"grid_zone": None}) if site.name == fleet.clusters[0].site else site
             for site in fleet.sites]  # fmt: skip
    save_fleet(fleet.model_copy(update={"sites": sites}), "default")
    told = energy_report()
    assert fleet.clusters[0].name not in told["by_cluster"]
    assert any("left out" in line for line in told["trouble"])
