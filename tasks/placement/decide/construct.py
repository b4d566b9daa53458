"""A first placement: units one after another, each to the best site that still holds it."""

from __future__ import annotations

import numpy as np

from tasks.placement.decide.compiled import Compiled, Float, Int

NOWHERE = -1


def by_regret(problem: Compiled, total: Float) -> Int:
    """(W,) units, those first that lose most if they miss their best site, for what they take.

    `total` is (W, K) priced costs. A unit with one candidate only comes before all others.
    """
    if total.shape[1] < 2:
        return np.arange(len(total))
    best = np.partition(total, 1, axis=1)[:, :2]
    with np.errstate(invalid="ignore"):
        regret = np.nan_to_num(best[:, 1] - best[:, 0], nan=-np.inf, posinf=np.inf)
    return np.lexsort((np.arange(len(total)), -regret * size_of(problem)))


def size_of(problem: Compiled) -> Float:
    """(W,) the largest share of a mean capacity that each unit takes."""
    if not problem.resources or not len(problem.members):
        return np.ones(len(problem.members))
    mean = np.maximum(problem.capacity.mean(axis=0), 1e-12)
    return np.asarray((problem.requests / mean).max(axis=1)) + 1e-12


def place_in_order(problem: Compiled, order: Int, total: Float) -> Int:
    """(W,) index of the candidate each unit got, `NOWHERE` where none held it.

    Units are taken in `order`; each takes the feasible candidate with the least `total` (W, K).
    """
    picks = [NOWHERE] * len(problem.members)
    free = problem.room.tolist()
    ranking = np.argsort(total, axis=1, kind="stable").tolist()
    sites, requests, rivals = problem.site.tolist(), problem.requests.tolist(), problem.rivals()
    count = np.isfinite(problem.cost).sum(axis=1).tolist()
    columns = range(len(problem.resources))
    for unit in order.tolist():
        asked, near, against = requests[unit], sites[unit], rivals[unit]
        for k in ranking[unit][: count[unit]]:
            room = free[near[k]]
            if any(room[r] < asked[r] for r in columns):
                continue
            if against and any(picks[v] >= 0 and key[sites[v][picks[v]]] == key[near[k]] for v, key in against):
                continue
            for r in columns:
                room[r] -= asked[r]
            picks[unit] = k
            break
    return np.array(picks, dtype=np.int64)
