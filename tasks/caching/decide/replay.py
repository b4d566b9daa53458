"""A log played through caches: reactive ones, and the one that plans and their gate would have made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.caching.decide.flush import Flushes, scored_rows
from tasks.caching.decide.gate import ARMS, REACTIVE, Arm, Gate
from tasks.caching.decide.plan import Pool, greedy, site_plan
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.requests import Apart, Bools, Ints, Requests, pairs_of
from tasks.caching.decide.simulators import EdgeCache, Made

USUAL = "s3fifo"
WARM_UP = 0.2  # share of the requests, from the first, that is not scored


@dataclass
class Score:
    """What one policy did over the scored requests; `site_hits` (sites,). Fills are objects fetched unasked.

    Of all requests, scored or not: `was_hit` (N,), and `ahead`, the time, objects and bytes of each fill.
    """

    site_hits: Ints
    was_hit: Bools
    hits: int = 0
    hit_bytes: int = 0
    fills: int = 0
    ahead: list[tuple[float, int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Replayed:
    """Scores by policy, and what a next pass would know.

    Attributes
    ----------
    requests: those that were played. own: what the sites' own policies did, left alone.
    scored, scored_bytes: requests after the warm-up, and what they weigh. site_requests: (sites,) of them.
    handed_back: by site, what a next pass gives back to those that the last verdict takes the plan from.
    """

    requests: Requests
    own: Score
    scores: dict[str, Score]
    scored: int
    scored_bytes: int
    site_requests: Ints
    gate: Gate
    flushed: Flushes
    handed_back: dict[int, Ints]


def windows(requests: Requests, horizon_s: float) -> Iterator[tuple[float, slice]]:
    """Begin, and rows, of each window of the horizon that has a request, counted from the first of them."""
    if not len(requests):
        return
    number = ((requests.ts_s - requests.ts_s[0]) // horizon_s).astype(np.int64)
    cuts = np.flatnonzero(np.diff(number, prepend=-1, append=number[-1] + 1))
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        yield float(requests.ts_s[0] + number[begin] * horizon_s), slice(begin, end)


def replay(
    requests: Requests, budget: Sequence[int], horizon_s: float, *, policies: dict[str, Made], can_pin: Bools,
    own: Sequence[str] = (), told: Callable[[float], None] = lambda _: None,
) -> Replayed:  # fmt: skip
    """Play a log: each horizon the plan is made from what was before it, and so is the gate's verdict.

    Parameters
    ----------
    budget: (sites,) bytes of each cache. policies: other caches to play, by name.
    own: (sites,) what each runs today, of `simulators.REACTIVE`; S3-FIFO where nothing is said. can_pin: (sites,).
    told: called with the share of the log that is done.
    """
    play = _Play(requests, budget, own or [USUAL] * requests.sites, policies, Gate(can_pin))
    popularity, done = Popularity(requests, pairs_of(requests)), slice(0, 0)
    for begin_s, rows in windows(requests, horizon_s):
        popularity.add(done, begin_s)
        play.window(popularity, rows)
        done = rows
        told(rows.stop / len(requests))
    first = play.first_scored
    weight = int(requests.size[requests.object[first:]].sum())
    return Replayed(requests, play.own_score, play.scores, len(requests) - first, weight,
                    np.bincount(requests.site[first:], minlength=requests.sites), play.gate, play.flushes,
                    play.handed_back())  # fmt: skip


@dataclass
class _Play:
    """All caches of all sites."""

    requests: Requests
    budget: Sequence[int]
    own: Sequence[str]
    policies: dict[str, Made]
    gate: Gate
    size: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.requests.size.astype(np.int64).tolist()
        sites = range(self.requests.sites)
        self.apart = Apart(len(self.size))
        self.arms = [[self.empty(site) for _ in ARMS] for site in sites]
        self.planned = [self.empty(site) for site in sites]
        self.others = {name: [made(self.budget[site], self.size) for site in sites]
                       for name, made in self.policies.items()}  # fmt: skip
        self.oracle: list[set[int]] = [set() for _ in sites]
        self.in_force = [REACTIVE for _ in sites]
        self.plans: list[Ints] = [np.zeros(0, np.int64)] * len(sites)
        self.own_score, *scores = (
            Score(np.zeros(len(sites), np.int64), np.zeros(len(self.requests), np.bool_))
            for _ in range(len(self.policies) + 3)
        )
        self.scores = dict(zip((*self.policies, "planned", "oracle"), scores, strict=True))
        self.first_scored = int(WARM_UP * len(self.requests))
        self.flushes = Flushes(scored_rows(self.requests.site, self.first_scored, len(sites)), self.empty,
                               self.fill_unheard)  # fmt: skip

    def empty(self, site: int) -> EdgeCache:
        """A cache of a site with nothing in it."""
        return EdgeCache(self.own[site], self.budget[site], self.size, self.apart)

    def fill(self, cache: EdgeCache, arm: Arm, site: int, plan: Ints) -> list[int]:
        """Give one cache the part of a plan that its arm asks for."""
        used = np.cumsum(self.requests.size[plan])
        pins, warm = (
            plan[: np.searchsorted(used, share * self.budget[site], side="right")] for share in (arm.pinned, arm.warmed)
        )
        return cache.fill(pins, warm, int(arm.pinned * self.budget[site]))

    def handed_back(self) -> dict[int, Ints]:
        """What sites need that are filled no more: what their own policy, by its replay, would hold; newest first."""
        return {site: self.arms[site][REACTIVE].held()[::-1] for site, arm in enumerate(self.gate.verdict.tolist())
                if arm == REACTIVE != self.in_force[site]}  # fmt: skip

    def fill_unheard(self, cache: EdgeCache, site: int, plan: Ints) -> list[int]:
        """Fill the cache of a site that has no log to judge by."""
        return self.fill(cache, self.gate.unheard(site), site, plan)

    def window(self, popularity: Popularity, rows: slice) -> None:
        """One horizon: plans from what was before, then its requests; the gate learns last."""
        size, sites = self.requests.size, self.requests.sites
        pool = Pool.of(popularity, size)
        by_site = np.argsort(self.requests.site[rows], kind="stable") + rows.start
        cuts = np.searchsorted(self.requests.site[by_site], np.arange(sites + 1))
        hits, unlike, fills = np.zeros((3, len(ARMS), sites), np.int64)
        usual = np.zeros(0, np.bool_)
        for site in range(sites):
            mine = by_site[cuts[site] : cuts[site + 1]]
            items = self.requests.object[mine].tolist()
            self.plans[site] = site_plan(popularity, size, pool, site, self.budget[site], self.plans[site], self.apart)
            for number, (arm, cache) in enumerate(zip(ARMS, self.arms[site], strict=True)):
                filled = self.fill(cache, arm, site, self.plans[site])
                fills[number, site] = len(filled) if self.gate.heard[site] else 0  # the first fill is no running cost
                hit = np.fromiter(map(cache.request, items), np.bool_, len(items))
                usual = hit if number == REACTIVE else usual
                if number == REACTIVE:
                    self._count(self.own_score, site, mine, iter(hit))
                hits[number, site], unlike[number, site] = hit.sum(), (hit != usual).sum()
            self._score(site, mine, items, float(self.requests.ts_s[rows.start]), scoring=rows.stop > self.first_scored)
            self.flushes.serve(site, mine, items, self.plans[site])
        self.gate.learn(hits, unlike, fills, np.diff(cuts))

    def _score(self, site: int, rows: Ints, items: list[int], begin_s: float, *, scoring: bool) -> None:
        cache, size = self.planned[site], self.requests.size
        verdict = int(self.gate.verdict[site])
        filled = self.fill(cache, ARMS[verdict], site, self.plans[site])
        if site in self.handed_back():
            filled += cache.fill(self.plans[site][:0], self.handed_back()[site], 0)
        self.in_force[site] = verdict
        if filled:
            self.scores["planned"].ahead.append((begin_s, len(filled), float(size[filled].sum())))
        self._count(self.scores["planned"], site, rows, map(cache.request, items))
        for name, caches in self.others.items():
            self._count(self.scores[name], site, rows, map(caches[site].request, items))
        wanted, times = np.unique(self.requests.object[rows], return_counts=True)
        best = set(wanted[greedy(times.astype(np.float64), size[wanted], self.budget[site])].tolist())
        self._count(self.scores["oracle"], site, rows, map(best.__contains__, items))
        if scoring:
            self.scores["planned"].fills += len(filled)
            self.scores["oracle"].fills += len(best - self.oracle[site])
        self.oracle[site] = best

    def _count(self, score: Score, site: int, rows: Ints, answers: Iterator[bool]) -> None:
        hit = rows[np.fromiter(answers, np.bool_, len(rows))]
        score.was_hit[hit] = True
        hit = hit[hit >= self.first_scored]
        score.hits += len(hit)
        score.site_hits[site] += len(hit)
        score.hit_bytes += int(self.requests.size[self.requests.object[hit]].sum())
