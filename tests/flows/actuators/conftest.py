"""A simulated fleet for each file: these tests move its clock by hours, and leave its pools as they like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments.simulation import Simulation, ready, starting_simulation

NIGHT = "2026-03-10T22:00:00+00:00"  # pools have room to grow


@pytest.fixture(scope="module")
def speed() -> float:
    """Decisions are made by hand in here: no forecast ages meanwhile."""
    return 300


@pytest.fixture(scope="module")
def start() -> str:
    return NIGHT


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory, start: str) -> Iterator[Simulation]:
    with starting_simulation(tmp_path_factory.mktemp("simulated") / "local", speed=60, seed=7, start=start) as child:
        yield ready(child)
