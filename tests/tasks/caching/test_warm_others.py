"""The warm executor against real Varnish, Squid and Redis: verified hits, purges, answers that are for one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.caches import CacheSite
from blocks.caches.over_http import HttpCache
from blocks.caches.stores import Redis, StoreSite
from blocks.errors import OperationFailed, Unauthorized
from blocks.store import Journal, Store
from tasks.caching.origin import Limits
from tasks.caching.warm import Wanted, Warmed, warm
from tests.tasks.caching import cache_servers
from tests.tasks.caching.cache_servers import Daemon, Origin, found

FAST = Limits(requests_per_s=5000, bytes_per_s=1e9, in_flight=6, per_site=8, slower=1e9)
ROWS = [Wanted(f"/o/{number}", 2048, 3600) for number in range(60)]
PROGRAMS = {"varnish": "varnishd", "squid": "squid", "redis": "redis-server"}

Open = Callable[[], CacheSite]


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@pytest.fixture(params=PROGRAMS)
def opened(request: pytest.FixtureRequest, origin: Origin, tmp_path: Path) -> Iterator[Open]:
    """Makes a client of the running cache, as often as it is called."""
    kind = request.param
    if found(PROGRAMS[kind]) is None:
        pytest.skip(f"no {kind} on this machine")
    daemon: Daemon = (
        cache_servers.redis(tmp_path / kind)
        if kind == "redis"
        else getattr(cache_servers, kind)(tmp_path / kind, origin)
    )
    if kind == "redis":
        yield lambda: StoreSite(
            kind, Redis("127.0.0.1", daemon.port, password="secret"), f"http://127.0.0.1:{origin.port}"
        )
    else:
        yield lambda: HttpCache(kind, kind, daemon.url)
    daemon.stop()


def run(folder: Path, site: CacheSite, rows: list[Wanted], plan: str) -> Warmed:
    url = f"sqlite:///{folder}/store.db"
    (done,), _ = warm(plan, {site.name: rows}, {site.name: site}, Journal(Store.open(url)), FAST)
    return done


def test_each_object_is_fetched_once_and_is_a_verified_hit(opened: Open, origin: Origin, tmp_path: Path) -> None:
    done = run(tmp_path, opened(), ROWS[:40], "p1")
    assert (done.verified, done.unwarmable, done.failed, done.gone, done.state) == (40, {}, 0, 0, "done")
    again = run(tmp_path, opened(), ROWS, "p2")
    assert (again.held, again.verified) == (40, 20)
    asked = {path: many for path, many in origin.requests.items() if path.startswith("/o/")}
    assert (len(asked), max(asked.values())) == (60, 1)
    assert origin.most_in_flight <= FAST.in_flight


def test_answers_for_one_alone_are_named_and_not_held(opened: Open, origin: Origin, tmp_path: Path) -> None:
    origin.headers = {"/o/1": {"Set-Cookie": "id=1"}, "/o/2": {"Vary": "*"}, "/o/3": {"Cache-Control": "private"}}
    done = run(tmp_path, opened(), ROWS[:6], "p1")
    assert done.unwarmable == {"Set-Cookie": 1, "Vary: *": 1, "Cache-Control: private": 1}
    assert done.verified == 3


def test_what_is_purged_is_not_held_any_more(opened: Open, origin: Origin, tmp_path: Path) -> None:
    run(tmp_path, opened(), ROWS[:3], "p1")

    async def purged() -> list[bool | None]:
        site = opened()
        try:
            await site.purge("/o/1")
            await site.purge("/o/never-held")
            return [await site.probe(f"/o/{number}") for number in range(3)]
        finally:
            await site.close()

    assert asyncio.run(purged()) == [True, False, True]


@pytest.mark.skipif(found("redis-server") is None, reason="no redis on this machine")
def test_a_full_redis_stops_its_site_and_says_why(origin: Origin, tmp_path: Path) -> None:
    origin.size = 200_000
    daemon = cache_servers.redis(tmp_path / "redis", most_bytes=3_000_000)
    rows = [Wanted(f"/o/{number}", 200_000, 3600) for number in range(60)]
    try:
        site = StoreSite("redis", Redis("127.0.0.1", daemon.port, password="secret"), f"http://127.0.0.1:{origin.port}")
        done = run(tmp_path, site, rows, "p1")
    finally:
        daemon.stop()
    assert done.state == "down"
    assert "OOM" in done.detail
    assert 0 < done.verified < 20


@pytest.mark.skipif(found("redis-server") is None, reason="no redis on this machine")
def test_redis_keeps_bodies_whatever_bytes_they_hold(tmp_path: Path) -> None:
    daemon = cache_servers.redis(tmp_path / "redis")
    bodies = {"a": b"\r\n$5\r\n\0", "b": b"", "c": bytes(range(256))}

    async def go() -> list[int | str]:
        shelf = Redis("127.0.0.1", daemon.port, password="secret")
        for key, body in bodies.items():
            await shelf.put(key, body, 60)
        lengths = [await shelf._ask(b"STRLEN", key.encode()) for key in bodies]
        await shelf.close()
        return lengths

    try:
        assert asyncio.run(go()) == [len(body) for body in bodies.values()]
    finally:
        daemon.stop()


@pytest.mark.skipif(found("redis-server") is None, reason="no redis on this machine")
def test_redis_forgets_by_its_own_clock_and_wants_its_password(origin: Origin, tmp_path: Path) -> None:
    daemon = cache_servers.redis(tmp_path / "redis")

    async def go() -> tuple[int | str, str]:
        good, bad = (Redis("127.0.0.1", daemon.port, password=word) for word in ("secret", "wrong"))
        await good.put("k", b"v", 77)
        left = await good._ask(b"TTL", b"k")
        with pytest.raises((Unauthorized, OperationFailed)) as told:
            await bad.has("k")
        await good.close()
        await bad.close()
        return left, str(told.value)

    try:
        left, told = asyncio.run(go())
    finally:
        daemon.stop()
    assert left in (76, 77)
    assert "WRONGPASS" in told
