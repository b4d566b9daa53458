"""Plans and replays of a log without a fleet: what the offline commands call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blocks.errors import InvalidInput, Refused
from blocks.native_output import on_stderr
from tasks.caching.decide.gate import ARMS
from tasks.caching.decide.newborn import NOBODY, Catalogue, decide_newborn
from tasks.caching.decide.placement import Caches, Chosen, Placement, decide_placement
from tasks.caching.decide.replay import USUAL, Replayed, Score, replay
from tasks.caching.decide.requests import Bools, Floats, Ints, Requests, pairs_of
from tasks.caching.decide.simulators import Life, Made, S3Fifo
from tasks.caching.decide.trees import COUNTS, TREES, Trees
from tasks.caching.logs import AccessLog
from tasks.caching.sites import Sites

LEAST_HORIZON_S = 60
MOST_WORK = 2e7  # objects planned, over all sites and passes: about half a minute
ROW = ("site", "object", "bytes", "tier", "ttl_s", "expected_requests", "confidence", "why")
Told = Callable[[float], None]


@dataclass(frozen=True)
class Known:
    """What is known beside the log and the sites.

    Attributes
    ----------
    regional_bytes: of each region's cache; regional_ttl_s: how long it keeps a copy at most, 0 for good.
    catalogue: of the log's objects, as `catalogue.read_catalogue` gives both.
    usd: (O,) what a fetch of each costs; given, plans and their gate save cost, else requests.
    predictor: `counts`, or `trees` beside them.
    """

    regional_bytes: int = 0
    catalogue: Catalogue | None = None
    usd: Floats | None = None
    predictor: str = COUNTS
    regional_ttl_s: int = 0

    @property
    def fresh_s(self) -> Floats | None:
        """(O,) how long a copy of each may be used, where a catalogue says so of any."""
        told = self.catalogue.fresh_s if self.catalogue else None
        return None if told is None or np.isinf(told).all() else told

    def trees(self, requests: Requests, horizon_s: int, catalogue: Catalogue | None) -> Trees | None:
        """Trees to learn from a log, if they are asked for."""
        return Trees(requests, horizon_s, catalogue) if self.predictor == TREES else None


NOTHING = Known()


@dataclass(frozen=True)
class Played:
    """A replay, the CPU seconds of a plan made from the whole log, and the share of its bytes that was played.

    regional: what the sites' replay has missed, played through the regions' caches; None where there are none.
    """

    log: AccessLog
    sites: Sites
    known: Known
    replayed: Replayed
    regional: Replayed | None
    plan_cpu_s: float
    played_share: float

    @property
    def refused(self) -> list[str]:
        """Sites and regions whose plan does not win at the log's end: they are not filled."""
        return refused(self.sites, self.replayed, self.regional)

    def usd_of(self, score: Score) -> float:
        """What the origin costs after the warm-up: misses, and what was fetched ahead."""
        usd, requests = self.known.usd, self.replayed.requests
        if usd is None:
            return 0.0
        first = len(requests) - self.replayed.scored
        missed = requests.object[first:][~score.was_hit[first:]]
        begin_s = requests.ts_s[first] if self.replayed.scored else np.inf
        return float(usd[missed].sum() + sum(usd[filled].sum() for at_s, filled in score.ahead if at_s >= begin_s))

    def record(self) -> dict[str, Any]:
        """The document that `replay cache --json` prints; ratios are those of scored requests."""
        done, gate = self.replayed, self.replayed.gate
        scored, weight = max(done.scored, 1), max(done.scored_bytes, 1)
        flushed, gains = done.flushed, gate.gains()
        return {
            "policies": {
                name: {"hit_ratio": score.hits / scored, "fills_per_request": score.fills / scored,
                       "byte_hit_ratio": score.hit_bytes / weight}
                | ({} if self.known.usd is None or name == "oracle" else {"origin_usd": self.usd_of(score)})
                for name, score in done.scores.items()
            },
            "sites_refused": self.refused,
            "plan_cpu_s": self.plan_cpu_s,
            "scored_requests": done.scored,
            "played_share": self.played_share,
            "sites": [
                {"site": name, "requests": int(done.site_requests[site]), "budget_bytes": self.sites.budget[site],
                 "policy": self.sites.policy[site],
                 "verdict": ARMS[gate.verdict[site]].name,
                 "hit_ratio": {policy: score.site_hits[site] / max(int(done.site_requests[site]), 1)
                               for policy, score in done.scores.items()},
                 "gate": {arm.name: gains[0, number, site] for number, arm in enumerate(gate.arms)}}
                for site, name in enumerate(self.sites.names)
            ],
            "regions": [] if self.regional is None else [
                {"region": name, "requests": int(self.regional.site_requests[region]),
                 "budget_bytes": self.known.regional_bytes,
                 "verdict": ARMS[self.regional.gate.verdict[region]].name,
                 "hit_ratio": {policy: score.site_hits[region] / max(int(self.regional.site_requests[region]), 1)
                               for policy, score in self.regional.scores.items()}}
                for region, name in enumerate(regions_of(self.sites))
            ],
            "flushed": {"requests": flushed.requests, "cold": flushed.cold / max(flushed.requests, 1),
                        "warmed": flushed.warmed / max(flushed.requests, 1)},
            "log": self.log.record(),
        }  # fmt: skip


