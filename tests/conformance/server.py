"""A simulated cluster behind real HTTP, for tests that speak to it as a client does."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from deployments.local.clock import SimulatedClock
from deployments.local.kubernetes import SimulatedCluster
from deployments.local.kubernetes.http import KubernetesApp
from tests.conformance.replay import Access

SPEED, TICK_S, TOKEN, VIEWER = 10.0, 0.02, "conformance", "conformance-viewer"


class Server(threading.Thread):
    """A simulated cluster served by uvicorn on a loopback port, its clock and controllers ticking."""

    def __init__(self, *, metrics_server: bool = False) -> None:
        super().__init__(daemon=True)
        self.clock = SimulatedClock(1_900_000_000.0, SPEED)
        self.cluster = SimulatedCluster(
            "conformance", self.clock, 7, {TOKEN: "admin", VIEWER: "viewer"}, metrics_server=metrics_server
        )
        app = Starlette(routes=[Mount("/clusters/conformance", app=KubernetesApp(self.cluster))])
        self.server = uvicorn.Server(
            uvicorn.Config(app, "127.0.0.1", 0, log_level="critical", timeout_graceful_shutdown=1)
        )

    def run(self) -> None:
        """Serve until told to stop."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        ticking = asyncio.create_task(self._tick())
        await self.server.serve()
        ticking.cancel()

    async def _tick(self) -> None:
        while True:
            self.clock.run_due()
            self.cluster.step()
            await asyncio.sleep(TICK_S)

    def opened(self) -> Self:
        """The server, once it answers."""
        self.start()
        while not self.server.started:
            assert self.is_alive(), "the server did not start"
            threading.Event().wait(0.01)
        return self

    def close(self) -> None:
        """End the server and every watch on it."""
        self.server.should_exit = True
        self.join(10)

    @property
    def access(self) -> Access:
        """How its admin reaches it."""
        return Access(self.url, TOKEN)

    @property
    def url(self) -> str:
        """Where the cluster is served."""
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/clusters/conformance"
