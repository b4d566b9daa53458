"""A small hub, and agents that are stepped by hand."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.edge.agent import Agent
from deployments.edge.config import read_config
from deployments.edge.http import HttpServer, Limits
from deployments.edge.oip import failure
from tests.deployments.edge.small_hub import Hub, configuration, running


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as found:
        yield found


@pytest.fixture
def started(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Makes agents without their threads; a second one of a name comes after the first has ended."""
    agents: dict[str, Agent] = {}

    def start(edge: str = "edge-1", **settings: Any) -> Agent:
        if edge in agents:
            agents[edge].close()
        agents[edge] = agent = Agent(read_config(configuration(hub, tmp_path / edge, edge=edge, **settings)))
        agent.keeper.restore()
        return agent

    yield start
    for agent in agents.values():
        agent.close()


class Running:
    """A server on a loop of its own thread."""

    def __init__(self, handler: Any, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.now_s = 0.0
        self.server = HttpServer(handler, failure, limits, lambda: self.now_s)
        self.host, self.port = self.run(self.server.start("127.0.0.1", 0, tls))
        self.url = f"http://127.0.0.1:{self.port}"

    def passes(self, seconds: float) -> int:
        """Let time pass on the server's clock; returns how many connections it ended for it."""
        self.now_s += seconds

        async def sweep() -> int:
            return self.server.close_late()

        return self.run(sweep())

    def open(self, sent: bytes = b"") -> socket.socket:
        """A connection on which `sent` has been sent."""
        made = socket.create_connection((self.host, self.port), timeout=10)
        made.sendall(sent)
        return made

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until the loop has seen what was sent."""
        for _ in range(2_000):
            if true():
                return
            self.run(asyncio.sleep(0.005))
        raise AssertionError("it never came about")

    def end(self) -> None:
        self.run(self.server.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Runs servers; `limits` are its bounds."""
    running_now: list[Running] = []

    def start(handler: Any, limits: Limits = Limits(), tls: ssl.SSLContext | None = None) -> Running:
        running_now.append(Running(handler, limits, tls))
        return running_now[-1]

    yield start
    for each in running_now:
        each.end()
