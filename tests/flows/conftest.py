"""One simulated fleet and one Prefect server for all flow tests; each test has a store of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from blocks.errors import NotFound
from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.prefect_server import prefect_server
from deployments.simulation import Simulation, ready, starting_simulation
from tasks.scaling.pool_access import open_pool

START = "2026-03-10T09:20:00+00:00"


@pytest.fixture(scope="session")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    folder = tmp_path_factory.mktemp("simulated")
    with starting_simulation(folder / "local", speed=60, seed=7, start=START) as child:
        yield ready(child)


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
        # no heartbeat: its thread sleeps for whole seconds, and every run waits for its end
        with temporary_settings(
            {PREFECT_API_URL: server.env["PREFECT_API_URL"], PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        ):
            yield


@pytest.fixture(scope="session")
def speed() -> float:
    """Simulated seconds per second."""
    return 60


@pytest.fixture(autouse=True)
def _time_stands_still_between_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """A fleet that nobody looks at costs a twentieth of a core."""
    if "simulation" not in request.fixturenames:
        yield
        return
    simulation: Simulation = request.getfixturevalue("simulation")
    simulation.set_speed(request.getfixturevalue("speed"))
    yield
    simulation.set_speed(0)


@pytest.fixture
def fleet(simulation: Simulation, prefect: None) -> Fleet:
    """The simulated fleet, saved as the inventory block `default` where another stands there."""
    from blocks.inventory import load_stored_fleet, save_fleet

    fleet = load_fleet(simulation.fleet_file)
    try:
        there = load_stored_fleet("default")
    except NotFound:
        there = None
    if there != fleet:
        save_fleet(fleet, "default")
    return fleet


@pytest.fixture
def off_size(fleet: Fleet) -> str:
    """A pool with the largest surplus of the fleet, so that the next pass shrinks it whatever the budget allows."""
    access = open_pool(fleet, "us-gke/web")
    state = access.pools.describe("web")
    access.pools.wait(access.pools.set_desired("web", state.max_nodes), timeout_s=120)
    return "us-gke/web"
