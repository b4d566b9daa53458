"""A site's cache: look without filling, fetch through it, take out. Verbs raise errors of `blocks.errors` only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

MATTERS_NOT = frozenset({"accept-encoding", "origin"})  # headers in Vary that every reader sends alike


@dataclass(frozen=True)
class Answer:
    """What a fetch gave.

    Attributes
    ----------
    status: of HTTP. hit: whether the cache had it, None where nothing says so. size: bytes of the body.
    seconds: from the request to the last byte. unwarmable: why no cache may give it to others; "" where one may.
    """

    status: int
    hit: bool | None
    size: int
    seconds: float
    unwarmable: str = ""


class CacheSite(Protocol):
    """The cache of one site."""

    name: str

    async def probe(self, item: str) -> bool | None:
        """Whether it is held, without fetching it; None where the cache cannot be asked."""
        ...

    async def fetch(self, item: str, ttl_s: int) -> Answer:
        """Ask for it, so that the cache holds it after."""
        ...

    async def purge(self, item: str) -> None:
        """Take it out; nothing happens where it is not held.

        Raises
        ------
        NotConfigured: the cache has no way to.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


def is_hit(headers: Mapping[str, str]) -> bool | None:
    """What an answer's headers (lower case) say of the cache nearest to us; None where they say nothing.

    `Cache-Status` (RFC 9211) lists the nearest last; `X-Cache-Status`, `CF-Cache-Status` and `X-Cache` (Squid,
    CloudFront, Varnish by custom) say it in a word; `X-Varnish` has two numbers where it was a hit.

    >>> is_hit({"x-cache": "Hit from cloudfront"}), is_hit({"x-varnish": "32770 3"})
    (True, True)
    >>> is_hit({"cache-status": "origin; hit, edge; fwd=miss"})
    False
    """
    if told := headers.get("cache-status"):
        return "hit" in [part.strip().lower() for part in told.rpartition(",")[2].split(";")[1:]]
    for name in ("x-cache-status", "cf-cache-status", "x-cache"):
        if told := headers.get(name):
            return told.rpartition(",")[2].split()[0].lower() in ("hit", "tcp_hit", "tcp_mem_hit", "refreshhit")
    if told := headers.get("x-varnish"):
        return len(told.split()) == 2
    return None


def unwarmable(status: int, headers: Mapping[str, str]) -> str:
    """Why an answer must not be kept for others (RFC 9111, section 3), "" where nothing speaks against it.

    >>> unwarmable(200, {"vary": "Accept-Encoding", "cache-control": "max-age=60"})
    ''
    >>> unwarmable(200, {"set-cookie": "id=1"}), unwarmable(200, {"vary": "*"})
    ('Set-Cookie', 'Vary: *')
    """
    if status not in (200, 203, 206):
        return f"status {status}"
    control = {part.strip().split("=")[0].lower() for part in headers.get("cache-control", "").split(",")}
    for word in ("private", "no-store", "no-cache"):
        if word in control:
            return f"Cache-Control: {word}"
    if "set-cookie" in headers:
        return "Set-Cookie"
    by = [name.strip() for name in headers.get("vary", "").split(",") if name.strip().lower() not in MATTERS_NOT]
    return f"Vary: {', '.join(by)}" if any(by) else ""
