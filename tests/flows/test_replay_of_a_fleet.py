"""`continuum replay scaling fleet.yaml`: demand straight from the fleet's Prometheus, pools from its inventory."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from deployments.command.replay import register
from deployments.simulation import Simulation

pytestmark = pytest.mark.server


def test_the_pools_of_a_fleet_are_replayed_on_their_own_metrics(simulation: Simulation) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    told = CliRunner().invoke(
        app, ["replay", "scaling", str(simulation.fleet_file), "--days", "2", "--policy", "seed", "--json"]
    )
    assert told.exit_code == 0, told.stderr
    document = json.loads(told.stdout)
    assert document["series"] >= 8
    assert document["left_out"] == []
    seed = document["policies"]["seed"]
    assert seed["node_hours"] > 100
    assert seed["gco2e"] > 0  # every site of the simulated fleet has a grid zone
    assert seed["usd"] is None  # edge servers have no price, so no sum would be true
