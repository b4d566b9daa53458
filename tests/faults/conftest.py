"""A simulated fleet for each file of fault tests, watched by the two laws; each test has a store of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.simulation import Simulation, ready, starting_simulation
from tasks.acting import actuator as base
from tasks.run import Run
from tests.faults.laws import Laws
from tests.faults.scenes import run_of

START = "2026-03-10T09:20:00+00:00"
SPEED = 300.0


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    state = tmp_path_factory.mktemp("simulated") / "local"
    with starting_simulation(state, speed=SPEED, seed=7, start=START) as child:
        yield ready(child)


@pytest.fixture
def fleet(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The fleet without a fault, before and after."""
    monkeypatch.setattr(base, "CALL_S", 0.5)  # nothing in here answers that late
    simulation.lift_fault()
    simulation.set_speed(SPEED)
    yield load_fleet(simulation.fleet_file)
    simulation.lift_fault()


@pytest.fixture
def run(fleet: Fleet) -> Run:
    return run_of(fleet)


@pytest.fixture
def laws(simulation: Simulation, fleet: Fleet, run: Run) -> Laws:
    """The laws since the start of the test, by the journal of its run."""
    return Laws(simulation, fleet, run.journal)
