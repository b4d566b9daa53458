"""One plan for all caches, in two tiers: what a region's shared cache holds, and what each site holds besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tasks.caching.decide.confidence import Confidence
from tasks.caching.decide.newborn import NOBODY, Newborn
from tasks.caching.decide.plan import Pool, candidates, densest_first, fitting, greedy, new_candidates, relaxed
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.requests import Bools, Floats, Ints, Pairs, Requests, pairs_of
from tasks.caching.decide.trees import WINDOWS, Trees

REGIONAL_WORTH = 0.5  # of a hit in the region's cache, against one at the site: it saves the origin, but not the way
LAST_HORIZONS, PARTS = (4, 24), 8  # forecasts judged, of the log's end; and steps in which weights are learned
WALKED, JUDGED = 12_000_000, 10_000_000  # objects and pairs that may be walked for it, objects of sites judged
FORECASTS = 20_000  # of one site and horizon that are judged
LIKELY, LIKELY_TTL_S = 0.7, 24 * 3600  # the seed's rule: what is so likely to be asked for is kept a day
HORIZONS_KEPT = 2  # an entry that dies with its horizon is gone before the next pass has come to it


@dataclass(frozen=True)
class Caches:
    """What there is to fill.

    Attributes
    ----------
    budget: (sites,) bytes that a plan may use, 0 where it may not. region: (sites,) number of a region, -1 for none.
    regional: (regions,) bytes. takes_new, regional_new: (sites,), (regions,) where objects without a record may go;
    None: everywhere.
    """

    budget: Floats
    region: Ints
    regional: Floats
    takes_new: Bools | None = None
    regional_new: Bools | None = None


@dataclass(frozen=True)
class Chosen:
    """Objects for one cache, the most wanted per byte first: the order to fill in.

    Attributes
    ----------
    items, value: (M,) objects, requests expected of each within the horizon.
    own: (M,) how many of those the site's own counts speak for, the pool's for the rest.
    gain: (M,) what hits on them are worth: `value`, where each is worth the same.
    """

    items: Ints
    value: Floats
    own: Floats
    gain: Floats

    @classmethod
    def of(cls, items: Ints, value: Floats, own: Floats, requests: Requests) -> Chosen:
        """Those of some value, in order."""
        gain = requests.gain(items, value)
        return cls(items, value, own, gain).rows(densest_first(gain, requests.size[items]))

    def rows(self, rows: Ints) -> Chosen:
        """Some of them."""
        value = self.value[rows]
        return Chosen(self.items[rows], value, self.own[rows], value if self.gain is self.value else self.gain[rows])


@dataclass(frozen=True)
class Placement:
    """What every region's cache and every site should hold.

    Attributes
    ----------
    worth, bound: expected hits, each by its worth, a regional one at `REGIONAL_WORTH`; the most any plan could have.
    newborn: objects that were considered though nobody has asked for them yet.
    """

    regions: list[Chosen]
    sites: list[Chosen]
    confidence: Confidence
    worth: float
    bound: float
    newborn: Ints

    def ttl_s(self, value: Floats, horizon_s: float) -> Ints:
        """(M,) seconds to keep each: two horizons, 24 h where a request is likely."""
        kept = HORIZONS_KEPT * horizon_s
        likely = self.confidence.of(value) > LIKELY
        return np.ceil(np.where(likely, max(kept, LIKELY_TTL_S), kept)).astype(np.int64)


def decide_placement(requests: Requests, caches: Caches, horizon_s: float, *, least_confidence: float = 0.0,
                     pairs: Pairs | None = None, newborn: Newborn = NOBODY,
                     trees: Trees | None = None) -> Placement:  # fmt: skip
    """The plan for what comes after a log.

    Of two orders, the region first and each site what is then left to gain, or sites first, the better is kept. The
    sum of both tiers is monotone and submodular, so that either is a half of the best at least; `bound` says how near.

    Parameters
    ----------
    least_confidence: objects less likely to be asked for within the horizon are left out.
    newborn: objects without a record; each site expects its part of their requests, in a tenth of its bytes at most.
    trees: of these requests; given, the plan follows what they foresee too.
    """
    popularity, confidence = learned(requests, pairs or pairs_of(requests), horizon_s, caches.budget, trees)
    size, within = requests.size, popularity.requests_within(horizon_s)
    pool = Pool.of(popularity, requests)
    sites = []
    for site, budget in enumerate(caches.budget):
        items, share, own = candidates(popularity, pool, site, budget)
        sites.append(Chosen.of(items, share * within[site], own * within[site], requests))
    regions = [
        _regional(popularity, pool, caches.region == region, within, requests) for region in range(len(caches.regional))
    ]
    if len(newborn.items) and within.sum() > 0:
        part = within / within.sum()
        shares = [float(part[caches.region == region].sum()) for region in range(len(regions))]
        sites = _with_new(sites, newborn, part.tolist(), requests, caches.budget, caches.takes_new)
        regions = _with_new(regions, newborn, shares, requests, caches.regional, caches.regional_new)
    if least_confidence > 0:
        sites, regions = ([each.rows(np.flatnonzero(confidence.of(each.value) >= least_confidence)) for each in tier]
                          for tier in (sites, regions))  # fmt: skip
    orders = (True, False) if regions else (False,)
    worth, chosen = max((_fill(sites, regions, requests, caches, first) for first in orders), key=lambda each: each[0])
    bound = sum(relaxed(each.gain, size[each.items], budget) for each, budget in zip(sites, caches.budget, strict=True))
    bound += REGIONAL_WORTH * sum(relaxed(each.gain, size[each.items], budget)
                                  for each, budget in zip(regions, caches.regional, strict=True))  # fmt: skip
    return Placement(chosen[: len(regions)], chosen[len(regions) :], confidence, worth, bound, newborn.items)


def _with_new(tier: Sequence[Chosen], newborn: Newborn, part: Sequence[float], requests: Requests, budget: Floats,
              takes_new: Bools | None) -> list[Chosen]:  # fmt: skip
    """Candidates, and the densest new objects that fit their share of a budget; `part` of all requests comes there."""
    found = []
    for number, each in enumerate(tier):
        if takes_new is not None and not takes_new[number]:
            found.append(each)
            continue
        rows = new_candidates(requests, newborn, budget[number])
        items = np.concatenate([each.items, newborn.items[rows]])
        value = np.concatenate([each.value, newborn.expected[rows] * part[number]])
        found.append(Chosen.of(items, value, np.concatenate([each.own, np.zeros(len(rows))]), requests))
    return found


def learned(requests: Requests, pairs: Pairs, horizon_s: float, budget: Floats,
            trees: Trees | None = None) -> tuple[Popularity, Confidence]:  # fmt: skip
    """Popularity at the log's end, and a confidence judged on its last horizons, each by the counts of before it."""
    popularity, confidence = Popularity(requests, pairs, trees), Confidence()
    if not len(requests):
        return popularity, confidence
    end_s = float(np.nextafter(requests.ts_s[-1], np.inf))
    most = int(np.clip(WALKED // (len(requests.size) + len(pairs.object)), *LAST_HORIZONS))
    horizons = min(most, int((end_s - requests.ts_s[0]) / 2 // horizon_s))
    passes = min(WINDOWS, int((end_s - requests.ts_s[0]) // horizon_s)) if trees else horizons
    row = int(np.searchsorted(requests.ts_s, end_s - passes * horizon_s))
    cuts = np.linspace(0, row, PARTS + 1).astype(int).tolist()
    for begin, end in pairwise(cuts):
        popularity.add(slice(begin, end), float(requests.ts_s[end - 1]) if end else popularity.now_s)
    step, pool = max(horizons * requests.sites * len(requests.size) // JUDGED, 1), None
    for left in range(passes, -1, -1):
        at_s = end_s - left * horizon_s
        done, row = row, int(np.searchsorted(requests.ts_s, at_s))
        popularity.add(slice(done, row), at_s)
        popularity.look_ahead()
        if 0 < left <= horizons:
            pool = replace(pool, share=popularity.pool_share()) if pool else Pool.of(popularity, requests)
            for site in range(left % step, requests.sites, step):
                _judge(requests, popularity, pool, confidence, row, horizon_s, site, budget[site])
    return popularity, confidence


def _judge(requests: Requests, popularity: Popularity, pool: Pool, confidence: Confidence, row: int, horizon_s: float,
           site: int, budget: float) -> None:  # fmt: skip
    """What is expected now of all that a plan for a site would look at, beside what its next horizon brought."""
    rows = slice(row, int(np.searchsorted(requests.ts_s, popularity.now_s + horizon_s)))
    came = np.zeros(len(requests.size))
    came[requests.object[rows][requests.site[rows] == site]] = 1.0
    items, share, _ = candidates(popularity, pool, site, budget)
    some = slice(None, None, max(len(items) // FORECASTS, 1))
    confidence.learn(share[some] * popularity.requests_within(horizon_s)[site], came[items[some]])


def _regional(popularity: Popularity, pool: Pool, members: Bools, within: Floats, requests: Requests) -> Chosen:
    """Requests expected of all sites of a region together."""
    weight = popularity.weights.pool
    total = float((weight * within)[members].sum()) * pool.share
    for site in np.flatnonzero(members).tolist():
        mine = popularity.pairs.object[slice(*popularity.pairs.first[site : site + 2])]
        total[mine] += (1 - weight[site]) * within[site] * popularity.own_share(site)
    return Chosen.of(np.arange(len(total)), total, np.zeros(len(total)), requests)


def _fill(sites: Sequence[Chosen], regions: Sequence[Chosen], requests: Requests, caches: Caches,
          region_first: bool) -> tuple[float, list[Chosen]]:  # fmt: skip
    """Worth, and what is chosen of each region and each site."""
    size = requests.size
    left = np.zeros((len(regions), len(size)))  # requests that no site serves
    for region, each in enumerate(regions):
        left[region, each.items] = each.value
    held = np.zeros(left.shape, np.bool_)
    if region_first:
        for region, each in enumerate(regions):
            held[region, each.items[fitting(size[each.items], caches.regional[region])]] = True
    worth, chosen = 0.0, []
    for site, each in enumerate(sites):
        region = caches.region[site]
        if region_first and region >= 0:
            gain = np.where(held[region, each.items], (1 - REGIONAL_WORTH) * each.gain, each.gain)
            kept = each.rows(greedy(gain, size[each.items], caches.budget[site]))
        else:
            kept = each.rows(fitting(size[each.items], caches.budget[site]))
        chosen.append(kept)
        worth += float(kept.gain.sum())
        if region >= 0:
            left[region, kept.items] -= kept.value
    shared, everything = [], np.arange(len(size))
    for region, each in enumerate(regions):
        items = (
            each.items[held[region, each.items]]
            if region_first
            else greedy(requests.gain(everything, left[region]), size, caches.regional[region])
        )
        value = left[region, items]
        gain = requests.gain(items, value)
        worth += REGIONAL_WORTH * float(gain.sum())
        shared.append(Chosen(items, value, np.zeros(len(items)), gain))
    return worth, [*shared, *chosen]
