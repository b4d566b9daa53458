"""HTTP services of ours: what they share. A socket first, slow heads cut off, connections bounded, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from blocks.errors import NotConfigured, Refused

HEAD_S = 10.0  # for the head of a request
KEEP_ALIVE_S = 75


@dataclass(frozen=True)
class Tls:
    """PEM files. client_ca: signs the certificates that edges must show; None: a token is enough."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def configured(app: Starlette, *, most_connections: int, tls: Tls | None = None) -> uvicorn.Config:
    """A server's settings.

    Raises
    ------
    NotConfigured: a PEM file is not there.
    """
    more: dict[str, Any] = {}
    if tls is not None:
        for file in filter(None, (tls.certificate, tls.key, tls.client_ca)):
            if not file.is_file():
                raise NotConfigured("is not there", where=str(file), fix="give a readable PEM file")
        more = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
        if tls.client_ca:
            more |= {"ssl_ca_certs": str(tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return uvicorn.Config(app, http=PatientNoMore, log_level="warning", access_log=False, lifespan="off",
                          server_header=False, timeout_keep_alive=KEEP_ALIVE_S, limit_concurrency=most_connections,
                          **more)  # fmt: skip


def listening(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens; port 0 is any free one. Refused: the port is taken, or is not ours to take."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                                    backlog=1024)  # fmt: skip
    except OSError as error:
        raise Refused(f"cannot listen on port {port} ({error.strerror})", where=f"{what} {host}",
                      fix="give another --port") from None  # fmt: skip


@contextmanager
def on_a_thread(config: uvicorn.Config) -> Iterator[str]:
    """Origin of the service on the loopback while the block runs, on a thread of this process; a port of its own."""
    bound = listening("127.0.0.1", 0, "service")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],), name="http service", daemon=True)
    thread.start()
    try:
        yield f"http{'s' if config.is_ssl else ''}://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()


class PatientNoMore(H11Protocol):
    """Cuts a connection whose request head does not come in `HEAD_S` (slow-loris)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, self._cut)

    def data_received(self, data: bytes) -> None:
        """Wait on where no head is whole yet."""
        waited_for = self.cycle is None or self.cycle.response_complete
        super().data_received(data)
        working = self.cycle is not None and not self.cycle.response_complete
        if working:
            self._late.cancel()
        elif not waited_for or self._late.cancelled():
            self._late = self.loop.call_later(HEAD_S, self._cut)

    def _cut(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
