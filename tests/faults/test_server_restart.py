"""The Prefect server is restarted while a run stands between its decision and its act: the change is made, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from blocks.store.tables import State
from deployments.prefect_server import prefect_server
from deployments.simulation import Simulation
from tasks.run import Run
from tasks.scaling.pool_access import open_pool
from tests.faults.conftest import SPEED
from tests.faults.laws import Laws

pytestmark = pytest.mark.server

WEB = "eu-eks/web"


def test_a_run_outlives_a_restart_of_its_server_and_makes_its_change_once(
    run: Run, simulation: Simulation, laws: Laws, tmp_path: Path
) -> None:
    laws.somebody_set(WEB, 4)
    simulation.set_speed(0)  # however long servers take to start, the run decides and acts at one moment
    command = [sys.executable, str(Path(__file__).with_name("restart_in_run.py")), str(simulation.fleet_file), WEB]
    with prefect_server(tmp_path / "prefect") as server:
        port = int(server.url.rsplit(":", 1)[1])
        env = server.env | {"CONTINUUM_HOME": os.environ["CONTINUUM_HOME"]}
        log = (tmp_path / "run.log").open("w+")
        child = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "decided\n", (tmp_path / "run.log").read_text()[-2000:]
    with prefect_server(tmp_path / "prefect", port=port):
        simulation.set_speed(SPEED)
        told, _ = child.communicate("\n", timeout=60)
    assert (child.returncode, told) == (0, f"{State.DONE}\n"), (tmp_path / "run.log").read_text()[-2000:]
    (intent,) = run.journal.intents()
    assert open_pool(run.fleet, WEB).state().desired == intent.do["desired"] > 4
    laws.check(hurt=["eu-eks"])  # by whoever took its nodes away
