"""Made-up users of the simulated edge caches: what they ask for, where and when. Every number is a parameter here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DAY_S = 86_400.0


@dataclass(frozen=True)
class Crowd:
    """What requests are drawn from: users who come once, ask for a number of objects, and never twice for the same.

    Attributes
    ----------
    days: of the past. requests: in a day at one site. objects, zipf, flat: what all like, P(rank r) ~ (r + flat)^-zipf.
    regional, personal: standard deviation of the logarithm of a region's and of a user's taste.
    session: requests of a user. session_s: over which they come, on average.
    """

    days: float = 14.0
    requests: int = 240
    objects: int = 600
    zipf: float = 1.3
    flat: float = 20.0
    regional: float = 0.3
    personal: float = 1.0
    session: int = 15
    session_s: float = 1800.0


class Asked(NamedTuple):
    """One request."""

    at_s: float
    site: str
    item: int


def sizes(seed: int, crowd: Crowd = Crowd()) -> list[int]:
    """Bytes of each object, by its number: small ones, as a demo sends them all."""
    return [int(size) for size in np.random.default_rng([seed, 1]).integers(500, 3000, crowd.objects)]


def drawn(sites: dict[str, str], begin_s: float, end_s: float, seed: int, crowd: Crowd = Crowd()) -> list[Asked]:
    """Requests in [begin_s, end_s) in order of time; `sites` are names with their regions. The same seed, the same."""
    rng = np.random.default_rng([seed, 2])
    like = rng.permutation((np.arange(crowd.objects) + 1.0 + crowd.flat) ** -crowd.zipf)
    tastes = {region: rng.normal(0, crowd.regional, crowd.objects) for region in sorted(set(sites.values()))}
    users = int(crowd.requests * (end_s - begin_s) / DAY_S / crowd.session)
    found: list[Asked] = []
    for site, region in sorted(sites.items()):
        for _ in range(users):
            taste = rng.normal(0, crowd.personal, crowd.objects) + rng.gumbel(size=crowd.objects)
            items = np.argsort(-(np.log(like) + tastes[region] + taste))[: crowd.session]
            at = rng.uniform(begin_s, end_s) + np.cumsum(rng.exponential(crowd.session_s / crowd.session, len(items)))
            asked = zip(at.tolist(), rng.permutation(items).tolist(), strict=True)
            found += [Asked(at_s, site, item) for at_s, item in asked if at_s < end_s]
    return sorted(found)
