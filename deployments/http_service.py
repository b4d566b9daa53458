"""HTTP services of ours: what they share. A socket first, slow heads cut off, connections and rates bounded, TLS."""

from __future__ import annotations

import asyncio
import hashlib
import math
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from blocks.errors import NotConfigured, Refused

HEAD_S = 10.0  # for the head of a request
KEEP_ALIVE_S = 75
PER_S, BURST = 50.0, 500.0  # requests of one token, and of wrong tokens from one address
MOST_BUCKETS = 20_000


@dataclass(frozen=True)
class Tls:
    """PEM files. client_ca: signs the certificates that edges must show; None: a token is enough."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class RateLimited:
    """An application that answers 429 to a token that asks too often, and to an address that asks too often without.

    Its handlers set `request.state.is_known` where a token is right; such a token is let through from then on whatever
    else comes from its address, which edges may share. clock: seconds that never go back.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._clock = app, clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()  # what is left, and since when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = "address", str((scope.get("client") or ("",))[0])
        token = "token", hashlib.sha256(Headers(scope=scope).get("authorization", "").encode()).hexdigest()
        key = token if token in self._buckets else address
        left = self._left(key)
        if left < 1:
            after = {"Retry-After": str(math.ceil((1 - left) / PER_S))}
            await PlainTextResponse("too many requests\n", 429, after)(scope, receive, send)
            return
        if key is token:  # counted as it comes: a download may take long
            self._take(token)
        state = scope.setdefault("state", {})
        await self._app(scope, receive, send)
        if key is address:
            self._take(token if state.get("is_known") else address)

    def _left(self, key: tuple[str, str]) -> float:
        left, since_s = self._buckets.get(key, (BURST, self._clock()))
        return min(BURST, left + (self._clock() - since_s) * PER_S)

    def _take(self, key: tuple[str, str]) -> None:
        self._buckets[key] = self._left(key) - 1, self._clock()
        self._buckets.move_to_end(key)
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)


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
    return uvicorn.Config(RateLimited(app), http=PatientNoMore, log_level="warning", access_log=False, lifespan="off",
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
