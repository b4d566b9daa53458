"""Caches that are asked by HTTP: nginx `proxy_cache`, Varnish, Squid, CloudFront through a named point of presence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple
from uuid import uuid4

import httpx

from blocks.caches import Answer, is_hit, unwarmable
from blocks.errors import ContinuumError, InvalidInput, NotConfigured, Refused, TimedOut, Unreachable
from blocks.http import CONNECT_TIMEOUT_S, LOOPBACK, of_status, shown


class Kind(NamedTuple):
    """How a cache is asked: whether it answers `only-if-cached` by 504 where it has nothing, and its purge method."""

    probes: bool
    purge: str


# nginx needs the `map` of tasks/caching/README.md to probe, and a module to purge; Varnish a few lines of VCL for both.
KINDS = {
    "nginx": Kind(True, ""),
    "varnish": Kind(True, "PURGE"),
    "squid": Kind(True, "PURGE"),
    "cloudfront": Kind(False, ""),
}
ONLY_CACHED = {"Cache-Control": "only-if-cached"}  # RFC 9111, section 5.2.1.7
WARMER = "continuum-cache-warmer"  # our User-Agent: what a cache tells the requests by that may fill its pinned part
NO_COOKIES = DefaultCookiePolicy(allowed_domains=[])  # one that was set for us would make caches pass by what follows
READ_TIMEOUT_S = 90.0  # longer than nginx gives an origin (60 s): it must give up before we do


class HttpCache:
    """A `CacheSite` behind a URL.

    Parameters
    ----------
    url: of the cache, without the object's path. host: the name that objects are asked under, where it is another.
    """

    def __init__(self, name: str, kind: str, url: str, *, host: str = "", connections: int = 16) -> None:
        if kind not in KINDS:
            raise InvalidInput(f"no kind of cache is called `{kind}`", where=name, fix=f"use {', '.join(KINDS)}")
        parts = httpx.URL(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise InvalidInput("the URL is malformed", where=f"{name} {url:.80}", fix="write it as https://host[:port]")
        self.name, self._kind, self.where = name, KINDS[kind], f"cache {name} at {shown(url)}"
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._probes: bool | None = None if self._kind.probes else False
        self._first = asyncio.Lock()
        self._extensions = {"sni_hostname": host} if host and parts.scheme == "https" else {}
        headers = {"User-Agent": WARMER} | ({"Host": host} if host else {})
        self._http = httpx.AsyncClient(
            base_url=url, limits=limits, timeout=timeout, headers=headers, cookies=CookieJar(NO_COOKIES),
            trust_env=parts.host not in LOOPBACK,
        )  # fmt: skip

    async def probe(self, item: str) -> bool | None:
        """See `CacheSite.probe`.

        A cache that does not know `only-if-cached` would fetch: it is asked once for something that nobody has, and not
        probed where it does not say 504 to that.
        """
        async with self._first:
            if self._probes is None:
                self._probes = (await self._ask("GET", f"/.continuum-{uuid4().hex}", ONLY_CACHED))[0] == 504
        if not self._probes:
            return None
        status, headers, _, _ = await self._ask("GET", item, ONLY_CACHED)
        return status != 504 and is_hit(headers) is True

    async def fetch(self, item: str, ttl_s: int) -> Answer:
        """See `CacheSite.fetch`; how long it is kept, the cache and the origin's headers say."""
        del ttl_s
        status, headers, size, seconds = await self._ask("GET", item, {})
        return Answer(status, is_hit(headers), size, seconds, self.why_not(status, headers))

    def why_not(self, status: int, headers: Mapping[str, str]) -> str:
        """Why an answer (headers in lower case) warms nothing; "" where it does."""
        return unwarmable(status, headers)

    async def read(self, item: str, most_bytes: int) -> tuple[Answer, bytes]:
        """The answer with its body, as it is without encoding.

        Raises
        ------
        Refused: it is larger than that.
        """
        body = bytearray()
        status, headers, size, seconds = await self._ask("GET", item, {"Accept-Encoding": "identity"}, body, most_bytes)
        return Answer(status, is_hit(headers), size, seconds, unwarmable(status, headers)), bytes(body)

    async def purge(self, item: str) -> None:
        """See `CacheSite.purge`."""
        if not self._kind.purge:
            raise NotConfigured("this kind of cache has no purge", where=self.where, fix="wait for the object's TTL")
        status, _, _, _ = await self._ask(self._kind.purge, item, {})
        if status not in (200, 204, 404):
            raise of_status(status, b"", where=self.where)

    async def close(self) -> None:
        """See `CacheSite.close`."""
        await self._http.aclose()

    async def _ask(
        self, method: str, item: str, headers: Mapping[str, str], body: bytearray | None = None, most_bytes: int = 0
    ) -> tuple[int, dict[str, str], int, float]:
        """Status, headers in lower case, bytes of the body, seconds; the body is kept where there is something to."""
        begin, size = time.monotonic(), 0
        try:
            path, more = _addressed(item)
            request = self._http.build_request(method, path, headers={**more, **headers}, extensions=self._extensions)
            try:
                answer = await self._http.send(request, stream=True)
            except httpx.ConnectTimeout:  # a packet was lost, or we were late ourselves: nothing has been asked yet
                answer = await self._http.send(request, stream=True)
            try:
                async for part in answer.aiter_raw():
                    size += len(part)
                    if body is not None:
                        body += part
                        if size > most_bytes:
                            raise Refused(f"larger than {most_bytes} bytes", where=self.where, fix="leave it out")
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _of_httpx(error, self.where) from None
        told = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status_code, told, size, time.monotonic() - begin


def _addressed(item: str) -> tuple[str, dict[str, str]]:
    """The path of an object and the Host it is asked under: Varnish logs name both.

    >>> _addressed("http://www.example/a?x=1"), _addressed("a")
    (('/a?x=1', {'Host': 'www.example'}), ('/a', {}))
    """
    if item.startswith(("http://", "https://")):
        url = httpx.URL(item)
        return url.raw_path.decode(), {"Host": url.netloc.decode()}
    return (item if item.startswith("/") else f"/{item}"), {}


def _of_httpx(error: Exception, where: str) -> ContinuumError:
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return InvalidInput("the object's path is no URL", where=where, fix="leave it out of the plan")
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return TimedOut("no answer in time", where=where, fix="read the state again before repeating it")
    return Unreachable(
        f"no connection ({type(error).__name__})", where=where, fix="check the address and whether it is up"
    )
