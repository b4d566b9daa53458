"""A log played through caches: reactive ones, and the one that plans and their gate would have made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap

import numpy as np

from tasks.caching.decide.flush import Flushes, scored_rows
from tasks.caching.decide.gate import ARMS, REACTIVE, Arm, Gate
from tasks.caching.decide.newborn import NOBODY, Catalogue, Newborn, decide_newborn, young_rows
from tasks.caching.decide.plan import Pool, greedy, site_plan
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.requests import Apart, Bools, Floats, Ints, Requests, pairs_of
from tasks.caching.decide.simulators import Aging, EdgeCache, Life, Made
from tasks.caching.decide.trees import Trees

USUAL = "s3fifo"
WARM_UP = 0.2  # share of the requests, from the first, that is not scored


@dataclass
class Score:
    """What one policy did over the scored requests; `site_hits` (sites,). Fills are objects fetched unasked.

    Of all requests, scored or not: `was_hit` (N,), and `ahead`, the time and the objects of each fill.
    """

    site_hits: Ints
    was_hit: Bools
    hits: int = 0
    hit_bytes: int = 0
    fills: int = 0
    ahead: list[tuple[float, Ints]] = field(default_factory=list)


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
    own: Sequence[str] = (), catalogue: Catalogue | None = None, trees: Trees | None = None,
    life_s: Sequence[Life | None] = (), told: Callable[[float], None] = lambda _: None,
) -> Replayed:  # fmt: skip
    """Play a log: each horizon the plan is made from what was before it, and so is the gate's verdict.

    Parameters
    ----------
    budget: (sites,) bytes of each cache. policies: other caches to play, by name.
    own: (sites,) what each runs today, of `simulators.REACTIVE`; S3-FIFO where nothing is said. can_pin: (sites,).
    catalogue: when each of the log's objects was published; then plans with new ones are judged beside those without.
    trees: of these requests; given, plans follow what they foresee too, as far as it comes true.
    life_s: (sites,) how long a copy of an object may be used there; None, or where nothing is said: for good.
    told: called with the share of the log that is done.
    """
    gate = Gate(can_pin, knows_new=catalogue is not None)
    play = _Play(requests, budget, own or [USUAL] * requests.sites, policies, gate,
                 life_s or [None] * requests.sites)  # fmt: skip
    young = young_rows(requests, catalogue, horizon_s) if catalogue else np.zeros(0, np.int64)
    popularity, done = Popularity(requests, pairs_of(requests), trees), slice(0, 0)
    for begin_s, rows in windows(requests, horizon_s):
        popularity.add(done, begin_s)
        popularity.look_ahead()
        newborn, within = NOBODY, popularity.requests_within(horizon_s)
        if catalogue and rows.start:
            before = young[: np.searchsorted(young, rows.start)]
            new = decide_newborn(requests.rows(before), catalogue, horizon_s, begin_s)
            newborn = Newborn(new.items, new.expected / max(within.sum(), 1e-300))
        play.window(popularity, rows, newborn, within)
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
    life_s: Sequence[Life | None]
    size: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.requests.size.astype(np.int64).tolist()
        sites = range(self.requests.sites)
        self.apart = Apart(len(self.size))
        self.price = np.ones(len(self.size))  # of a fetch of each object, 1 for the mean request
        if self.requests.worth is not None:
            self.price = self.requests.worth / max(self.requests.worth[self.requests.object].mean(), 1e-300)
        self.arms = [[self.empty(site) for _ in self.gate.arms] for site in sites]
        self.planned = [self.empty(site) for site in sites]
        self.others = {name: [Aging(made(self.budget[site], self.size), self.life_s[site]) for site in sites]
                       for name, made in self.policies.items()}  # fmt: skip
        self.oracle: list[dict[int, float]] = [{} for _ in sites]  # with the time from which each is stale
        self.in_force = [REACTIVE for _ in sites]
        self.plans, self.plans_with_new = ([np.zeros(0, np.int64)] * len(sites) for _ in range(2))
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
        return EdgeCache(self.own[site], self.budget[site], self.size, self.apart, self.life_s[site])

    def fill(self, cache: EdgeCache, arm: Arm, site: int, plan: Ints, now_s: float) -> list[int]:
        """Give one cache the part of a plan that its arm asks for."""
        used = np.cumsum(self.requests.size[plan])
        pins, warm = (
            plan[: np.searchsorted(used, share * self.budget[site], side="right")] for share in (arm.pinned, arm.warmed)
        )
        return cache.fill(pins, warm, int(arm.pinned * self.budget[site]), now_s)

    def handed_back(self) -> dict[int, Ints]:
        """What sites need that are filled no more: what their own policy, by its replay, would hold; newest first."""
        return {site: self.arms[site][REACTIVE].held()[::-1] for site, arm in enumerate(self.gate.verdict.tolist())
                if arm == REACTIVE != self.in_force[site]}  # fmt: skip

    def fill_unheard(self, cache: EdgeCache, site: int, plan: Ints, now_s: float) -> list[int]:
        """Fill the cache of a site that has no log to judge by."""
        return self.fill(cache, self.gate.unheard(site), site, plan, now_s)

    def window(self, popularity: Popularity, rows: slice, newborn: Newborn = NOBODY,
               within: Floats | None = None) -> None:  # fmt: skip
        """One horizon: plans from what was before, then its requests; the gate learns last.

        newborn: new objects, and the share of all requests that is expected of each.
        within: (sites,) requests expected of each.
        """
        sites, pool = self.requests.sites, Pool.of(popularity, self.requests)
        by_site = np.argsort(self.requests.site[rows], kind="stable") + rows.start
        cuts = np.searchsorted(self.requests.site[by_site], np.arange(sites + 1))
        hits, unlike, fills = np.zeros((3, len(self.gate.arms), sites))
        heard = np.zeros(sites)
        usual, begin_s = np.zeros(0, np.bool_), popularity.now_s
        for site in range(sites):
            mine = by_site[cuts[site] : cuts[site + 1]]
            items = self.requests.object[mine].tolist()
            asked = list(zip(items, self.requests.ts_s[mine].tolist(), strict=True))
            self._plan(popularity, pool, site, newborn, 1.0 if within is None else float(within[site]))
            price = self.price[items]
            heard[site] = price.sum()
            for number, (arm, cache) in enumerate(zip(self.gate.arms, self.arms[site], strict=True)):
                filled = self.fill(cache, arm, site, self.plan_of(arm, site), begin_s)
                # The first fill is no running cost.
                fills[number, site] = self.price[filled].sum() if self.gate.heard[site] else 0.0
                hit = np.fromiter(starmap(cache.request, asked), np.bool_, len(items))
                usual = hit if number == REACTIVE else usual
                if number == REACTIVE:
                    self._count(self.own_score, site, mine, iter(hit))
                paid = 0.0 if self.requests.worth is None else fills[number, site]
                hits[number, site], unlike[number, site] = price[hit].sum() - paid, (price[hit != usual] ** 2).sum()
            self._score(site, mine, asked, begin_s, scoring=rows.stop > self.first_scored)
            self.flushes.serve(site, mine, asked, self.plans[site], begin_s)
        self.gate.learn(hits, unlike, fills, heard)

    def _plan(self, popularity: Popularity, pool: Pool, site: int, newborn: Newborn, within: float) -> None:
        ways = [(self.plans, NOBODY)] if len(self.gate.arms) < len(ARMS) else [
            (self.plans, NOBODY), (self.plans_with_new, newborn)]  # fmt: skip
        for plans, new in ways:
            plans[site] = site_plan(self.requests, popularity, pool, site, self.budget[site], plans[site], self.apart,
                                    new, within)  # fmt: skip

    def plan_of(self, arm: Arm, site: int) -> Ints:
        """The plan that an arm follows."""
        return (self.plans_with_new if arm.takes_new else self.plans)[site]

    def _score(self, site: int, rows: Ints, asked: list[tuple[int, float]], begin_s: float, *, scoring: bool) -> None:
        cache = self.planned[site]
        verdict = int(self.gate.verdict[site])
        arm = self.gate.arms[verdict]
        filled = self.fill(cache, arm, site, self.plan_of(arm, site), begin_s)
        if site in self.handed_back():
            filled += cache.fill(self.plans[site][:0], self.handed_back()[site], 0, begin_s)
        self.in_force[site] = verdict
        if filled:
            self.scores["planned"].ahead.append((begin_s, np.array(filled)))
        self._count(self.scores["planned"], site, rows, starmap(cache.request, asked))
        for name, caches in self.others.items():
            self._count(self.scores[name], site, rows, starmap(caches[site].request, asked))
        fetched = self._ask_oracle(site, rows, asked, begin_s)
        if scoring:
            self.scores["planned"].fills += len(filled)
            self.scores["oracle"].fills += fetched

    def _ask_oracle(self, site: int, rows: Ints, asked: list[tuple[int, float]], begin_s: float) -> int:
        """Fill for what is asked for while a copy lasts, and serve it; the number of objects fetched."""
        life_s, before = self.life_s[site], self.oracle[site]
        served = np.array([life_s is None or at_s < begin_s + life_s(item) for item, at_s in asked], np.bool_)
        wanted, times = np.unique(self.requests.object[rows][served], return_counts=True)
        rank = greedy(self.price[wanted] * times, self.requests.size[wanted], self.budget[site])
        best, end_s = wanted[rank].tolist(), asked[-1][1] if asked else begin_s
        fetched = [item for item in best if before.get(item, begin_s) <= end_s]
        until_s = {item: begin_s + life_s(item) if life_s else np.inf for item in fetched}
        self.oracle[site] = {item: until_s.get(item) or before[item] for item in best}
        self._count(
            self.scores["oracle"], site, rows, (at_s < self.oracle[site].get(item, at_s) for item, at_s in asked)
        )
        return len(fetched)

    def _count(self, score: Score, site: int, rows: Ints, answers: Iterator[bool]) -> None:
        hit = rows[np.fromiter(answers, np.bool_, len(rows))]
        score.was_hit[hit] = True
        hit = hit[hit >= self.first_scored]
        score.hits += len(hit)
        score.site_hits[site] += len(hit)
        score.hit_bytes += int(self.requests.size[self.requests.object[hit]].sum())
