"""A small fleet with faults: a cloud cluster and two edge clusters at one site, on a clock that only tests move."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from blocks.fleet import Fleet
from blocks.fleet_file import load_fleet
from deployments.local.faults.schedule import Faults
from deployments.local.files import FLEET_FILE
from deployments.local.process import Process, Settings
from deployments.local.simulation import Simulation

START_S = 1_772_438_400.0  # Monday, 2026-03-02 08:00 UTC
EDGE = {"provider": "k3s", "site": "munich"}


def _document() -> dict[str, Any]:
    document = load_fleet(FLEET_FILE).model_dump(mode="json", exclude_defaults=True)
    document["clusters"] = [c for c in document["clusters"] if c["name"] in ("eu-eks", "us-gke", "edge-munich")]
    munich = document["clusters"][2]
    document["clusters"].append({**munich, "name": "edge-two"})
    return document


FLEET = Fleet.model_validate(_document())


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return FLEET


@pytest.fixture
def fresh() -> Callable[..., Simulation]:
    return lambda seed=7: Simulation.fresh(FLEET, seed=seed, start_s=START_S)


@pytest.fixture
def simulation(fresh: Callable[..., Simulation]) -> Simulation:
    return fresh()


@pytest.fixture
def faults(simulation: Simulation) -> Faults:
    return simulation.faults


class Served:
    """A simulation behind a real socket, and a client that never repeats a request."""

    def __init__(self, process: Process) -> None:
        self.simulation = process.simulation
        self._app = process.app()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        headers = {"Authorization": self.authorization(path)}
        return requests.request(method, self.url + path, json=body, headers=headers, **{"timeout": 5, **more})

    def authorization(self, path: str) -> str:
        parts = path.split("/")
        return f"Bearer {self.simulation.tokens[parts[2]]['admin']}" if parts[1] == "clusters" else "any"

    def add(self, kind: str, **parameters: Any) -> str:
        answer = self.ask("POST", "/faults", {"kind": kind, **parameters})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def lift(self, fault_id: str) -> None:
        assert self.ask("DELETE", f"/faults/{fault_id}").ok

    def struck(self, fault_id: str) -> int:
        said = self.ask("GET", "/faults").json()
        return next(f["struck"] for s in ("active", "ended") for f in said[s] if f["id"] == fault_id)


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("state")
    running = Served(Process(Settings(state=folder, fleet=FLEET, start_s=START_S), lambda *_: None))
    yield running
    running.stop()


@pytest.fixture
def served(_server: Served) -> Iterator[Served]:
    yield _server
    assert _server.ask("DELETE", "/faults").ok
