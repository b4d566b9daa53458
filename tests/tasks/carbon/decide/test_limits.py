"""The EuroSys 2024 table: every cell within 0.01 points of the paper, on its own data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tasks.carbon.decide.limits import spatial_limit, temporal_limit

DATA = os.environ.get("CONTINUUM_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="CONTINUUM_DATA is not set")


@pytest.fixture(scope="module")
def year() -> np.ndarray:
    file = Path(DATA or "") / "carbon-eurosys24" / "carbon_2022_hourly_123zones.csv.gz"
    return np.loadtxt(file, delimiter=",", skiprows=1)[:, 1:].T.copy()


@needs_data
@pytest.mark.parametrize(
    ("hours", "deferral", "interruption"), [(1, 15.59, 0.0), (12, 8.53, 2.69), (24, 3.61, 5.00), (168, 0.78, 1.93)]
)
def test_a_job_length_saves_what_the_paper_says(
    year: np.ndarray, hours: int, deferral: float, interruption: float
) -> None:
    found = temporal_limit(year, hours)
    assert found.deferral == pytest.approx(deferral, abs=0.01)
    assert found.interruption == pytest.approx(interruption, abs=0.01)


@needs_data
def test_moving_saves_what_the_paper_says(year: np.ndarray) -> None:
    found = spatial_limit(year)
    assert (round(found.one_move, 3), round(found.infinite_moves, 3)) == (352.476, 353.566)


def test_a_flat_year_saves_nothing() -> None:
    flat = temporal_limit(np.full((2, 100), 50.0), 6)
    assert (flat.deferral, flat.interruption) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_one_hour_cannot_be_interrupted() -> None:
    values = np.random.default_rng(3).uniform(0, 500, (2, 200))
    assert temporal_limit(values, 1).interruption == pytest.approx(0.0, abs=1e-9)


def test_the_saving_is_that_of_every_start_tried_alone() -> None:
    values = np.array([[9.0, 2.0, 7.0, 1.0, 5.0, 3.0]])
    # 2 h jobs, 2 h slack: starts 0, 1, 2; sums 11, 9, 8, 6, 8 -> best 8, 6, 6; two smallest of four 3, 3, 4
    found = temporal_limit(values, 2, 2)
    assert found.deferral == pytest.approx(100 * (28 - 20) / 3 / 2 / 4.5)
    assert found.interruption == pytest.approx(100 * (20 - 10) / 3 / 2 / 4.5)