def check_horizon(horizon_s: int, sites: Sites) -> None:
    """Refuse a horizon that no pass can keep up with, or that outlives what a cache keeps.

    Raises
    ------
    InvalidInput: it is shorter than a minute. Refused: a site drops what it was given before the next pass.
    """
    if horizon_s < LEAST_HORIZON_S:
        raise InvalidInput(f"{horizon_s} s is too short", where="--horizon", fix="give a minute at least, e.g. 4h")
    for name, ttl_s in zip(sites.names, sites.ttl_s, strict=True):
        if 0 < ttl_s < horizon_s:
            raise Refused(f"it keeps objects {ttl_s} s, less than the horizon of {horizon_s} s", where=f"site {name}",
                          fix="give a shorter horizon, or a longer TTL there")  # fmt: skip


def sample(requests: Requests, budget: list[int], horizon_s: int) -> tuple[Requests, Bools, float]:
    """All of a log, or where playing that would take long the requests for some objects: which, and their bytes' share.

    A cache of a share of the bytes, asked for objects drawn at that share, hits about as the whole does (Waldspurger et
    al., "Efficient MRC construction with SHARDS", FAST 2015). Drawn by a hash, so that each run draws the same.
    """
    slots = sum(budget) / float(requests.size.mean())
    work = slots * ((requests.ts_s[-1] - requests.ts_s[0]) / horizon_s + 1)
    if work <= MOST_WORK:
        return requests, np.ones(len(requests.size), np.bool_), 1.0
    drawn = (np.arange(len(requests.size), dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    kept = drawn < 2**32 * MOST_WORK / work
    share = float(requests.size[kept].sum() / requests.size.sum())
    return requests.rows(np.flatnonzero(kept[requests.object])), kept, share


def play(log: AccessLog, sites: Sites, horizon_s: int, policies: dict[str, Made], told: Told,
         known: Known = NOTHING) -> Played:  # fmt: skip
    """Replay a log: what it would have hit with each policy, and with plans behind the gate."""
    done, regional, share = judged(log, sites, horizon_s, told, known, policies)
    _, cpu_s = plan(log, sites, horizon_s, known=known)
    return Played(log, sites, known, done, regional, cpu_s, share)


def judged(log: AccessLog, sites: Sites, horizon_s: int, told: Told, known: Known = NOTHING,
           policies: dict[str, Made] | None = None) -> tuple[Replayed, Replayed | None, float]:  # fmt: skip
    """A replay of all sites, then of what they have missed through the regions' caches; the share that was played.

    A region's cache is taken to run S3-FIFO and to have a part that only a plan fills.
    """
    requests, kept, share = sample(_of(log, sites, known, horizon_s), sites.budget, horizon_s)
    catalogue = known.catalogue and replace(
        known.catalogue, published_s=np.where(kept, known.catalogue.published_s, np.nan)
    )

    def budget(each: int) -> int:
        return max(int(each * share), 1)

    with on_stderr():  # libcachesim talks
        done = replay(requests, [budget(each) for each in sites.budget], horizon_s, policies=policies or {},
                      can_pin=sites.can_pin, own=sites.policy, catalogue=catalogue,
                      life_s=lives(sites.ttl_s, known.fresh_s),
                      trees=known.trees(requests, horizon_s, catalogue), told=told)  # fmt: skip
    regions = regions_of(sites)
    if not regions:
        return done, None, share
    region = _region_numbers(sites)[requests.site]
    missed = np.flatnonzero(~done.scores["planned"].was_hit & (region >= 0))
    passed_on = replace(requests.rows(missed), site=region[missed], sites=len(regions))
    regional = replay(passed_on, [budget(known.regional_bytes)] * len(regions), horizon_s, policies={USUAL: S3Fifo},
                      can_pin=np.ones(len(regions), np.bool_), catalogue=catalogue,
                      life_s=lives([known.regional_ttl_s] * len(regions), known.fresh_s),
                      trees=known.trees(passed_on, horizon_s, catalogue))  # fmt: skip
    return done, regional, share


def lives(ttl_s: Sequence[int], fresh_s: Floats | None) -> list[Life | None]:
    """By cache, how long it may use a copy of an object; None: for good.

    >>> [life and life(0) for life in lives([0, 60], np.array([90.0]))], lives([0], None)
    ([90.0, 60], [None])
    """
    told = None if fresh_s is None else fresh_s.tolist()

    def life(most_s: float) -> Life | None:
        if told is not None:
            return lambda item: min(most_s, told[item])
        return (lambda _: most_s) if most_s < np.inf else None

    return [life(each or np.inf) for each in ttl_s]


def refused(sites: Sites, replayed: Replayed, regional: Replayed | None) -> list[str]:
    """Regions, then sites, whose plan does not win at the log's end."""
    names = regions_of(sites)
    shared = [names[region] for region in regional.gate.refused()] if regional else []
    return shared + [sites.names[site] for site in replayed.gate.refused()]


def with_handed_back(made: Placement, replayed: Replayed) -> Placement:
    """The plan, and for sites that it no longer fills what their own policy would hold by now."""
    sites = list(made.sites)
    for site, items in replayed.handed_back.items():
        sites[site] = Chosen(items, *np.zeros((3, len(items))))
    return replace(made, sites=sites)


def plan(
    log: AccessLog, sites: Sites, horizon_s: int, gated: tuple[Replayed, Replayed | None] | None = None, *,
    known: Known = NOTHING, least_confidence: float = 0.0,
) -> tuple[Placement, float]:  # fmt: skip
    """A plan for what comes after the log, and its CPU seconds; `gated` are replays whose verdicts count."""
    requests, regions, catalogue = _of(log, sites, known, horizon_s), regions_of(sites), known.catalogue
    budget, shared = np.array(sites.budget, np.float64), np.full(len(regions), float(known.regional_bytes))
    caches = Caches(budget, _region_numbers(sites), shared)
    if gated:
        takes_new = np.array([arm.takes_new for arm in ARMS])
        verdict, regional = (each.gate.verdict if each else np.zeros(0, np.int64) for each in gated)
        caches = Caches(budget * _share_of(verdict), caches.region, shared * _share_of(regional), takes_new[verdict],
                        takes_new[regional])  # fmt: skip
    begin = time.process_time()
    newborn = decide_newborn(requests, catalogue, horizon_s, float(requests.ts_s[-1])) if catalogue else NOBODY
    made = decide_placement(requests, caches, horizon_s, least_confidence=least_confidence, pairs=pairs_of(requests),
                            newborn=newborn, trees=known.trees(requests, horizon_s, catalogue))  # fmt: skip
    return made, time.process_time() - begin


def _share_of(verdict: Ints) -> Floats:
    """(sites,) the share of a budget that each verdict fills."""
    return np.array([max(arm.pinned, arm.warmed) for arm in ARMS])[verdict]


def regions_of(sites: Sites) -> list[str]:
    """Names of the regions, in order."""
    return sorted({name for name in sites.region if name})


def _region_numbers(sites: Sites) -> Ints:
    """(sites,) the number of each one's region, -1 for none."""
    number = {name: place for place, name in enumerate(regions_of(sites))}
    return np.array([number.get(name, -1) for name in sites.region], np.int64)


def plan_rows(log: AccessLog, sites: Sites, made: Placement, horizon_s: int,
              known: Known = NOTHING) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """A row an object and cache, as `ROW` names them; regions first, as they are filled first."""
    longest = {name: ttl_s for name, ttl_s in zip(sites.names, sites.ttl_s, strict=True) if ttl_s}
    longest |= dict.fromkeys(regions_of(sites), known.regional_ttl_s) if known.regional_ttl_s else {}
    tiers = [("regional", regions_of(sites), made.regions), ("site", sites.names, made.sites)]
    for tier, names, chosen in tiers:
        for name, each in zip(names, chosen, strict=True):
            ttl_s = made.ttl_s(each.value, horizon_s)
            if name in longest:
                ttl_s = np.minimum(ttl_s, longest[name])
            if known.fresh_s is not None:
                ttl_s = np.ceil(np.minimum(ttl_s, known.fresh_s[each.items])).astype(np.int64)
            yield from _rows(log, name, tier, each, made, ttl_s)


def _rows(log: AccessLog, name: str, tier: str, each: Chosen, made: Placement,
          ttl_s: Ints) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    sure = made.confidence.of(each.value)
    columns = (each.items.tolist(), each.value.tolist(), each.own.tolist(), ttl_s.tolist(), sure.tolist())
    new = set(made.newborn.tolist())
    for item, expected, own, ttl, confidence in zip(*columns, strict=True):
        if item in new:
            why = "new: as its kin were asked for at that age"
        elif tier == "regional":
            why = "asked for across the region"
        elif expected:
            why = f"{own / expected:.0%} by its own users, the rest by all"
        else:
            why = "its own policy would hold it"
        yield (name, log.object_name(item), int(log.requests.size[item]), tier, ttl, round(expected, 6),
               round(confidence, 4), why)  # fmt: skip


def _of(log: AccessLog, sites: Sites, known: Known, horizon_s: int) -> Requests:
    """The requests, with room for sites that the log does not have, and what a hit on each object is worth.

    A copy that is stale before the horizon ends serves only the part of the requests that come until then.
    """
    lasts = None if known.fresh_s is None else known.fresh_s / horizon_s
    return replace(log.requests, sites=len(sites.names), worth=known.usd, lasts=lasts)
