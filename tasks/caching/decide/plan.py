"""What each cache should hold: the densest objects, requests expected per byte, until its bytes are full."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.caching.decide.newborn import NEW_SHARE, NOBODY, Newborn
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.requests import Apart, Bools, Floats, Ints, Requests

STAY = 1.25  # an object must be worth so much more, per byte, to push out one that is there: fetching has its price
FURTHER = 1000  # objects beyond the full budget that are still tried for the room that is left


def densest_first(value: Floats, size: Floats) -> Ints:
    """Rows of some value, by value per byte; of equal ones the first row first."""
    rows = np.flatnonzero(value > 0)
    fall = -value[rows] / size[rows]
    order = np.argsort(fall)  # several times as fast as a stable one, which only equal ones need
    fall = fall[order]
    tied = np.concatenate([[False], fall[1:] == fall[:-1], [False]])
    if tied.any():
        inside = np.flatnonzero(tied[1:] | tied[:-1])
        place = np.cumsum(~tied[:-1])[inside] * len(rows) + order[inside]
        order[inside] = order[inside][np.argsort(place)]
    return rows[order]


def fitting(size: Floats, budget: float) -> Ints:
    """Rows, in order, that fit a budget together; one that does not fit any more is passed over.

    >>> fitting(np.array([3.0, 2.0, 1.0]), 4.0).tolist()
    [0, 2]
    """
    rows, taken = np.flatnonzero(size <= budget), [np.zeros(0, np.int64)]
    while len(rows):
        used = np.cumsum(size[rows])
        stop = int(np.searchsorted(used, budget, side="right"))
        taken.append(rows[:stop])
        budget -= float(used[stop - 1]) if stop else 0.0
        rows = rows[stop:]
        rows = rows[size[rows] <= budget]
    return np.concatenate(taken)


def greedy(value: Floats, size: Floats, budget: float) -> Ints:
    """Rows of the densest objects that fit, densest first.

    With one budget this is within one object of the best: the relaxation that may take a part of one object is not
    worth more than that (see `relaxed`).

    >>> greedy(np.array([1.0, 9.0, 5.0, 0.0]), np.array([1.0, 3.0, 2.0, 1.0]), 4.0).tolist()
    [1, 0]
    """
    rows = densest_first(value, size)
    return rows[fitting(size[rows], budget)]


def relaxed(value: Floats, size: Floats, budget: float) -> float:
    """The most that any choice of rows, given densest first, can be worth: a part of one object may be taken."""
    used = np.cumsum(size)
    stop = int(np.searchsorted(used, budget, side="right"))
    whole = float(value[:stop].sum())
    if stop == len(value):
        return whole
    return whole + float(value[stop]) * (budget - (float(used[stop - 1]) if stop else 0.0)) / float(size[stop])


@dataclass(frozen=True)
class Pool:
    """Objects that anybody asked for, the worthiest per byte first; `share` (O,) of all, `used` bytes up to each."""

    share: Floats
    items: Ints
    used: Floats

    @classmethod
    def of(cls, popularity: Popularity, requests: Requests) -> Pool:
        """The pool now."""
        share = popularity.pool_share()
        items = densest_first(share if requests.worth is None else share * requests.worth, requests.size)
        return cls(share, items, np.cumsum(requests.size[items]))


def candidates(popularity: Popularity, pool: Pool, site: int, budget: float) -> tuple[Ints, Floats, Floats]:
    """Objects worth looking at for a site, the share of its requests that goes to each, and its own users' part.

    Those of its own log, and the densest of the pool until they alone fill the budget: an object outside both is asked
    for less, per byte, than each of the latter, so that it could never be chosen before them.
    """
    weight = popularity.weights.pool[site]
    own = popularity.own_share(site)
    asked = own > 0
    mine = popularity.pairs.object[slice(*popularity.pairs.first[site : site + 2])][asked]
    is_new: Bools = np.ones(len(pool.share), np.bool_)
    is_new[mine] = False
    more = pool.items[: int(np.searchsorted(pool.used, budget)) + FURTHER]
    more = more[is_new[more]]
    items = np.concatenate([more, mine])
    own_part = np.concatenate([np.zeros(len(more)), (1 - weight) * own[asked]])
    return items, weight * pool.share[items] + own_part, own_part


def new_candidates(requests: Requests, newborn: Newborn, budget: float) -> Ints:
    """Rows of the densest new objects that fit their part of a budget."""
    return greedy(requests.gain(newborn.items, newborn.expected), requests.size[newborn.items], NEW_SHARE * budget)


def site_plan(requests: Requests, popularity: Popularity, pool: Pool, site: int, budget: float, held: Ints,
              apart: Apart, newborn: Newborn = NOBODY, within: float = 1.0) -> Ints:  # fmt: skip
    """Objects for one site, most wanted per byte first; those `held` already need not be fetched and win near ties.

    newborn: objects without a record, and the share of all requests that is expected of each.
    within: requests expected of the site within the horizon.
    """
    items, share, _ = candidates(popularity, pool, site, budget)
    if len(newborn.items):
        new = new_candidates(requests, newborn, budget)
        items, share = np.append(items, newborn.items[new]), np.append(share, newborn.expected[new])
    value = requests.gain(items, within * np.where(apart.inside(items, held), STAY * share, share))
    return items[greedy(value, requests.size[items], budget)]
