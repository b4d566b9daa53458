"""A lean HTTP/1.1 server on asyncio: every length, number of connections and time is bounded.

`http.server` has no time-outs and a framework costs more per request than a small model does.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

log = logging.getLogger("continuum.edge")

MOST_HEAD_BYTES = 16 * 2**10
READ_AHEAD_BYTES = 64 * 2**10  # of a client that sends its next request before it has read an answer
LINGER_S = 2.0
JSON = "application/json"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class Request(NamedTuple):
    """One request; names of headers are in lower case, the path is as it came, without its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Work = Callable[[], Response]  # done on a thread, so that the loop goes on answering
Handler = Callable[[Request], Response | Work]


class BadRequest(Exception):
    """What came is no request that is served here; the connection is closed after the answer."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what


@dataclass(frozen=True)
class Limits:
    """head_s: from the first byte of a request to the end of its head. body_s: from there to its end.

    idle_s: between two requests, and until an answer is read. waiting: requests that threads have not begun.
    """

    body_bytes: int = 16 * 2**20
    buffered_bytes: int = 64 * 2**20  # of all connections together
    connections: int = 256
    waiting: int = 64
    threads: int = 2
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0


class Head(NamedTuple):
    """The first lines of a request."""

    method: str
    path: str
    headers: dict[str, str]
    length: int
    keep: bool


def parse_head(raw: bytes, most_body_bytes: int) -> Head:
    """The request line and headers, without the empty line.

    Raises
    ------
    BadRequest: malformed, or a body that is too long, chunked or compressed.

    >>> parse_head(b"GET /v2?x=1 HTTP/1.1" + bytes([13, 10]) + b"Host: a", 0)
    Head(method='GET', path='/v2', headers={'host': 'a'}, length=0, keep=True)
    """
    first, *lines = raw.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not words[1].startswith(b"/") or not first.isascii():
        raise BadRequest(400, "the request line is malformed")
    if words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505, "only HTTP/1.1 is spoken here")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.partition(b":")
        key = name.decode("latin-1").lower()
        if not colon or not name or name != name.strip() or (key in headers and key in _ONCE):
            raise BadRequest(400, "a header is malformed or comes twice")
        headers[key] = text.strip().decode("latin-1")
    if "transfer-encoding" in headers:
        raise BadRequest(411, "send a Content-Length: chunked bodies are not taken")
    if headers.get("content-encoding", "identity") != "identity":
        raise BadRequest(415, "compressed bodies are not taken")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 15:
        raise BadRequest(400, "Content-Length is no number")
    if int(length) > most_body_bytes:
        raise BadRequest(413, f"a body of {int(length)} bytes where {most_body_bytes} are taken")
    keep = words[2] == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Head(words[0].decode(), words[1].partition(b"?")[0].decode(), headers, int(length), keep)


_ONCE = frozenset({"content-length", "host", "authorization", "inference-header-content-length"})


class HttpServer:
    """Serves `handler` on one address. `start` and `stop` belong to the running loop.

    failure: turns a status and a line of words into an answer, for what the handler never saw.
    """

    def __init__(
        self, handler: Handler, failure: Callable[[int, str], Response], limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.handler, self.failure, self.limits, self.clock = handler, failure, limits, clock
        self.open: set[_Connection] = set()
        self.buffered = self.waiting = 0
        self.pool = ThreadPoolExecutor(limits.threads, "infer")
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen; returns the address, with the port that the system gave where `port` is 0."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port, ssl=tls)
        self._sweeper = asyncio.create_task(self._sweep())
        found: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return found

    async def stop(self, patience_s: float = 5.0) -> None:
        """Take no more connections, let what runs end, close the rest."""
        if self._server is not None:
            self._server.close()
        until = self.clock() + patience_s
        while any(each.busy for each in self.open) and self.clock() < until:
            await asyncio.sleep(0.02)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for each in list(self.open):
            each.transport.abort()
        self.pool.shutdown(wait=False, cancel_futures=True)

    def close_late(self) -> int:
        """Close every connection whose time is over; returns how many."""
        late = [each for each in self.open if each.deadline < self.clock()]
        for each in late:
            each.time_out()
        return len(late)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.close_late()


class _Connection(asyncio.Protocol):
    """One client: a request at a time, in order."""

    transport: asyncio.Transport

    def __init__(self, server: HttpServer) -> None:
        self.server, self.buffer = server, bytearray()
        self.head: Head | None = None
        self.busy = self.unread = self.closing = False
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)  # told of every answer that is not read at once
        self._allow(self.server.limits.head_s)
        self.server.open.add(self)
        if len(self.server.open) > self.server.limits.connections:
            self._refuse(503, "too many connections")

    def connection_lost(self, _: Exception | None) -> None:
        self.closing = True
        self.server.open.discard(self)
        self._drop(len(self.buffer))

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if not self.buffer and self.head is None and not self.busy:
            self._allow(self.server.limits.head_s)
        self.buffer += data
        self.server.buffered += len(data)
        self._advance()
        if self.closing:
            return
        if self.server.buffered > self.server.limits.buffered_bytes:
            self._refuse(503, "too many bytes are under way")
        elif (self.busy or self.unread) and len(self.buffer) > READ_AHEAD_BYTES:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.unread = True

    def resume_writing(self) -> None:
        self.unread = False
        if not self.busy and not self.closing:
            self.transport.resume_reading()
            self._advance()

    def time_out(self) -> None:
        """The client was too slow: tell it where it may listen, and close."""
        if self.closing or self.unread or (self.head is None and not self.buffer):
            self.closing = True
            self.transport.abort()
        else:
            self._refuse(408, "the request did not come in time")

    def _allow(self, seconds: float) -> None:
        self.deadline = self.server.clock() + seconds

    def _drop(self, count: int) -> None:
        del self.buffer[:count]
        self.server.buffered -= count

    def _advance(self) -> None:
        """Take requests from the buffer while they are whole and nothing else is under way."""
        try:
            while not (self.busy or self.unread or self.closing):
                if self.head is None and not self._take_head():
                    return
                head = self.head
                assert head is not None
                if len(self.buffer) < head.length:
                    return
                body = bytes(self.buffer[: head.length])
                self._drop(head.length)
                self._answer(Request(head.method, head.path, head.headers, body))
        except BadRequest as error:
            self._refuse(error.status, error.what)

    def _take_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if max(end, 0) > MOST_HEAD_BYTES or (end < 0 and len(self.buffer) > MOST_HEAD_BYTES):
            raise BadRequest(431, f"a head of more than {MOST_HEAD_BYTES} bytes")
        if end < 0:
            return False
        self.head = parse_head(bytes(self.buffer[:end]), self.server.limits.body_bytes)
        self._drop(end + 4)
        self._allow(self.server.limits.body_s)
        if self.head.headers.get("expect", "").lower() == "100-continue" and len(self.buffer) < self.head.length:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _answer(self, request: Request) -> None:
        try:
            reply = self.server.handler(request)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            reply = self.server.failure(500, "the agent failed; its log says how")
        if isinstance(reply, Response):
            self._send(reply)
        elif self.server.waiting >= self.server.limits.waiting:
            self._send(self.server.failure(503, "too many requests wait"))
        else:
            self.busy, self.deadline = True, float("inf")
            self.server.waiting += 1
            asyncio.get_running_loop().run_in_executor(self.server.pool, reply).add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Response]) -> None:
        self.busy = False
        self.server.waiting -= 1
        if future.cancelled() or self.closing:
            return
        if (error := future.exception()) is not None:
            log.error("a request failed", exc_info=error)
        self._send(future.result() if error is None else self.server.failure(500, "the agent failed; see its log"))
        self.transport.resume_reading()
        self._advance()

    def _send(self, response: Response) -> None:
        keep = self.head is not None and self.head.keep
        self.head = None
        self._allow(self.server.limits.idle_s if not self.buffer else self.server.limits.head_s)
        self.transport.write(_to_bytes(response, keep))
        if not keep:
            self.closing = True
            self.transport.close()

    def _refuse(self, status: int, what: str) -> None:
        """Answer, then read on without looking for a while: a reset would take the answer from the client."""
        self.closing, self.head = True, None
        self._drop(len(self.buffer))
        self.transport.write(_to_bytes(self.server.failure(status, what), keep=False))
        self._allow(LINGER_S)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def _to_bytes(response: Response, keep: bool) -> bytes:
    head = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (
        response.status, _REASONS.get(response.status, b"Status"), response.content_type.encode(), len(response.body),
    )  # fmt: skip
    more = "".join(f"{name}: {text}\r\n" for name, text in response.headers).encode()
    return head + more + (b"\r\n" if keep else b"Connection: close\r\n\r\n") + response.body
