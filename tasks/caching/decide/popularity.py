"""How much each object is asked for: counts that halve every 30 days and every 5, pooled over all sites and by site.

Pooled counts know more (a site of ten requests in four hours says little by itself), a site's own fit better where its
users differ; short memory follows what is new, long memory keeps what lasts. How far each is to be believed is learned
from the requests: the weights of the mixture are expectation-maximisation estimates (Jelinek and Mercer's
interpolation, 1980), each request judged by the counts of before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from tasks.caching.decide.requests import Floats, Pairs, Requests
from tasks.caching.decide.trees import Trees

HALF_LIVES_S = (30 * 86_400.0, 5 * 86_400.0)
PRIOR_REQUESTS = 20.0  # that the equal weights of a site not yet heard are worth
MEMORY_REQUESTS = 300.0  # of a site, in which its credit halves
_NONE = 1e-300


@dataclass(frozen=True)
class Weights:
    """How far a site believes the pool (sites,), and each half-life in the pool and in a site's counts (H,)."""

    pool: Floats
    pooled: Floats
    local: Floats


class Popularity:
    """Decayed counts of all requests so far, for each of H half-lives; and, with `trees`, what they foresee.

    Attributes
    ----------
    pooled: (H, O). local: (H, P) by pair. heard: (H, sites) all of a site. With trees the pool has one row more, theirs
    (and the others an empty one).
    """

    def __init__(self, requests: Requests, pairs: Pairs, trees: Trees | None = None) -> None:
        lives = len(HALF_LIVES_S)
        rows = lives + (trees is not None)
        self._all, self.pairs, self._trees = requests, pairs, trees
        self.pooled: Floats = np.zeros((rows, len(requests.size)))
        self.local: Floats = np.zeros((rows, len(pairs.object)))
        self.heard: Floats = np.zeros((rows, requests.sites))
        self._credit: Floats = np.zeros((2, rows, requests.sites))
        self._credit[:, :lives] = PRIOR_REQUESTS / (2 * lives)
        self.begin_s = self.now_s = float(requests.ts_s[0]) if len(requests) else 0.0

    @property
    def weights(self) -> Weights:
        """What the requests so far have taught."""
        pooled, local = self._credit.sum(axis=2)
        pool = self._credit[0].sum(axis=0) / self._credit.sum(axis=(0, 1))
        return Weights(pool, pooled / pooled.sum(), local / local.sum())

    def add(self, rows: slice, now_s: float) -> None:
        """Take in the next requests, all of them before `now_s`."""
        self._judge(rows)
        which = ((self.pooled, self._all.object[rows]), (self.local, self.pairs.of_row[rows]),
                 (self.heard, self._all.site[rows]))  # fmt: skip
        for life, half_life_s in enumerate(HALF_LIVES_S):
            worth = 2.0 ** ((self._all.ts_s[rows] - now_s) / half_life_s)
            for counts, number in which:
                counts[life] *= 2.0 ** ((self.now_s - now_s) / half_life_s)
                if len(number) * 8 > counts.shape[1]:
                    counts[life] += np.bincount(number, worth, counts.shape[1])
                else:
                    np.add.at(counts[life], number, worth)
        self.now_s = now_s

    def look_ahead(self) -> None:
        """Ask the trees, if there are any, about the next window; at first they count as much as the counts do."""
        lives = len(HALF_LIVES_S)
        expected = self._trees.expected(self.pooled[:lives], self.now_s) if self._trees else None
        if expected is None:
            return
        if not self.pooled[lives].any():
            self._credit[0, lives] = self._credit[0, :lives].mean(axis=0)
        self.pooled[lives] = expected

    def _judge(self, rows: slice) -> None:
        """Credit each count with the requests that it foresaw, by its share in what the mixture foresaw."""
        site, weights = self._all.site[rows], self.weights
        pooled = self.pooled[:, self._all.object[rows]] / np.maximum(self.pooled.sum(axis=1, keepdims=True), _NONE)
        local = self.local[:, self.pairs.of_row[rows]] / np.maximum(self.heard[:, site], _NONE)
        likely = np.stack([pooled * weights.pool[site] * weights.pooled[:, None],
                           local * (1 - weights.pool[site]) * weights.local[:, None]])  # fmt: skip
        total = likely.sum(axis=(0, 1))
        known = total > 0
        parts = likely[:, :, known] / total[known]
        # What is credited fades with what comes in: else the first guesses would be defended for ever.
        self._credit *= 2.0 ** (-np.bincount(site[known], minlength=len(self._credit[0, 0])) / MEMORY_REQUESTS)
        for kind, life in np.ndindex(parts.shape[:2]):
            self._credit[kind, life] += np.bincount(site[known], parts[kind, life], len(self._credit[0, 0]))

    def requests_within(self, horizon_s: float) -> Floats:
        """(sites,) requests expected of each site within the horizon.

        A steady rate of r requests/s over T seconds adds up to r H / ln 2 (1 - 2^(-T / H)).
        """
        half_life_s = HALF_LIVES_S[0]
        span_s = max(self.now_s - self.begin_s, 1.0)
        seen_s = half_life_s / log(2) * (1 - 2.0 ** (-span_s / half_life_s))
        return np.asarray(self.heard[0] * (horizon_s / seen_s))

    def pool_share(self) -> Floats:
        """(O,) share of all requests that goes to each object."""
        by_life = self.weights.pooled / np.maximum(self.pooled.sum(axis=1), _NONE)
        return np.asarray(by_life @ self.pooled)

    def own_share(self, site: int) -> Floats:
        """(its pairs,) share of a site's requests that goes to each object, by its own counts."""
        by_life = self.weights.local / np.maximum(self.heard[:, site], _NONE)
        return np.asarray(by_life @ self.local[:, slice(*self.pairs.first[site : site + 2])])
