"""Trees beside the counts: learned from what was before, believed where they are right."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.placement import Caches, decide_placement
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.replay import replay, windows
from tasks.caching.decide.requests import Requests, pairs_of
from tasks.caching.decide.simulators import REACTIVE
from tasks.caching.decide.trees import Trees

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from caching_traces import Shape, news, sparse

HORIZON_S = 4 * 3600.0
FADING, CATALOGUE = news(3, requests=6_000, sites=6, objects=1_000, days=20)
LASTING = sparse(21, Shape(requests=6_000, users=150, days=20, objects=600, sites=6))


def foreseen(requests: Requests, upto_s: float, catalogue: Catalogue | None = None) -> np.ndarray:
    """The pool's rows at the first window from `upto_s` on, the trees' last."""
    popularity, done = Popularity(requests, pairs_of(requests), Trees(requests, HORIZON_S, catalogue)), slice(0, 0)
    for begin_s, rows in windows(requests, HORIZON_S):
        popularity.add(done, begin_s)
        popularity.look_ahead()
        done = rows
        if begin_s >= upto_s:
            break
    return popularity.pooled


@pytest.mark.parametrize("catalogue", [None, CATALOGUE], ids=["log alone", "with a catalogue"])
def test_what_is_still_to_come_changes_nothing_before_it(catalogue: Catalogue | None) -> None:
    begin_s = float(FADING.ts_s[0]) + 40 * HORIZON_S
    later = FADING.ts_s >= begin_s
    other = np.where(later, FADING.object[::-1], FADING.object)
    was, changed = (foreseen(each, begin_s, catalogue) for each in (FADING, replace(FADING, object=other)))
    assert was[-1].any()
    assert (was == changed).all()


def test_trees_expect_of_fading_objects_what_comes_and_counts_do_not() -> None:
    begin_s = float(FADING.ts_s[0]) + 80 * HORIZON_S
    pooled = foreseen(FADING, begin_s)
    came = np.bincount(FADING.object[(FADING.ts_s >= begin_s) & (FADING.ts_s < begin_s + HORIZON_S)],
                       minlength=len(FADING.size))  # fmt: skip
    best = [came[np.argsort(-each)[:25]].sum() for each in pooled]
    assert best[-1] > 1.1 * max(best[:-1])


@pytest.mark.parametrize(("requests", "least"), [(FADING, 0.03), (LASTING, -0.01)], ids=["fading", "lasting"])
def test_plans_gain_where_objects_fade_and_lose_next_to_nothing_elsewhere(requests: Requests, least: float) -> None:
    budget = [int(0.05 * requests.size.sum())] * requests.sites
    hits = []
    for trees in (None, Trees(requests, HORIZON_S)):
        done = replay(requests, budget, HORIZON_S, policies=dict(REACTIVE), can_pin=np.ones(requests.sites, bool),
                      trees=trees)  # fmt: skip
        hits.append(done.scores["planned"].hits / done.scored)
    assert hits[1] - hits[0] > least


def test_a_plan_follows_trees_and_keeps_its_bytes_and_a_log_too_short_to_learn_from_needs_none() -> None:
    caches = Caches(np.full(6, 0.05 * FADING.size.sum()), np.full(6, -1), np.zeros(0))
    counts, trees = (
        decide_placement(FADING, caches, HORIZON_S, trees=each) for each in (None, Trees(FADING, HORIZON_S))
    )
    for plain, other in zip(counts.sites, trees.sites, strict=True):
        assert FADING.size[other.items].sum() <= caches.budget[0]
        assert set(plain.items.tolist()) != set(other.items.tolist())
    short = FADING.rows(np.arange(300))
    counts, trees = (decide_placement(short, caches, HORIZON_S, trees=each) for each in (None, Trees(short, HORIZON_S)))
    assert [len(each.items) for each in counts.sites] == [len(each.items) for each in trees.sites]
