"""Whether many endpoints answer well: one request to each, all in flight at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import httpx

from blocks.http import LOOPBACK

TIMEOUT_S = 4.0  # shorter than the time between two rounds of checks
AT_ONCE = 200
WELL, FAILED, UNKNOWN = 1, 0, -1


def answers(urls: Sequence[str], timeout_s: float = TIMEOUT_S) -> list[int]:
    """Of each URL, WELL (status 200-399, as probes of Kubernetes have it), FAILED, or UNKNOWN where it is our fault.

    It is our fault where a name cannot be resolved, or no request can be made here at all: that says nothing of a site.
    """
    return asyncio.run(_answers(urls, timeout_s))


async def _answers(urls: Sequence[str], timeout_s: float) -> list[int]:
    direct = {f"all://{'[::1]' if host == '::1' else host}": None for host in LOOPBACK}
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
    waiting = asyncio.Semaphore(AT_ONCE)  # a time-out counts from when the request is made, not from when it queued
    async with httpx.AsyncClient(limits=limits, mounts=direct, timeout=timeout_s) as client:

        async def ask(url: str) -> int:
            async with waiting:
                return await _ask(client, url, timeout_s)

        return await asyncio.gather(*(ask(url) for url in urls))


async def _ask(client: httpx.AsyncClient, url: str, timeout_s: float) -> int:
    try:
        async with asyncio.timeout(timeout_s), client.stream("GET", url) as answer:  # the body is not read
            return WELL if 200 <= answer.status_code < 400 else FAILED
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.ProxyError):
        return UNKNOWN
    except (httpx.HTTPError, TimeoutError) as error:
        return UNKNOWN if _ours(error) else FAILED
    except OSError:  # no more sockets, for one
        return UNKNOWN


def _ours(error: BaseException) -> bool:
    """Whether a name was not resolved, somewhere down the chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
