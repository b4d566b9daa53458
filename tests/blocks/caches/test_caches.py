"""What answers say of caches, and shelves that are filled from the origin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpcore
import pytest

from blocks.caches import is_hit, unwarmable
from blocks.caches.over_http import HttpCache
from blocks.caches.stores import Redis, StoreSite
from blocks.errors import InvalidInput, NotConfigured, Refused, Unreachable


class Server:
    """Answers by path; a PUT or a DELETE changes what a path gives."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.cookies: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.command, self.path))
                server.cookies.append(self.headers.get("Cookie"))
                path = self.path.split("?")[0]
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status = 200 if path in server.bodies else 404
                if self.command == "PUT":
                    server.bodies[path], status = body, 200
                elif self.command in ("DELETE", "PURGE"):
                    server.bodies.pop(path, None)
                    status = 204
                told = server.bodies.get(path, b"") if self.command == "GET" else b""
                self.send_response(status)
                for name, value in server.headers.get(path, {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_HEAD = do_PUT = do_DELETE = do_PURGE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"x-cache-status": "HIT"}, True), ({"x-cache-status": "EXPIRED"}, False), ({"x-cache": "MISS of a"}, False),
        ({"x-cache": "HIT, MISS"}, False), ({"x-cache": "RefreshHit from c"}, True), ({"x-varnish": "7"}, False),
        ({"cf-cache-status": "HIT"}, True), ({"cache-status": "edge; hit; ttl=30"}, True), ({"age": "7"}, None),
    ],
)  # fmt: skip
def test_the_nearest_cache_says_whether_it_was_a_hit(headers: dict[str, str], told: bool | None) -> None:
    assert is_hit(headers) is told


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        (200, {"cache-control": "public, max-age=5", "vary": "Accept-Encoding"}, ""), (404, {}, "status 404"),
        (200, {"cache-control": "Private, max-age=5"}, "Cache-Control: private"), (403, {}, "status 403"),
        (200, {"vary": "Accept-Encoding, Cookie"}, "Vary: Cookie"), (200, {"set-cookie": "a=b"}, "Set-Cookie"),
    ],
)  # fmt: skip
def test_what_is_not_for_others_is_named(status: int, headers: dict[str, str], why: str) -> None:
    assert unwarmable(status, headers) == why


def test_varnish_is_purged_by_its_method_and_nginx_has_none(server: Server) -> None:
    server.bodies["/a"] = b"x"

    async def go() -> None:
        varnish, nginx = (HttpCache(kind, kind, server.url) for kind in ("varnish", "nginx"))
        await varnish.purge("/a")
        with pytest.raises(NotConfigured, match="no purge"):
            await nginx.purge("/a")
        await varnish.close()
        await nginx.close()

    asyncio.run(go())
    assert server.asked == [("PURGE", "/a")]


def test_a_cookie_is_not_kept_for_the_next_request(server: Server) -> None:
    server.bodies |= {"/a": b"x", "/b": b"x"}
    server.headers["/a"] = {"Set-Cookie": "id=1"}

    async def go() -> None:
        cache = HttpCache("edge", "varnish", server.url)
        for item in ("/a", "/b"):
            await cache.fetch(item, 60)
        await cache.close()

    asyncio.run(go())
    assert server.cookies == [None, None]


@pytest.mark.parametrize(("lost", "told"), [(1, "200"), (2, "no connection")])
def test_a_connection_that_does_not_come_up_is_tried_once_more(
    server: Server, monkeypatch: pytest.MonkeyPatch, lost: int, told: str
) -> None:
    server.bodies["/a"] = b"1"
    connect, attempts = httpcore.AnyIOBackend.connect_tcp, []

    async def lossy(self, *args, **named):
        attempts.append(args)
        if len(attempts) <= lost:
            raise httpcore.ConnectTimeout
        return await connect(self, *args, **named)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", lossy)

    async def asked() -> str:
        cache = HttpCache("a", "nginx", server.url)
        try:
            return str((await cache.fetch("a", 60)).status)
        except Unreachable as error:
            return str(error)
        finally:
            await cache.close()

    assert told in asyncio.run(asked())
    assert len(server.asked) == 2 - lost


def test_bad_urls_and_kinds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no kind of cache is called `disk`"):
        HttpCache("edge", "disk", "http://h")
    with pytest.raises(InvalidInput, match="malformed"):
        HttpCache("edge", "nginx", "ftp://h")


def test_what_is_too_large_for_a_shelf_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.bodies["/a"] = b"film"
    monkeypatch.setattr("blocks.caches.stores.MOST_BYTES", 3)

    async def go() -> None:
        site = StoreSite("munich", Redis("127.0.0.1", 1), server.url)
        try:
            with pytest.raises(Refused, match="larger than 3 bytes"):
                await site.fetch("/a", 60)
            with pytest.raises(Unreachable):
                await site.probe("/a")
        finally:
            await site.close()

    asyncio.run(go())
