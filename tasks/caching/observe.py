"""The access log, what is known of the sites, and how plans did on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import ValidationError

from blocks.errors import ContinuumError, InvalidInput, NotConfigured
from blocks.fleet import Fleet
from blocks.fleet_times import Window
from blocks.store.tables import now
from tasks.caching.catalogue import known_of
from tasks.caching.decide.requests import Floats
from tasks.caching.decide.trees import COUNTS
from tasks.caching.decide.windows import NOW, Opening, decide_opening
from tasks.caching.logs import read_log
from tasks.caching.offline import Played, check_horizon, play, regions_of
from tasks.caching.peers import policies_of
from tasks.caching.sites import Sites, bytes_of, sites_of
from tasks.carbon.files import seconds_of
from tasks.carbon.offline import zone_series
from tasks.run import Run

AHEAD_H = 48  # hours that are looked at: a window of the day begins and ends within


class When(NamedTuple):
    """When sites may be warmed: `window` of their local day, "" for always; in its cleanest hour, if asked."""

    window: str = ""
    low_carbon: bool = False


class Terms(NamedTuple):
    """How plans are made: budgets of each site and each region's cache, how long both keep a copy, what foresees."""

    horizon_s: int
    budget: str = "5%"
    regional_budget: str = "5%"
    predictor: str = COUNTS
    ttl: str = ""


class Files(NamedTuple):
    """What the request names: a log, and what is known of sites, of objects (`catalogue`) and of prices (`origins`)."""

    log: str
    sites: str = ""
    catalogue: str = ""
    origins: str = ""


@dataclass(frozen=True)
class View:
    """A log that was played: its gate says where plans win; when each site may be warmed; a line for what is amiss."""

    as_of: datetime
    played: Played
    trouble: tuple[str, ...]
    openings: tuple[Opening, ...]

    def opening_of_region(self, region: str) -> Opening:
        """A region's cache is filled as soon as one of its sites may be."""
        mine = zip(self.played.sites.region, self.openings, strict=True)
        return min((each for name, each in mine if name == region), key=lambda each: each.wait_h)

    @property
    def closed(self) -> list[str]:
        """Sites and regions that may not be warmed now."""
        sites = self.played.sites
        found = [name for name, each in zip(sites.names, self.openings, strict=True) if each.wait_h]
        return found + [name for name in regions_of(sites) if self.opening_of_region(name).wait_h]


@task(name="read and play the log", cache_policy=NO_CACHE, persist_result=False)
def observe_log(run: Run, files: Files, terms: Terms, when: When) -> View:
    """Read an access log and play it through the sites' caches, with and without plans; and when they may be warmed.

    A site's region is that of the file of sites, else that of the fleet's site of that name.

    Raises
    ------
    NotConfigured: no log is named. InvalidInput: it, or another file, does not fit.
    """
    log = files.log
    if not log:
        raise NotConfigured("no access log is named", where="cache-prepopulation",
                            fix="give the flow's request a `log`, see tasks/caching/README.md")  # fmt: skip
    as_of, read = now(), read_log(Path(log))
    window = window_of(when.window)
    regions = {place.name: place.cache_region for place in run.fleet.sites}
    sites, notes = sites_of(
        read.sites, read.distinct_bytes, terms.budget, Path(files.sites) if files.sites else None, regions, terms.ttl
    )
    check_horizon(terms.horizon_s, sites)
    regional = bytes_of(terms.regional_budget, read.distinct_bytes, "regional_budget") if any(sites.region) else 0
    whole, known = known_of(read, regional, files.catalogue, files.origins, terms.predictor,
                            seconds_of(terms.ttl, "ttl") if terms.ttl else 0)  # fmt: skip
    played = play(whole, sites, terms.horizon_s, policies_of("lru"), lambda _: None, known)
    openings, trouble = openings_of(run.fleet, sites, window, low_carbon=when.low_carbon, as_of=as_of)
    return View(as_of, played, (*(f"{log}: {note}" for note in read.notes()), *notes, *trouble), openings)


def window_of(text: str) -> Window | None:
    """A window such as `01:00-05:00`; None where none is given.

    Raises
    ------
    InvalidInput: it is none.
    """
    if not text:
        return None
    begin, _, end = text.partition("-")
    try:
        return Window(begin=begin.strip(), end=end.strip())
    except ValidationError:
        raise InvalidInput(f"`{text:.40}` is no window", where="window", fix="write it as 01:00-05:00") from None


def openings_of(
    fleet: Fleet, sites: Sites, window: Window | None, *, low_carbon: bool, as_of: datetime
) -> tuple[tuple[Opening, ...], list[str]]:
    """When each site may be warmed, and what is not known of its grid: there the window alone counts.

    A site's time zone and grid zone are those of the file of sites, else of the fleet's site of that name.

    Raises
    ------
    NotConfigured: a window is asked for, and nobody says in which time zone a site is.
    """
    if not (window or low_carbon):
        return (NOW,) * len(sites.names), []
    places = {place.name: place for place in fleet.sites}
    intensities: dict[str, Floats | None] = {"": None}
    found, trouble = [], []
    for name, time_zone, grid_zone in zip(sites.names, sites.time_zone, sites.grid_zone, strict=True):
        place = places.get(name)
        zone, grid = time_zone or (place.time_zone if place else ""), grid_zone or (place and place.grid_zone) or ""
        if not zone:
            raise NotConfigured("nobody says in which time zone it is", where=f"site {name}",
                                fix="give column time_zone in the file of sites")  # fmt: skip
        if low_carbon and grid not in intensities:
            intensities[grid], line = _intensity(grid, as_of)
            trouble += line
        hours = [as_of + timedelta(hours=hour) for hour in range(AHEAD_H)]
        is_open = np.array([(window or Window()).holds(hour, zone) for hour in hours])
        found.append(decide_opening(is_open, intensities[grid] if low_carbon else None))
    if low_carbon and (unknown := [name for name, grid in zip(sites.names, sites.grid_zone, strict=True)
                                   if not (grid or (name in places and places[name].grid_zone))]):  # fmt: skip
        trouble.append(f"no grid zone is known of {len(unknown)} sites, which are warmed at any hour of their window")
    return tuple(found), trouble


def _intensity(grid: str, as_of: datetime) -> tuple[Floats | None, list[str]]:
    begin_s = int(as_of.timestamp())
    try:
        series = zone_series(grid, begin_s, begin_s + AHEAD_H * 3600)
    except ContinuumError as error:
        return None, [f"{error}; its sites are warmed at any hour of their window"]
    place = (begin_s + 3600 * np.arange(AHEAD_H) - series.start_s) // series.step_s
    return series.g_per_kwh[np.clip(place, 0, len(series.g_per_kwh) - 1)], []
