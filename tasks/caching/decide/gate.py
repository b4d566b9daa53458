"""The gate: a site is filled only where its own log says that the plan would have won."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.requests import Bools, Floats, Ints

MARGIN = 0.005  # hit ratio that a plan must add
MOST_FILLS = 1.0  # fetched ahead per request: above that the origin would be better off without the cache
MEMORY_REQUESTS = 5_000.0  # half-life of the evidence: at 0.2 hits a request, half a point of noise
FIRST_REQUESTS = 50.0  # of a site, before which there is no log to speak of


@dataclass(frozen=True)
class Arm:
    """A way to use a site's cache: the shares of its bytes that hold planned objects, pinned or warmed through it."""

    name: str
    pinned: float
    warmed: float


REACTIVE, WARMED, PINNED = 0, 1, 2
ARMS = (
    Arm("reactive", 0.0, 0.0),  # the policy that the site really runs, left alone
    Arm("pre-filled", 0.0, 0.5),  # the same with half its bytes warmed: more is of poor value, nothing holds it there
    Arm("pinned", 0.8, 0.0),  # four fifths only the plan fills, the rest is reactive
    Arm("planned", 1.0, 0.0),  # only the plan fills; at sparse sites the last fifth earns more so
)


class Gate:
    """Evidence by arm and site, and the verdict that follows from it; nothing of what is still to come.

    Parameters
    ----------
    can_pin: (sites,) where the cache has a part that only the plan fills.
    """

    def __init__(self, can_pin: Bools) -> None:
        sites = len(can_pin)
        self._allowed: Bools = np.ones((len(ARMS), sites), np.bool_)
        self._allowed[PINNED:] = can_pin
        self._unheard: Ints = np.where(can_pin, PINNED, WARMED)
        self.hits: Floats = np.zeros((len(ARMS), sites))
        self.fills: Floats = np.zeros((len(ARMS), sites))
        self.heard: Floats = np.zeros(sites)
        self.verdict = self._unheard
        self._judged: Bools = np.zeros(sites, np.bool_)

    def learn(self, hits: Ints, fills: Ints, heard: Ints) -> None:
        """What each arm did with the requests of one window: hits, fills (arms, sites), requests (sites,)."""
        fade = 2.0 ** (-heard / MEMORY_REQUESTS)
        for evidence, new in ((self.hits, hits), (self.fills, fills), (self.heard, heard)):
            evidence *= fade
            evidence += new
        self.verdict = self._judge()

    def gains(self) -> Floats:
        """(arms, sites) hit ratio above that of the reactive arm."""
        return np.asarray((self.hits - self.hits[REACTIVE]) / np.maximum(self.heard, 1.0))

    def _judge(self) -> Ints:
        gains, sites = self.gains(), np.arange(len(self.heard))
        costly = self.fills > MOST_FILLS * np.maximum(self.heard, 1.0)
        gains[~self._allowed | costly] = -np.inf
        gains[REACTIVE] = 0.0
        best = np.argmax(gains, axis=0)
        best[gains[best, sites] < MARGIN] = REACTIVE
        stay = self._judged & (self.verdict != REACTIVE) & (gains[self.verdict, sites] >= 0)
        stay &= gains[best, sites] - gains[self.verdict, sites] < MARGIN
        verdict = np.where(stay, self.verdict, best)
        self._judged = self.heard >= FIRST_REQUESTS
        return np.where(self._judged, verdict, self._unheard)

    def unheard(self, site: int) -> Arm:
        """How a site is filled that has no log to judge by: new, or flushed."""
        return ARMS[self._unheard[site]]

    def refused(self) -> list[int]:
        """Sites whose plan does not win."""
        return np.flatnonzero(self.verdict == REACTIVE).tolist()
