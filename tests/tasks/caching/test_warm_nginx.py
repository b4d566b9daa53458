"""The warm executor against a real nginx: what is held, what the origin sees, and everything that goes wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from email.utils import formatdate
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from blocks.caches.over_http import HttpCache
from blocks.store import Journal, Store
from tasks.caching.origin import Limits
from tasks.caching.warm import Wanted, Warmed, claim, warm
from tests.tasks.caching.cache_servers import Nginx, Origin, found

pytestmark = pytest.mark.skipif(found() is None, reason="no nginx on this machine")

FAST = Limits(requests_per_s=5000, bytes_per_s=1e9, in_flight=6, per_site=8, slower=1e9)
FEW = [Wanted(f"/o/{number}", 2048, 3600) for number in range(200)]


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()
    yield made
    made.close()


@pytest.fixture
def nginx(origin: Origin, tmp_path: Path) -> Iterator[Nginx]:
    made = Nginx(tmp_path / "nginx", origin)
    yield made
    made.stop()


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/store.db"
    Store.open(made).close()
    return made


def run(url: str, sites: dict[str, str], rows: list[Wanted], limits: Limits = FAST, plan: str = "p1") -> list[Warmed]:
    caches = {name: HttpCache(name, "nginx", at) for name, at in sites.items()}
    done, _ = warm(plan, dict.fromkeys(sites, rows), caches, Journal(Store.open(url)), limits)
    return done


def test_3000_objects_are_each_a_verified_hit_and_the_origin_never_has_more_than_its_cap(origin, nginx, url) -> None:
    rows = [Wanted(f"/o/{number}", 2048, 3600) for number in range(3000)]
    (done,) = run(url, {"edge": nginx.url}, rows)
    assert (done.verified, done.held, done.failed, done.gone, done.state) == (3000, 0, 0, 0, "done")
    assert (origin.requests.total(), max(origin.requests.values())) == (3000, 1)
    assert origin.most_in_flight <= FAST.in_flight


def test_sites_share_one_cap(origin, nginx, url, tmp_path) -> None:
    other = Nginx(tmp_path / "other", origin)
    try:
        done = run(url, {"a": nginx.url, "b": other.url}, FEW)
    finally:
        other.stop()
    assert [each.verified for each in done] == [200, 200]
    assert 1 < origin.most_in_flight <= FAST.in_flight


def test_a_regions_cache_is_filled_before_its_sites(origin, nginx, url) -> None:
    plans = {"site": FEW[:20], "west": [Wanted(f"/west/{number}", 2048, 3600, "regional") for number in range(20)]}
    caches = {name: HttpCache(name, "nginx", nginx.url) for name in plans}
    done, _ = warm("p1", plans, caches, Journal(Store.open(url)), FAST)
    assert [(each.site, each.verified) for each in done] == [("west", 20), ("site", 20)]
    assert [path[:3] for path in origin.requests if path[:3] in ("/we", "/o/")] == ["/we"] * 20 + ["/o/"] * 20


def test_what_is_held_already_is_not_fetched(origin, nginx, url) -> None:
    run(url, {"edge": nginx.url}, FEW[:50])
    (done,) = run(url, {"edge": nginx.url}, FEW, plan="p2")
    assert (done.held, done.verified) == (50, 150)
    assert max(origin.requests.values()) == 1


def test_answers_that_are_not_for_others_are_named_and_not_asked_twice(origin, nginx, url) -> None:
    origin.headers = {"/o/1": {"Set-Cookie": "id=1"}, "/o/2": {"Vary": "*"}, "/o/3": {"Cache-Control": "private"},
                      "/o/4": {"Vary": "User-Agent"}}  # fmt: skip
    (done,) = run(url, {"edge": nginx.url}, FEW[:10])
    assert done.unwarmable == {"Set-Cookie": 1, "Vary: *": 1, "Cache-Control: private": 1, "Vary: User-Agent": 1}
    assert done.verified == 6
    assert max(origin.requests.values()) == 1


def test_an_answer_that_the_cache_will_not_keep_is_not_counted(origin, nginx, url) -> None:
    origin.headers = {"/o/1": {"X-Accel-Expires": "0"}}
    (done,) = run(url, {"edge": nginx.url}, FEW[:3])
    assert (done.verified, done.unwarmable) == (2, {"a second request was no hit": 1})
    assert origin.requests["/o/1"] == 1


def test_what_an_origin_whose_clock_is_behind_sends_is_stale_at_once_and_not_counted(origin, nginx, url) -> None:
    for item, off_s in (("/o/0", -86_400), ("/o/1", 86_400)):
        at_s = time.time() + off_s
        origin.headers[item] = {"Date": formatdate(at_s, usegmt=True), "Expires": formatdate(at_s + 7200, usegmt=True)}
    (done,) = run(url, {"edge": nginx.url}, FEW[:4])
    assert (done.verified, done.unwarmable) == (3, {"a second request was no hit": 1})
    assert max(origin.requests.values()) == 1


def test_errors_of_the_origin_stop_all_sites_and_the_plan_goes_on_later(origin, nginx, url) -> None:
    origin.answer = lambda path, number: 503 if number > 100 else 200
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert done.state == "stopped"
    assert "5xx" in done.detail
    assert origin.requests.total() <= 102 + FAST.in_flight
    origin.answer = lambda path, number: 200
    (again,) = run(url, {"edge": nginx.url}, FEW)
    assert again.state == "done"
    assert done.verified + again.verified == 200


def test_an_origin_that_slows_down_is_left_alone(origin, nginx, url) -> None:
    slow = Limits(requests_per_s=5000, bytes_per_s=1e9, in_flight=4, per_site=4, baseline_s=0.005)
    origin.delay_s = 0.08
    (done,) = run(url, {"edge": nginx.url}, FEW, slow)
    assert done.state == "stopped"
    assert "the origin takes" in done.detail
    assert origin.requests.total() < 60


def test_a_site_that_goes_down_stops_alone(origin, nginx, url, tmp_path) -> None:
    other = Nginx(tmp_path / "other", origin)
    origin.answer = lambda path, number: other.stop() or 200 if number == 100 else 200
    done = {each.site: each for each in run(url, {"a": nginx.url, "b": other.url}, FEW)}
    assert (done["a"].state, done["a"].verified) == ("done", 200)
    assert done["b"].state == "down"
    assert "no connection" in done["b"].detail


def test_a_purge_during_the_warm_is_seen(origin, nginx, url) -> None:
    origin.answer = lambda path, number: nginx.purge(["/o/1", "/o/2"]) or 200 if number == 150 else 200
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert (done.verified, done.gone) == (200, 2)
    assert max(origin.requests.values()) == 1


def test_a_frozen_site_is_refused(nginx, url) -> None:
    Journal(Store.open(url)).freeze("cache/edge")
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert done.state == "refused"
    assert "frozen" in done.detail


def test_a_freeze_in_mid_warm_stops_it(origin, nginx, url) -> None:
    origin.answer = lambda path, number: Journal(Store.open(url)).freeze("cache") and 200 if number == 40 else 200
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert done.state == "refused"
    assert "frozen" in done.detail
    assert origin.requests.total() < 120


def test_two_runs_at_once_are_refused_and_a_done_plan_is_not_done_again(origin, nginx, url) -> None:
    other = Journal(Store.open(url))
    intent, _ = claim(other, "p1", "edge", 200)
    assert intent is not None
    for plan in ("p1", "p2"):
        (done,) = run(url, {"edge": nginx.url}, FEW, plan=plan)
        assert done.state == "refused"
    assert origin.requests.total() == 0
    other.done(intent)
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert done.detail == "was done before"


def _once(url: str, at: str, rows: list[Wanted], ready: Any, told: Any) -> None:
    ready.wait(30)
    (done,) = run(url, {"edge": at}, rows)
    told.put((done.state, done.detail, done.verified))


def test_of_two_runs_at_the_same_moment_one_warms_and_nothing_is_fetched_twice(origin, nginx, url) -> None:
    processes = get_context("forkserver")
    ready, told = processes.Barrier(2), processes.Queue()
    children = [processes.Process(target=_once, args=(url, nginx.url, FEW, ready, told)) for _ in range(2)]
    for child in children:
        child.start()
    ends = sorted(told.get(timeout=60) for _ in children)
    for child in children:
        child.join(30)
    assert ends[0] == ("done", "", 200)
    assert ends[1][0] == "refused" or ends[1] == ("done", "was done before", 0)
    assert (len(origin.requests), max(origin.requests.values())) == (200, 1)


def _killed(url: str, at: str, rows: list[Wanted]) -> None:
    run(url, {"edge": at}, rows, Limits(requests_per_s=400, bytes_per_s=1e9, in_flight=4, per_site=4))


def test_a_killed_run_goes_on_and_fetches_nothing_twice(origin, nginx, url) -> None:
    child = get_context("forkserver").Process(target=_killed, args=(url, nginx.url, FEW))
    origin.answer = lambda path, number: os.kill(child.pid, signal.SIGKILL) or 200 if number == 120 else 200
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    origin.answer = lambda path, number: 200
    (done,) = run(url, {"edge": nginx.url}, FEW)
    assert done.state == "done"
    assert (len(origin.requests), max(origin.requests.values())) == (200, 1)
    assert done.held + done.verified < 200  # it went on from the cursor


def test_a_cache_smaller_than_the_plan_says_what_was_pushed_out(origin, url, tmp_path) -> None:
    origin.size = 40_000
    small = Nginx(tmp_path / "small", origin, max_size="2m")
    rows = [Wanted(f"/o/{number}", 40_000, 3600) for number in range(300)]
    try:
        (done,) = run(url, {"edge": small.url}, rows)
    finally:
        small.stop()
    assert done.verified + sum(done.unwarmable.values()) == 300
    assert max(origin.requests.values()) == 1


def test_what_could_not_be_verified_before_a_stop_is_not_called_unwarmable(origin, url, tmp_path) -> None:
    plain = Nginx(tmp_path / "plain", origin, probes=False)
    origin.answer = lambda path, number: 503 if number > 60 else 200
    many_wait = Limits(requests_per_s=5000, bytes_per_s=1e9, in_flight=2, per_site=32, slower=1e9)
    try:
        (done,) = run(url, {"edge": plain.url}, FEW, many_wait)
        origin.answer = lambda path, number: 200
        (again,) = run(url, {"edge": plain.url}, FEW)
    finally:
        plain.stop()
    assert (done.state, done.unwarmable) == ("stopped", {})
    assert (again.state, again.unwarmable) == ("done", {})


def test_a_cache_that_cannot_be_probed_is_not_filled_past_the_cap(origin, url, tmp_path) -> None:
    plain = Nginx(tmp_path / "plain", origin, probes=False)
    try:
        (done,) = run(url, {"edge": plain.url}, FEW[:100])
        (again,) = run(url, {"edge": plain.url}, FEW[:100], plan="p2")
    finally:
        plain.stop()
    assert (done.verified, again.held, again.verified) == (100, 100, 0)
    assert origin.requests.total() == 100 + 2  # and each run's question for something that nobody has
    assert origin.most_in_flight <= FAST.in_flight
