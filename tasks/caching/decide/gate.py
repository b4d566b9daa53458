"""The gate: a site is filled only where its own log says that the plan would have won."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.caching.decide.requests import Bools, Floats, Ints

MARGIN = 0.005  # hit ratio that a plan must add
MOST_FILLS = 1.0  # fetched ahead per request: above that the origin would be better off without the cache
MEMORY_REQUESTS = np.array([5_000.0, 500.0])  # half-lives of the evidence: what wins, and what still does
FIRST_REQUESTS = 50.0  # of a site, before which there is no log to speak of


@dataclass(frozen=True)
class Arm:
    """A way to use a site's cache: the shares of its bytes that hold planned objects, pinned or warmed through it.

    takes_new: objects too that nobody has asked for yet, by what their kin were asked for.
    """

    name: str
    pinned: float
    warmed: float
    takes_new: bool = False


REACTIVE, WARMED, PINNED = 0, 1, 2
_PLAIN = (
    Arm("reactive", 0.0, 0.0),  # the policy that the site really runs, left alone
    Arm("pre-filled", 0.0, 0.5),  # the same with half its bytes warmed: more is of poor value, nothing holds it there
    Arm("pinned", 0.8, 0.0),  # four fifths only the plan fills, the rest is reactive
    Arm("planned", 1.0, 0.0),  # only the plan fills; at sparse sites the last fifth earns more so
)
ARMS = (*_PLAIN, *(replace(arm, name=f"{arm.name}, new ones too", takes_new=True) for arm in _PLAIN[1:]))


class Gate:
    """Evidence by arm and site, and the verdict that follows from it; nothing of what is still to come.

    Parameters
    ----------
    can_pin: (sites,) where the cache has a part that only the plan fills.
    knows_new: whether a catalogue says what is new.
    """

    def __init__(self, can_pin: Bools, *, knows_new: bool = False) -> None:
        sites = len(can_pin)
        self.arms = ARMS if knows_new else _PLAIN
        pins = np.array([arm.pinned > 0 for arm in self.arms])
        self._allowed: Bools = np.asarray(~pins[:, None] | can_pin, np.bool_)
        self._unheard: Ints = np.where(can_pin, PINNED, WARMED)
        self._hits: Floats = np.zeros((2, len(self.arms), sites))
        self._fills: Floats = np.zeros((2, len(self.arms), sites))
        self._unlike: Floats = np.zeros((2, len(self.arms), sites))
        self._heard: Floats = np.zeros((2, 1, sites))
        self.verdict = self._unheard
        self._judged: Bools = np.zeros(sites, np.bool_)

    def learn(self, hits: Floats, unlike: Floats, fills: Floats, heard: Floats) -> None:
        """What each arm did with the requests of one window, each request and fetch by its worth (1 on average).

        Parameters
        ----------
        hits, fills: (arms, sites) worth of its hits, of its fetches; where objects have prices, hits are less by what
        was paid for fetches. unlike: of requests that it answered otherwise
        than the reactive arm, the sum of squares: the variance of the difference. heard: (sites,) of all.
        """
        fade = 2.0 ** (-heard / MEMORY_REQUESTS[:, None, None])
        for evidence, new in ((self._hits, hits), (self._unlike, unlike), (self._fills, fills), (self._heard, heard)):
            evidence *= fade
            evidence += new
        self.verdict = self._judge()

    @property
    def heard(self) -> Floats:
        """(sites,) requests that speak, older ones for less."""
        return np.asarray(self._heard[0, 0])

    def gains(self) -> Floats:
        """(2, arms, sites) hit ratio above that of the reactive arm: by long memory, and of late."""
        return np.asarray((self._hits - self._hits[:, [REACTIVE]]) / np.maximum(self._heard, 1.0))

    def _judge(self) -> Ints:
        """The best arm by long memory, of those that do not lose of late.

        One that is not in force must be better by the margin and by the standard error of a paired comparison, the root
        of the requests that the two answered otherwise (McNemar, 1947): to change over costs a cache that must learn.
        """
        (gains, late), sites = self.gains(), np.arange(len(self.heard))
        costly = self._fills[0] > MOST_FILLS * np.maximum(self.heard, 1.0)
        gains[~self._allowed | costly | (late < -MARGIN)] = -np.inf
        gains[REACTIVE] = 0.0
        best = np.argmax(gains, axis=0)
        error = np.sqrt(self._unlike[0]) / np.maximum(self.heard, 1.0)
        best[gains[best, sites] < MARGIN + error[best, sites]] = REACTIVE
        stay = self._judged & (self.verdict != REACTIVE) & (gains[self.verdict, sites] >= MARGIN)
        stay &= gains[best, sites] - gains[self.verdict, sites] < MARGIN
        verdict = np.where(stay, self.verdict, best)
        self._judged = self.heard >= FIRST_REQUESTS
        return np.where(self._judged, verdict, self._unheard)

    def unheard(self, site: int) -> Arm:
        """How a site is filled that has no log to judge by: new, or flushed."""
        return ARMS[int(self._unheard[site])]

    def refused(self) -> list[int]:
        """Sites whose plan does not win."""
        return np.flatnonzero(self.verdict == REACTIVE).tolist()
