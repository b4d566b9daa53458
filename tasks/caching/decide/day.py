"""The origin's day, hour by hour: what reaches it with plans and without; and what came of an earlier plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.replay import Score
from tasks.caching.decide.requests import Bools, Floats, Ints, Requests

HOUR_S, HOURS = 3600.0, 24


@dataclass(frozen=True)
class Load:
    """By hour (24,): hits, and what the origin gets, misses and what is fetched ahead of them; and what that costs."""

    hits: Ints
    origin_requests: Ints
    origin_bytes: Floats
    origin_usd: Floats


@dataclass(frozen=True)
class Day:
    """The last 24 whole hours of a log, or as many as it has. `begin_s`, `requests` (hours,)."""

    begin_s: Floats
    requests: Ints
    planned: Load
    without: Load

    @property
    def peak(self) -> int:
        """The hour in which the origin gets most without plans."""
        return int(np.argmax(self.without.origin_requests))


def last_day(requests: Requests, planned: Score, without: Score, usd: Floats) -> Day:
    """The end of a replay by hour, counted back from the log's last request; `usd` (O,) is the price of a fetch."""
    end_s = float(np.nextafter(requests.ts_s[-1], np.inf))
    hours = int(min(HOURS, max((end_s - requests.ts_s[0]) // HOUR_S, 1)))
    begin_s: Floats = end_s - HOUR_S * np.arange(hours, 0, -1, dtype=np.float64)
    first = int(np.searchsorted(requests.ts_s, begin_s[0]))
    rows = slice(first, len(requests))
    hour = np.minimum((requests.ts_s[rows] - begin_s[0]) // HOUR_S, hours - 1).astype(np.int64)
    asked = requests.object[rows]

    def load(score: Score) -> Load:
        hit = score.was_hit[rows]
        at, items = [hour[~hit]], [asked[~hit]]
        for at_s, filled in score.ahead:
            if at_s >= begin_s[0]:
                at.append(np.full(len(filled), min(int((at_s - begin_s[0]) // HOUR_S), hours - 1)))
                items.append(filled)
        place, fetched = np.concatenate(at), np.concatenate(items)
        weight, cost = (np.bincount(place, each[fetched], hours).astype(np.float64) for each in (requests.size, usd))
        return Load(np.bincount(hour[hit], minlength=hours), np.bincount(place, minlength=hours), weight, cost)

    return Day(begin_s, np.bincount(hour, minlength=hours), load(planned), load(without))


@dataclass(frozen=True)
class Came:
    """What came of a plan: requests at its site within its horizon, hits on what it lists, and hits without it."""

    requests: int
    hits: int
    hits_without: int


def what_came(requests: Requests, site: int, items: Ints, begin_s: float, end_s: float, without: Bools) -> Came:
    """Count [begin_s, end_s) of a log: `items` are the plan's, `without` (N,) hits of the site's own policy."""
    rows = np.arange(*np.searchsorted(requests.ts_s, [begin_s, end_s]).tolist())
    rows = rows[requests.site[rows] == site]
    hits = np.isin(requests.object[rows], items).sum()
    return Came(len(rows), int(hits), int(without[rows].sum()))
