"""The warm executor against real Varnish, Squid and Redis: verified hits, purges, and what goes wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from itertools import count
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
PROGRAMS = {"varnish": "varnishd", "squid": "squid", "redis": "redis-server"}
NUMBER = count()


@dataclass(frozen=True)
class Scene:
    """A running cache and its origin, which all tests share; `rows` are a test's own, that nobody asked for before."""

    kind: str
    daemon: Daemon
    origin: Origin
    rows: list[Wanted]

    def open(self) -> CacheSite:
        """A client of the cache."""
        if self.kind == "redis":
            shelf = Redis("127.0.0.1", self.daemon.port, password="secret")
            return StoreSite(self.kind, shelf, f"http://127.0.0.1:{self.origin.port}")
        return HttpCache(self.kind, self.kind, self.daemon.url)

    def asked(self) -> list[int]:
        """How often the origin was asked for each of the rows that it was asked for."""
        return [self.origin.requests[row.item] for row in self.rows if row.item in self.origin.requests]


def started(kind: str, folder: Path, origin: Origin, **words: int) -> Daemon:
    if found(PROGRAMS[kind]) is None:
        pytest.skip(f"no {kind} on this machine")
    return getattr(cache_servers, kind)(folder / kind, *(() if kind == "redis" else (origin,)), **words)


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@pytest.fixture(scope="module", params=PROGRAMS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    origin = Origin()
    daemon = started(request.param, tmp_path_factory.mktemp("cache"), origin)
    yield Scene(request.param, daemon, origin, [])
    daemon.stop()
    origin.close()


@pytest.fixture
def scene(running: Scene) -> Scene:
    running.origin.requests.clear()
    running.origin.most_in_flight, running.origin.headers = 0, {}
    running.origin.answer = lambda path, number: 200
    test = next(NUMBER)
    return replace(running, rows=[Wanted(f"/{test}/{number}", 2048, 3600) for number in range(60)])


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(Store.open(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"))


def run(journal: Journal, site: CacheSite, rows: list[Wanted], plan: str = "") -> Warmed:
    """One run of a plan; each is another one, unless it is named."""
    (done,), _ = warm(plan or f"p{next(NUMBER)}", {site.name: rows}, {site.name: site}, journal, FAST)
    return done


def test_each_object_is_fetched_once_and_is_a_verified_hit(scene: Scene, journal: Journal) -> None:
    done = run(journal, scene.open(), scene.rows[:40])
    assert (done.verified, done.unwarmable, done.failed, done.gone, done.state) == (40, {}, 0, 0, "done")
    again = run(journal, scene.open(), scene.rows)
    assert (again.held, again.verified) == (40, 20)
    assert scene.asked() == [1] * 60
    assert scene.origin.most_in_flight <= FAST.in_flight


def test_answers_for_one_alone_are_named_and_not_held(scene: Scene, journal: Journal) -> None:
    wrong = ({"Set-Cookie": "id=1"}, {"Vary": "*"}, {"Cache-Control": "private"})
    scene.origin.headers = {row.item: header for row, header in zip(scene.rows, wrong, strict=False)}
    done = run(journal, scene.open(), scene.rows[:6])
    assert done.unwarmable == {"Set-Cookie": 1, "Vary: *": 1, "Cache-Control: private": 1}
    assert done.verified == 3


def test_errors_of_the_origin_stop_the_warming_and_the_plan_goes_on_later(scene: Scene, journal: Journal) -> None:
    scene.origin.answer = lambda path, number: 503 if number > 20 else 200
    done = run(journal, scene.open(), scene.rows, scene.rows[0].item)
    assert (done.state, "5xx" in done.detail) == ("stopped", True)
    assert scene.origin.requests.total() <= 22 + FAST.in_flight
    scene.origin.answer = lambda path, number: 200
    again = run(journal, scene.open(), scene.rows, scene.rows[0].item)
    assert (again.state, done.verified + again.verified) == ("done", 60)


def purged(scene: Scene, items: list[str]) -> None:
    async def go() -> None:
        site = scene.open()
        for item in items:
            await site.purge(item)
        await site.close()

    asyncio.run(go())


def test_a_purge_during_the_warm_is_seen(scene: Scene, journal: Journal) -> None:
    gone = [row.item for row in scene.rows[:2]]
    scene.origin.answer = lambda path, number: purged(scene, gone) or 200 if number == 50 else 200
    done = run(journal, scene.open(), scene.rows)
    assert (done.verified, done.gone) == (60, 2)


def test_what_is_purged_is_not_held_any_more(scene: Scene, journal: Journal) -> None:
    run(journal, scene.open(), scene.rows[:3])
    purged(scene, [scene.rows[1].item, "/never-held"])

    async def held() -> list[bool | None]:
        site = scene.open()
        try:
            return [await site.probe(row.item) for row in scene.rows[:3]]
        finally:
            await site.close()

    assert asyncio.run(held()) == [True, False, True]


def test_what_an_origin_whose_clock_is_behind_sends_is_stale_at_once_and_not_counted(
    scene: Scene, journal: Journal
) -> None:
    if scene.kind == "redis":
        pytest.skip("it keeps what it is given for as long as it is told")
    for row, off_s in ((scene.rows[0], -86_400), (scene.rows[1], 86_400)):
        at_s = time.time() + off_s
        scene.origin.headers[row.item] = {
            "Date": formatdate(at_s, usegmt=True), "Expires": formatdate(at_s + 7200, usegmt=True)
        }  # fmt: skip
    done = run(journal, scene.open(), scene.rows[:4])
    assert (done.verified, done.unwarmable) == (3, {"a second request was no hit": 1})
    assert scene.asked() == [1] * 4


@pytest.mark.parametrize("kind", ["varnish", "squid"])
def test_a_site_that_goes_down_in_mid_warm_is_told(kind: str, origin: Origin, journal: Journal, tmp_path: Path) -> None:
    daemon = started(kind, tmp_path, origin)
    rows = [Wanted(f"/o/{number}", 2048, 3600) for number in range(60)]
    origin.answer = lambda path, number: daemon.stop() or 200 if number == 20 else 200
    done = run(journal, HttpCache(kind, kind, daemon.url), rows)
    assert done.state == "down"
    assert done.verified < 60
    assert origin.requests.total() <= 20 + FAST.in_flight + FAST.per_site


@pytest.mark.parametrize("kind", ["varnish", "squid"])
def test_a_cache_smaller_than_the_plan_says_what_was_pushed_out(
    kind: str, origin: Origin, journal: Journal, tmp_path: Path
) -> None:
    origin.size = 60_000
    daemon = started(kind, tmp_path, origin, megabytes=1)
    rows = [Wanted(f"/o/{number}", 60_000, 3600) for number in range(40)]
    try:
        done = run(journal, HttpCache(kind, kind, daemon.url), rows)
    finally:
        daemon.stop()
    assert done.verified + sum(done.unwarmable.values()) == 40
    assert 0 < done.verified - done.gone <= 2**20 // 60_000
    assert max(many for path, many in origin.requests.items() if path.startswith("/o/")) == 1


@pytest.mark.skipif(found("redis-server") is None, reason="no redis on this machine")
def test_a_full_redis_stops_its_site_and_says_why(origin: Origin, journal: Journal, tmp_path: Path) -> None:
    origin.size = 200_000
    daemon = cache_servers.redis(tmp_path / "redis", most_bytes=3_000_000)
    rows = [Wanted(f"/o/{number}", 200_000, 3600) for number in range(60)]
    try:
        site = StoreSite("redis", Redis("127.0.0.1", daemon.port, password="secret"), f"http://127.0.0.1:{origin.port}")
        done = run(journal, site, rows)
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
