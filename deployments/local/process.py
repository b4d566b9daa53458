"""The process that serves the simulated fleet: one socket, one loop, files for its clients, a clean end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blocks.errors import Refused
from blocks.fleet import Fleet
from deployments.local import aks, control, edge_caches, eks, gke
from deployments.local.faults import routes as faults
from deployments.local.faults.middleware import FaultyApis
from deployments.local.files import StateFiles, write_fleet, write_kubeconfig
from deployments.local.kubernetes.http import KubernetesApp
from deployments.local.metrics import prometheus_app
from deployments.local.simulation import Simulation
from deployments.local.tls import certificate

TICK_S = 0.25  # the longest sleep of the loop
LEAST_TICK_S = 0.02  # the shortest: at high speed something is always due
SAVE_EVERY_S = 1.0  # a changed state waits no longer for its snapshot, unless a cloud's answer depends on it
GRACE_S = 1  # for open watches at the end


@dataclass(frozen=True)
class Settings:
    """What a person or a parent process asks for.

    Parameters
    ----------
    state: folder of the snapshot and the files for clients.
    start_s: simulated time of a first start, seconds since 1970 UTC; None to begin now.
    keeps_state: save snapshots to go on from.
    kubeconfig: where to write it; None for the state folder.
    tls: serve the Kubernetes APIs over HTTPS too, and name those in the kubeconfig.
    with_parent: end when standard input does.
    """

    state: Path
    fleet: Fleet
    port: int = 0
    speed: float = 1.0
    seed: int = 7
    start_s: float | None = None
    keeps_state: bool = True
    kubeconfig: Path | None = None
    tls: bool = False
    with_parent: bool = False


@dataclass(frozen=True)
class Served:
    """Where a simulated fleet answers, and the files that say so; `tls_url` is "" without TLS."""

    url: str
    tls_url: str
    fleet_file: Path
    kubeconfig: Path


Announce = Callable[[Served, Simulation], None]
"""Called once, when every API accepts requests and the files are written."""


class CatchUp:
    """Plays what is due before each request, and saves what a cloud has accepted before it answers."""

    def __init__(self, app: ASGIApp, simulation: Simulation, save: Callable[[], None]) -> None:
        self.app, self.simulation, self.save = app, simulation, save

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.simulation.catch_up()
        reading, to_cluster = scope["method"] in ("GET", "HEAD"), scope["path"].startswith("/clusters/")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not reading:
                if to_cluster:
                    self.simulation.mark_changed()
                elif self.simulation.changed:
                    self.save()
            await send(message)

        await self.app(scope, receive, answer)


class _Server(uvicorn.Server):
    """uvicorn raises a caught signal again at its end; here the loop handles signals, and the exit code is 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class Process:
    """The simulation, its servers, and the files in the state folder."""

    def __init__(self, settings: Settings, announce: Announce) -> None:
        self.settings, self.announce, self.files = settings, announce, StateFiles(settings.state)
        if saved := self.files.load():
            self.simulation = Simulation.restored(settings.fleet, *saved)
        else:
            start_s = time.time() if settings.start_s is None else settings.start_s
            self.simulation = Simulation.fresh(settings.fleet, seed=settings.seed, start_s=start_s)
        self._saved_at = 0.0
        self._stopping = asyncio.Event()

    def app(self) -> ASGIApp:
        """All APIs under their prefixes."""
        simulation = self.simulation
        mounts = [Mount(f"/clusters/{name}", KubernetesApp(cluster)) for name, cluster in simulation.clusters.items()]
        mounts += [
            Mount("/prometheus", prometheus_app(simulation.scrapes)),
            Mount("/aws", eks.app(simulation.node_pools)),
            Mount("/gcp", gke.app(simulation.node_pools)),
            Mount("/azure", aks.app(simulation.node_pools)),
        ]
        caches = edge_caches.EdgeCaches(simulation.fleet, simulation.clock, simulation.seed)
        routes = [*control.routes(simulation), *faults.routes(simulation.faults), *edge_caches.routes(caches), *mounts]
        apis = CatchUp(Starlette(routes=routes, exception_handlers=control.REFUSALS), simulation, self.save)
        return FaultyApis(apis, simulation.faults)  # the outermost: it needs the connection's own `send`

    def save(self) -> None:
        """Write the snapshot."""
        if not self.settings.keeps_state:
            return
        self.simulation.changed = False
        self.files.save(self.simulation.snapshot())
        self._saved_at = time.monotonic()

    async def run(self) -> None:
        """Serve until a signal, or the parent's end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if self.settings.with_parent:
            threading.Thread(target=_await_end_of_stdin, args=(loop, self._stopping.set), daemon=True).start()
        app = self.app()
        certificates = [(), *([certificate(self.settings.state)] if self.settings.tls else [])]
        with ExitStack() as stack:
            sockets = [stack.enter_context(_listening(port)) for port in (self.settings.port, 0)[: len(certificates)]]
            servers = [_server(app, *files) for files in certificates]
            serving = [asyncio.create_task(server.serve(sockets=[listening]))
                       for server, listening in zip(servers, sockets, strict=True)]  # fmt: skip
            try:
                while not all(server.started or task.done() for server, task in zip(servers, serving, strict=True)):
                    await asyncio.sleep(0.001)
                await self._play(serving, [listening.getsockname()[1] for listening in sockets])
            finally:
                logging.getLogger("uvicorn.error").disabled = True  # open watches are cut off: that is no error
                for server in servers:
                    server.should_exit = True
                await asyncio.gather(*serving)
                self.save()

    async def _play(self, serving: list[asyncio.Task[None]], ports: list[int]) -> None:
        """Keep the simulation up to date until the end is asked for."""
        self.simulation.clock.speed = self.settings.speed
        self.save()
        self._announce(*ports)
        while not (self._stopping.is_set() or any(task.done() for task in serving)):
            self.simulation.catch_up()
            self._keep()
            try:
                await asyncio.wait_for(self._stopping.wait(), self._pause_s())
            except TimeoutError:
                continue

    def _announce(self, port: int, tls_port: int | None = None) -> None:
        folder, simulation = self.settings.state, self.simulation
        url, tls_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}" if tls_port else ""
        served = Served(url, tls_url, folder / "fleet.yaml", self.settings.kubeconfig or folder / "kubeconfig")
        authority = certificate(folder)[0].read_bytes() if tls_port else b""
        write_fleet(served.fleet_file, simulation.fleet, url, simulation.tokens)
        write_kubeconfig(served.kubeconfig, tls_url or url, simulation.tokens, authority)
        self.announce(served, simulation)

    def _keep(self) -> None:
        if not self.settings.keeps_state or time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return
        if self.simulation.changed:
            self.save()
        else:
            self.files.save_time(self.simulation.clock.now())
            self._saved_at = time.monotonic()

    def _pause_s(self) -> float:
        clock = self.simulation.clock
        due_s = clock.next_due()
        if due_s is None or clock.speed == 0:
            return TICK_S
        return min(max((due_s - clock.now()) / clock.speed, LEAST_TICK_S), TICK_S)


def serve(settings: Settings, announce: Announce) -> None:
    """Serve the simulated fleet until SIGINT, SIGTERM or the parent's end.

    Raises
    ------
    ContinuumError: the folder or the port is in use, or the state in it is of another fleet.
    """
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _only_one(settings.state):
        asyncio.run(_serve(settings, announce))


async def _serve(settings: Settings, announce: Announce) -> None:
    await Process(settings, announce).run()


def _server(app: ASGIApp, certificate: Path | None = None, key: Path | None = None) -> _Server:
    return _Server(uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=90,  # as an API server: a client's idle connection is not cut under its next request
        ssl_certfile=certificate, ssl_keyfile=key,
    ))  # fmt: skip


def _listening(port: int) -> socket.socket:
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise Refused(f"port {port} is not free", where="127.0.0.1", fix="give another --port, or 0") from error
    # Accepted sockets inherit it. asyncio leaves theirs alone, as this one names no protocol: each answer would wait
    # some 40 ms for the client's delayed acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the folder: two simulations in one would overwrite each other's state. The lock ends with the process."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(
                "another simulated fleet runs in this folder", where=str(folder), fix="stop it, or give another --state"
            ) from None
        yield


def _await_end_of_stdin(loop: asyncio.AbstractEventLoop, then: Callable[[], object]) -> None:
    """Read until the parent closes its end; os.read, as a buffered read would hold a lock while Python ends."""
    while os.read(0, 4096):
        continue
    loop.call_soon_threadsafe(then)
