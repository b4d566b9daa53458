"""What is forecast of the zones of users: from stored forecasts that are fresh, for sites whose pools they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from blocks.fleet_file import load_fleet
from blocks.series import Forecast
from blocks.store import Store
from blocks.store.forecasts import save_forecast
from blocks.store.journal import Journal
from tasks.forecasting.act import forecast_name
from tasks.forecasting.decide.plans import PLANS
from tasks.migration.measured import zone_growth
from tasks.run import Run

AS_OF = datetime(2026, 3, 10, 9, 15, tzinfo=UTC)
ZONES = ("frankfurt", "virginia", "munich")
STEP_S, STEPS = 900, 96


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CONTINUUM_HOME", str(tmp_path))
    store = Store.open()
    fleet = load_fleet(Path("deployments/local/fleet.yaml"))
    return Run("a-run", "workload-migration", "default", fleet, store, Journal(store))


def keep(run: Run, made_at: datetime = AS_OF, **courses: tuple[float, float]) -> None:
    """A day-ahead forecast of pools whose CPU goes from the first value to the second after an hour."""
    ids = tuple(name.replace("__", "/").replace("_", "-") + "/cpu_cores" for name in sorted(courses))
    values = np.array([np.where(np.arange(STEPS) < 4, *courses[name]) for name in sorted(courses)], np.float32)
    made = Forecast(ids, made_at, int(made_at.timestamp()), STEP_S, (0.5, 0.9), np.stack([values, 9 * values], axis=2),
                    np.stack([values, values], axis=2), ("linear",) * len(ids))  # fmt: skip
    save_forecast(run.store, made, metric=forecast_name("default", PLANS["day-ahead"]), shard="0", engine="linear",
                  flow_run_id="b-run")  # fmt: skip


def test_growth_is_the_mean_of_the_horizon_over_now_of_all_pools_of_a_site(run: Run) -> None:
    keep(run, eu_eks__web=(10.0, 40.0), eu_eks__batch=(10.0, 0.0), us_gke__web=(5.0, 5.0))
    found = zone_growth(run, ZONES, AS_OF, 4 * 3600)
    assert found[0] == pytest.approx((4 * 20 + 12 * 40) / 16 / 20)
    assert found[1] == 1
    assert np.isnan(found[2])  # no pool of that site is forecast


def test_without_a_fresh_forecast_nothing_is_expected(run: Run) -> None:
    assert np.isnan(zone_growth(run, ZONES, AS_OF, 3600)).all()
    keep(run, AS_OF - timedelta(hours=4), eu_eks__web=(1.0, 2.0))
    assert np.isnan(zone_growth(run, ZONES, AS_OF, 3600)).all()


def test_a_pool_whose_forecast_has_a_gap_says_nothing_of_its_site(run: Run) -> None:
    keep(run, eu_eks__web=(1.0, np.nan), us_gke__web=(2.0, 3.0))
    found = zone_growth(run, ZONES, AS_OF, 4 * 3600)
    assert np.isnan(found[0])
    assert found[1] > 1
