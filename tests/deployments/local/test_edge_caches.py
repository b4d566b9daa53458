"""Simulated edge caches behind a real socket: what users and the warmer get of them."""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import uvicorn
from starlette.applications import Starlette

from blocks.caches.over_http import WARMER
from blocks.fleet import Fleet
from deployments.local.clock import SimulatedClock
from deployments.local.edge_caches import AHEAD_S, PATH, EdgeCaches, routes
from deployments.local.edge_users import Crowd

CROWD = Crowd(days=2, requests=60, objects=200)


@pytest.fixture
def caches(fleet: Fleet, clock: SimulatedClock) -> EdgeCaches:
    return EdgeCaches(fleet, clock, 7, CROWD)


@pytest.fixture
def url(caches: EdgeCaches) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes(caches)), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/edge"
    server.should_exit = True
    thread.join(10)


def ask(url: str, site: str, item: int, **headers: str) -> tuple[int, str]:
    answer = requests.get(f"{url}/{site}{PATH}{item}", headers=headers, timeout=10)
    return answer.status_code, answer.headers.get("X-Cache-Tier", "")


def cold(caches: EdgeCaches, site: str) -> int:
    """An object that the site and its region have not."""
    sites, regions, _ = caches._places
    places = (sites[site].tier, regions[caches.sites[site]].tier)
    return next(
        item for item in range(CROWD.objects) if not any(each.has(item, caches._clock.now()) for each in places)
    )


def test_their_log_is_what_the_flow_reads(url: str, caches: EdgeCaches) -> None:
    rows: list[dict[str, Any]] = list(csv.DictReader(requests.get(f"{url}/log.csv", timeout=10).text.splitlines()))
    assert list(rows[0]) == ["ts", "site", "object", "bytes"]
    assert {row["site"] for row in rows} == set(caches.sites)
    assert all(float(row["ts"]) < caches._clock.now() for row in rows)
    assert rows == sorted(rows, key=lambda row: float(row["ts"]))


def test_users_to_come_are_the_same_every_time_and_after_the_log(url: str, caches: EdgeCaches) -> None:
    first, second = (requests.get(f"{url}/to-come", timeout=10).json() for _ in range(2))
    assert first == second
    assert {each.site for each in caches.to_come()} <= set(first)
    assert all(caches._clock.now() <= each.at_s < caches._clock.now() + AHEAD_S for each in caches.to_come())


def test_what_is_not_held_is_504_to_who_wants_it_from_the_cache_alone(url: str, caches: EdgeCaches) -> None:
    item = cold(caches, "munich-1")
    assert ask(url, "munich-1", item, **{"Cache-Control": "only-if-cached"}) == (504, "")
    nothing = requests.get(f"{url}/munich-1/never", headers={"Cache-Control": "only-if-cached"}, timeout=10)
    assert nothing.status_code == 504
    assert caches.requests == 0


def test_what_the_warmer_asks_for_is_pinned_and_a_hit_for_users(url: str, caches: EdgeCaches) -> None:
    item, warmer = cold(caches, "munich-1"), {"User-Agent": WARMER}
    assert ask(url, "munich-1", item, **warmer)[1] == "origin"
    assert ask(url, "munich-1", item, **warmer, **{"Cache-Control": "only-if-cached"}) == (200, "local")
    for number in range(100):
        ask(url, "munich-1", number)
    assert ask(url, "munich-1", item) == (200, "local")


def test_what_the_warmer_brings_to_a_region_its_users_get_without_the_origin(url: str, caches: EdgeCaches) -> None:
    item, region = cold(caches, "munich-1"), caches.sites["munich-1"]
    assert ask(url, region, item, **{"User-Agent": WARMER})[1] == "origin"
    assert ask(url, region, item, **{"User-Agent": WARMER, "Cache-Control": "only-if-cached"}) == (200, "local")
    assert ask(url, "munich-1", item) == (200, "regional")
    assert caches.requests == 1


def test_what_only_the_users_part_holds_is_copied_without_the_origin(url: str, caches: EdgeCaches) -> None:
    held = next(
        item for item in range(CROWD.objects) if caches._places[0]["munich-1"].tier.has(item, caches._clock.now())
    )
    assert ask(url, "munich-1", held, **{"User-Agent": WARMER}) == (200, "copied")
    assert caches.requests == 0


def test_a_reset_puts_back_what_the_past_has_left(url: str, caches: EdgeCaches) -> None:
    item = cold(caches, "osaka-2")
    ask(url, "osaka-2", item, **{"User-Agent": WARMER})
    assert requests.post(f"{url}/reset", timeout=10).json()["origin"] == {"requests": 0, "most_in_flight": 0}
    assert cold(caches, "osaka-2") == item


@pytest.mark.parametrize("path", ["/nowhere/film/1", "/munich-1/film/9999", "/munich-1/film/x"])
def test_what_is_not_there_is_404(url: str, path: str) -> None:
    assert requests.get(f"{url}{path}", timeout=10).status_code == 404
