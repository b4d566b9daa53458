"""Simulated edge caches: two sites in each of the fleet's edge regions, a shared cache a region, and one origin.

They serve over HTTP as an nginx does that is set up as in tasks/caching/README.md: `X-Cache-Status`, 504 to
`only-if-cached` where nothing is held, and a pinned part that only the warmer's requests fill. Whatever a user asks
for goes the way of `tasks.caching.decide.lookup`. Their past is made up by `edge_users`, and is played when they are
first asked; a restart empties them.
"""

from __future__ import annotations

import asyncio
import csv
import io
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.caches.over_http import WARMER
from blocks.fleet import Fleet
from blocks.fleet import Tier as SiteTier
from deployments.local.clock import SimulatedClock
from deployments.local.edge_users import DAY_S, Asked, Crowd, drawn, sizes
from tasks.caching.decide.lookup import Heard, Place, Tier, look_up

PATH = "/film/"
SITE_SHARE, REGION_SHARE = 0.05, 0.10  # of all objects' bytes
ORIGIN_S = 0.015  # until the origin answers
AHEAD_S = 4 * 3600.0  # of users' requests that are drawn for after the past


class EdgeCaches:
    """All of them, on the fleet's simulated clock."""

    def __init__(self, fleet: Fleet, clock: SimulatedClock, seed: int, crowd: Crowd = Crowd()) -> None:
        regions = [site.name for site in fleet.sites if site.tier is not SiteTier.CLOUD_REGION]
        self.regions = regions
        self.sites = {f"{region}-{number}": region for region in regions for number in (1, 2)}
        self._clock, self._seed, self._crowd = clock, seed, crowd
        self.size = sizes(seed, crowd)
        self.requests = self.in_flight = self.most_in_flight = 0  # at the origin

    @cached_property
    def _asked(self) -> tuple[float, list[Asked]]:
        """Now, and what users ask for up to then and for a while after."""
        now_s = self._clock.now()
        past_s = self._crowd.days * DAY_S
        return now_s, drawn(self.sites, now_s - past_s, now_s + AHEAD_S, self._seed, self._crowd)

    @cached_property
    def _places(self) -> tuple[dict[str, Place], dict[str, Place], Heard]:
        """Sites, regions and what all have heard, as their past has left them."""
        total = sum(self.size)
        sites = {name: Place(Tier(int(SITE_SHARE * total), self.size)) for name in self.sites}
        regions = {name: Place(Tier(int(REGION_SHARE * total), self.size)) for name in self.regions}
        everyone = Heard()
        for asked in self.past():
            look_up(asked.item, asked.at_s, sites[asked.site], regions[self.sites[asked.site]], everyone)
        return sites, regions, everyone

    def past(self) -> list[Asked]:
        """What users have asked for."""
        now_s, asked = self._asked
        return [each for each in asked if each.at_s < now_s]

    def to_come(self) -> list[Asked]:
        """What they will ask for in the next four hours."""
        now_s, asked = self._asked
        return [each for each in asked if each.at_s >= now_s]

    def reset(self) -> None:
        """As their past has left them; the origin counts from 0."""
        self.__dict__.pop("_places", None)
        self.requests = self.most_in_flight = 0

    async def serve(self, site: str, item: int, *, only_cached: bool, warmer: bool) -> tuple[int, str]:
        """A request's status, and the tier that answered.

        The warmer meets the pinned part alone, as a zone of its own: what only the other part holds is copied. A
        region's cache, asked by the region's name, is the warmer's alone: users come to it through their site's.
        """
        sites, regions, everyone = self._places
        region, now_s = regions[self.sites.get(site, site)], self._clock.now()
        here = sites.get(site, region)
        held = here.tier.has(item, now_s)
        pinned = here.tier.is_pinned(item, now_s)
        if only_cached:
            return (200, "local") if (pinned if warmer else held) else (504, "")
        if not warmer and site in sites:
            told = look_up(item, now_s, here, region, everyone)
        elif pinned:
            return 200, "local"
        else:
            told = "copied" if held else "regional" if region.tier.has(item, now_s) else "origin"
            here.tier.pin(item, now_s, DAY_S)
        if told == "origin":
            await self._fetch()
        return 200, told

    async def _fetch(self) -> None:
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(ORIGIN_S)
        finally:
            self.in_flight -= 1


def routes(caches: EdgeCaches) -> list[Route]:
    """`/edge`: what there is; its log and its users; and the caches themselves under `/edge/SITE`, `/edge/REGION`."""
    api = _Api(caches)
    return [
        Route("/edge", api.show),
        Route("/edge/log.csv", api.log),
        Route("/edge/to-come", api.to_come),
        Route("/edge/reset", api.reset, methods=["POST"]),
        Route("/edge/{site}/{path:path}", api.serve),
    ]


class _Api:
    def __init__(self, caches: EdgeCaches) -> None:
        self.caches = caches
        self.numbers = {f"{PATH}{item}": item for item in range(len(caches.size))}

    async def show(self, _: Request) -> Response:
        caches = self.caches
        total = sum(caches.size)
        return JSONResponse({
            "simulated": True,
            "sites": [{"name": name, "region": region, "bytes": int(SITE_SHARE * total)}
                      for name, region in caches.sites.items()],
            "regions": [{"name": name, "bytes": int(REGION_SHARE * total)} for name in caches.regions],
            "origin": {"requests": caches.requests, "most_in_flight": caches.most_in_flight},
        })  # fmt: skip

    async def log(self, _: Request) -> Response:
        text = io.StringIO()
        rows = (
            (f"{at_s:.3f}", site, f"{PATH}{item}", self.caches.size[item]) for at_s, site, item in self.caches.past()
        )
        csv.writer(text, lineterminator="\n").writerows([("ts", "site", "object", "bytes"), *rows])
        return Response(text.getvalue(), media_type="text/csv")

    async def to_come(self, _: Request) -> Response:
        asked: dict[str, Any] = {name: [] for name in self.caches.sites}
        for each in self.caches.to_come():
            asked[each.site].append(f"{PATH}{each.item}")
        return JSONResponse(asked)

    async def reset(self, request: Request) -> Response:
        self.caches.reset()
        return await self.show(request)

    async def serve(self, request: Request) -> Response:
        site, path = request.path_params["site"], "/" + request.path_params["path"]
        only_cached = "only-if-cached" in request.headers.get("cache-control", "")
        item = self.numbers.get(path)
        if site not in (*self.caches.sites, *self.caches.regions) or item is None:
            return Response(status_code=504 if only_cached else 404)
        status, tier = await self.caches.serve(
            site, item, only_cached=only_cached, warmer=request.headers.get("user-agent") == WARMER
        )
        if status != 200:
            return Response(status_code=status)
        told = {"X-Cache-Status": "HIT" if tier == "local" else "MISS", "X-Cache-Tier": tier, "X-Simulated": "yes"}
        return Response(b"x" * self.caches.size[item], headers=told)
