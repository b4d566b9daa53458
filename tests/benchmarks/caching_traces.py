"""Made-up request logs; every law and number that shapes them is a parameter here, and none of it reaches a plan.

Shape of the sparse trace: MovieLens-100k with 10 regions as sites, 97,914 requests over 165 days, 99 a 4-hour window,
1,682 objects, 943 users who never ask twice for the same and come once. MovieLens forbids redistribution, so that
users are drawn: how many requests (lognormal, 20 at least, as its README says), when they come (uniform), what they
like (a Zipf-Mandelbrot law of all objects, bent by their region and by their own taste), and when an object appears.
The figures in `Shape` were picked, of some 150 random ones and on seed 101 alone (the session's length then by hand),
by how near five policies come to what was measured on MovieLens at 5 % of the bytes; none of the five is ours:

    hit ratio       LRU   S3-FIFO   30-day counts of the site   of all sites   oracle
    measured        .077  .206      .245                        .261           .687
    drawn, seed 101 .071  .217      .245                        .257           .668
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.requests import Requests

START_S = 1_767_225_600  # 2026-01-01T00:00Z


@dataclass(frozen=True)
class Shape:
    """What a sparse trace is drawn from."""

    requests: int = 97_914
    sites: int = 10
    objects: int = 1_682
    users: int = 943
    days: float = 165.0
    zipf: float = 1.47  # P(rank r) ~ (r + flat)^-zipf
    flat: float = 94.0
    regional: float = 0.08  # standard deviation of the logarithm of a region's taste
    personal: float = 1.09  # ... of a user's
    session_s: float = 3_600.0  # mean over which a user's requests are spread
    new_share: float = 0.87  # objects that appear during the trace, others were there before
    best_first: float = 0.3  # how far users ask for their favourites first: 0 in any order, large strictly
    equal_sizes: bool = True


def sparse(seed: int, shape: Shape = Shape()) -> Requests:
    """Users of a few regions, each with one session."""
    rng = np.random.default_rng(seed)
    weight = rng.permutation((np.arange(shape.objects) + 1.0 + shape.flat) ** -shape.zipf)
    born = np.where(rng.random(shape.objects) < shape.new_share, rng.random(shape.objects) * shape.days, 0.0) * 86_400
    taste = rng.normal(0, shape.regional, (shape.sites, shape.objects))
    crowd = rng.dirichlet(np.full(shape.sites, 3.0))
    many = np.minimum(20 + rng.lognormal(3.9, 1.1, shape.users), shape.objects * 0.45)
    many = np.maximum(many * shape.requests / many.sum(), 1).astype(int)
    ts, site, item = [], [], []
    for user in range(shape.users):
        where = rng.choice(shape.sites, p=crowd)
        begin = rng.random() * shape.days * 86_400
        # Drawing without repetition by weight: the largest of weight plus Gumbel noise.
        key = (
            np.log(weight)
            + taste[where]
            + rng.normal(0, shape.personal, shape.objects)
            + rng.gumbel(size=shape.objects)
        )
        key[born > begin] = -np.inf
        chosen = np.argsort(-key)[: min(many[user], int(np.isfinite(key).sum()))]
        ts.append(begin + np.sort(rng.exponential(shape.session_s, len(chosen))))
        item.append(
            chosen[np.argsort(np.arange(len(chosen)) / len(chosen) * shape.best_first + rng.random(len(chosen)))]
        )
        site.append(np.full(len(chosen), where))
    return _made(np.concatenate(ts), np.concatenate(site), np.concatenate(item), shape.objects, shape.sites, rng,
                 shape.equal_sizes)  # fmt: skip


def independent(seed: int, *, requests: int, sites: int, objects: int, days: float, zipf: float = 0.9,
                regional: float = 0.3, equal_sizes: bool = True) -> Requests:  # fmt: skip
    """Requests that know nothing of one another: one Zipf law, a share `regional` by an order of each site's own."""
    rng = np.random.default_rng(seed)
    law = (np.arange(objects) + 1.0) ** -zipf
    law /= law.sum()
    orders = np.array([rng.permutation(objects) for _ in range(sites + 1)])
    site = rng.choice(sites, requests, p=rng.dirichlet(np.full(sites, 3.0)))
    rank = rng.choice(objects, requests, p=law)
    item = orders[np.where(rng.random(requests) < regional, site + 1, 0), rank]
    return _made(np.sort(rng.random(requests)) * days * 86_400, site, item, objects, sites, rng, equal_sizes)


def news(seed: int, *, requests: int = 100_000, sites: int = 10, objects: int = 3_000, days: float = 30.0,
         tags: int = 20) -> tuple[Requests, Catalogue]:  # fmt: skip
    """Objects that are published all the time and asked for less and less, each as long and as often as its tag bids.

    Objects of a tag are asked for for 6 h to 5 d on average (by tag); how often differs by tag and, beside that, by
    object (lognormal, standard deviation 1 each). 40 are published for good before the first day.
    """
    rng = np.random.default_rng(seed)
    tag = rng.integers(0, tags, objects)
    born = np.where(np.arange(objects) < 40, -1.0, rng.random(objects) * days) * 86_400
    lasts_s = np.exp(rng.uniform(np.log(6 * 3600), np.log(5 * 86_400), tags))[tag]
    like = np.exp(rng.normal(0, 1, tags)[tag] + rng.normal(0, 1, objects))
    many = rng.poisson(like * requests / like.sum())
    item = np.repeat(np.arange(objects), many)
    ts = born[item] + rng.exponential(lasts_s[item])
    lasting = born[item] < 0
    ts[lasting] = rng.random(int(lasting.sum())) * days * 86_400
    inside = ts < days * 86_400
    item, ts = item[inside], ts[inside]
    site = rng.choice(sites, len(ts), p=rng.dirichlet(np.full(sites, 3.0)))
    made = _made(ts, site, item, objects, sites, rng, True)
    return made, Catalogue(START_S + born, np.arange(objects), tag, tags)


def _made(ts, site, item, objects: int, sites: int, rng, equal_sizes: bool) -> Requests:
    order = np.argsort(ts, kind="stable")
    size = np.full(objects, 1_000_000.0) if equal_sizes else np.ceil(rng.lognormal(13, 1.2, objects))
    return Requests(START_S + ts[order], site[order].astype(np.int64), item[order].astype(np.int64), size, sites)
