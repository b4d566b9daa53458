"""A site that lost its cache: its first requests, cold and warmed. Nothing of the rest of the replay depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap

import numpy as np

from tasks.caching.decide.requests import Ints
from tasks.caching.decide.simulators import EdgeCache

FIRST = 200  # requests that are counted after a flush
MOMENTS = (0.2, 0.4, 0.6, 0.8)  # of a site's scored requests, where it is flushed


class Flushes:
    """Trials of all sites: each begins with the window that holds its moment, on two empty caches.

    Parameters
    ----------
    made: an empty cache for a site. fill: gives a cache, of a site, its part of a plan, at a time.
    """

    def __init__(self, of_site: Sequence[Ints], made: Callable[[int], EdgeCache],
                 fill: Callable[[EdgeCache, int, Ints, float], list[int]]) -> None:  # fmt: skip
        self._made, self._fill = made, fill
        self._due = [[int(rows[int(moment * len(rows))]) for moment in MOMENTS] if len(rows) > 2 * FIRST else []
                     for rows in of_site]  # fmt: skip
        self._running: list[list[tuple[list[int], EdgeCache, EdgeCache]]] = [[] for _ in of_site]
        self.requests = self.cold = self.warmed = 0

    def serve(self, site: int, rows: Ints, asked: Sequence[tuple[int, float]], plan: Ints, begin_s: float) -> None:
        """One window of one site: its rows of the log, their objects and times, and the plan made before them."""
        due = self._due[site]
        while due and len(rows) and due[0] <= rows[-1]:
            due.pop(0)
            self._running[site].append(([FIRST], self._made(site), self._made(site)))
        for left, cold, warmed in self._running[site]:
            self._fill(warmed, site, plan, begin_s)
            counted = asked[: left[0]]
            self.cold += sum(starmap(cold.request, counted))
            self.warmed += sum(starmap(warmed.request, counted))
            self.requests += len(counted)
            left[0] -= len(counted)
        self._running[site] = [each for each in self._running[site] if each[0][0]]


def scored_rows(site: Ints, first: int, sites: int) -> list[Ints]:
    """By site, its rows from the first that is scored."""
    order = np.argsort(site[first:], kind="stable") + first
    return np.split(order, np.searchsorted(site[order], np.arange(1, sites)))
