"""Plans and replays of a log without a fleet: what the offline commands call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blocks.errors import InvalidInput, Refused
from blocks.native_output import on_stderr
from tasks.caching.decide.gate import ARMS
from tasks.caching.decide.newborn import Catalogue, decide_newborn
from tasks.caching.decide.placement import NOBODY, Caches, Chosen, Placement, decide_placement
from tasks.caching.decide.replay import Replayed, replay
from tasks.caching.decide.requests import Requests, pairs_of
from tasks.caching.decide.simulators import Made
from tasks.caching.logs import AccessLog
from tasks.caching.sites import Sites

LEAST_HORIZON_S = 60
MOST_WORK = 2e7  # objects planned, over all sites and passes: about half a minute
ROW = ("site", "object", "bytes", "tier", "ttl_s", "expected_requests", "confidence", "why")
Told = Callable[[float], None]


@dataclass(frozen=True)
class Played:
    """A replay, the CPU seconds of a plan made from the whole log, and the share of its bytes that was played."""

    log: AccessLog
    sites: Sites
    replayed: Replayed
    plan_cpu_s: float
    played_share: float

    @property
    def refused(self) -> list[str]:
        """Sites whose plan does not win at the log's end: they are not filled."""
        return [self.sites.names[site] for site in self.replayed.gate.refused()]

    def record(self) -> dict[str, Any]:
        """The document that `replay cache --json` prints; ratios are those of scored requests."""
        done, gate = self.replayed, self.replayed.gate
        scored, weight = max(done.scored, 1), max(done.scored_bytes, 1)
        flushed, gains = done.flushed, gate.gains()
        return {
            "policies": {
                name: {"hit_ratio": score.hits / scored, "fills_per_request": score.fills / scored,
                       "byte_hit_ratio": score.hit_bytes / weight}
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
                 "gate": {arm.name: gains[0, number, site] for number, arm in enumerate(ARMS)}}
                for site, name in enumerate(self.sites.names)
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


def sample(requests: Requests, budget: list[int], horizon_s: int) -> tuple[Requests, list[int], float]:
    """All of a log, or where playing that would take long the requests for some of its objects, and the share of bytes.

    A cache of a share of the bytes, asked for objects drawn at that share, hits about as the whole does (Waldspurger et
    al., "Efficient MRC construction with SHARDS", FAST 2015). Drawn by a hash, so that each run draws the same.
    """
    slots = sum(budget) / float(requests.size.mean())
    work = slots * ((requests.ts_s[-1] - requests.ts_s[0]) / horizon_s + 1)
    if work <= MOST_WORK:
        return requests, budget, 1.0
    drawn = (np.arange(len(requests.size), dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(2**32)
    kept = drawn < 2**32 * MOST_WORK / work
    rows, share = kept[requests.object], float(requests.size[kept].sum() / requests.size.sum())
    some = Requests(requests.ts_s[rows], requests.site[rows], requests.object[rows], requests.size, requests.sites)
    return some, [max(int(each * share), 1) for each in budget], share


def play(log: AccessLog, sites: Sites, horizon_s: int, policies: dict[str, Made], told: Told) -> Played:
    """Replay a log: what it would have hit with each policy, and with plans behind the gate."""
    requests, budget, share = sample(_of(log, sites), sites.budget, horizon_s)
    with on_stderr():  # libcachesim talks
        done = replay(
            requests, budget, horizon_s, policies=policies, can_pin=sites.can_pin, own=sites.policy, told=told
        )
    _, cpu_s = plan(log, sites, horizon_s, np.ones(len(sites.names)))
    return Played(log, sites, done, cpu_s, share)


def verdicts(log: AccessLog, sites: Sites, horizon_s: int, told: Told) -> Replayed:
    """A replay for what its gate says at the log's end."""
    requests, budget, _ = sample(_of(log, sites), sites.budget, horizon_s)
    return replay(requests, budget, horizon_s, policies={}, can_pin=sites.can_pin, own=sites.policy, told=told)


def with_handed_back(made: Placement, replayed: Replayed) -> Placement:
    """The plan, and for sites that it no longer fills what their own policy would hold by now."""
    sites = list(made.sites)
    for site, items in replayed.handed_back.items():
        sites[site] = Chosen(items, np.zeros(len(items)), np.zeros(len(items)))
    return replace(made, sites=sites)


def plan(
    log: AccessLog, sites: Sites, horizon_s: int, share: np.ndarray[tuple[int], np.dtype[np.float64]], *,
    regional_bytes: int = 0, least_confidence: float = 0.0, catalogue: Catalogue | None = None,
) -> tuple[Placement, float]:  # fmt: skip
    """A plan for what comes after the log, and its CPU seconds; `share` (sites,) of each budget may be used.

    A catalogue is of the log's objects: `catalogue.read_catalogue` gives both.
    """
    requests, regions = _of(log, sites), regions_of(sites)
    number = {name: place for place, name in enumerate(regions)}
    caches = Caches(np.array(sites.budget) * share, np.array([number.get(name, -1) for name in sites.region]),
                    np.full(len(regions), float(regional_bytes)))  # fmt: skip
    begin = time.process_time()
    newborn = decide_newborn(requests, catalogue, horizon_s, float(requests.ts_s[-1])) if catalogue else NOBODY
    made = decide_placement(requests, caches, horizon_s, least_confidence=least_confidence, pairs=pairs_of(requests),
                            newborn=newborn)  # fmt: skip
    return made, time.process_time() - begin


def share_of(verdict: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(sites,) the share of a budget that each verdict fills."""
    return np.array([max(arm.pinned, arm.warmed) for arm in ARMS])[verdict]


def regions_of(sites: Sites) -> list[str]:
    """Names of the regions, in order."""
    return sorted({name for name in sites.region if name})


def plan_rows(log: AccessLog, sites: Sites, made: Placement, horizon_s: int) -> Iterator[tuple[Any, ...]]:
    """A row an object and cache, as `ROW` names them."""
    longest = {name: ttl_s for name, ttl_s in zip(sites.names, sites.ttl_s, strict=True) if ttl_s}
    tiers = [("regional", regions_of(sites), made.regions), ("site", sites.names, made.sites)]
    for tier, names, chosen in tiers:
        for name, each in zip(names, chosen, strict=True):
            yield from _rows(log, name, tier, each, made, horizon_s, longest.get(name, 0))


def _rows(log: AccessLog, name: str, tier: str, each: Chosen, made: Placement, horizon_s: int,
          longest_s: int) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    ttl_s, sure = made.ttl_s(each.value, horizon_s), made.confidence.of(each.value)
    if longest_s:
        ttl_s = np.minimum(ttl_s, longest_s)
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


def _of(log: AccessLog, sites: Sites) -> Requests:
    """The requests, with room for sites that the log does not have."""
    told = log.requests
    return Requests(told.ts_s, told.site, told.object, told.size, len(sites.names))
