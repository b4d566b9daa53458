"""Popularity, the densest objects that fit, and the two tiers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.placement import REGIONAL_WORTH, Caches, decide_placement
from tasks.caching.decide.plan import Pool, densest_first, fitting, greedy, relaxed, site_plan
from tasks.caching.decide.popularity import HALF_LIVES_S, Popularity
from tasks.caching.decide.requests import Apart, Requests, pairs_of

DAY_S, NONE = 86_400.0, np.zeros(0, np.int64)
values = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=9)


def asked(*rows: tuple[float, int, int], objects: int, sites: int = 1, size: float = 1.0) -> Requests:
    ts, site, item = (np.array(column) for column in zip(*rows, strict=True))
    return Requests(ts.astype(float), site, item, np.full(objects, size), sites)


def popularity(requests: Requests) -> Popularity:
    made = Popularity(requests, pairs_of(requests))
    made.add(slice(0, len(requests)), float(requests.ts_s[-1]))
    return made


def random_log(seed: int, sites: int = 3, objects: int = 40, rows: int = 600) -> Requests:
    rng = np.random.default_rng(seed)
    return Requests(
        np.sort(rng.random(rows) * 5 * DAY_S),
        rng.integers(0, sites, rows),
        np.minimum(rng.zipf(1.4, rows), objects) - 1,
        rng.integers(1, 30, objects).astype(float),
        sites,
    )


def test_a_count_halves_in_its_half_life() -> None:
    made = popularity(asked((0.0, 0, 0), (HALF_LIVES_S[0], 0, 1), objects=2))
    assert made.pooled[0].tolist() == pytest.approx([0.5, 1.0])


@given(st.integers(1, 30), st.integers(0, 5))
def test_counts_do_not_depend_on_how_a_log_is_cut(batches: int, seed: int) -> None:
    requests = random_log(seed)
    once, often = popularity(requests), Popularity(requests, pairs_of(requests))
    for part in np.array_split(np.arange(len(requests)), batches):
        often.add(slice(int(part[0]), int(part[-1]) + 1), float(requests.ts_s[part[-1]]))
    for name in ("pooled", "local", "heard"):
        np.testing.assert_allclose(getattr(once, name), getattr(often, name), rtol=1e-9)


def test_a_site_unlike_the_others_learns_to_believe_itself() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (float(at), int(site), int(10 * (site == 0) + rng.integers(10)))
        for at, site in enumerate(rng.integers(0, 3, 3000))
    ]
    requests = asked(*rows, objects=20, sites=3)
    made = Popularity(requests, pairs_of(requests))
    for first in range(0, 3000, 100):
        made.add(slice(first, first + 100), float(first + 100))
    unlike, *alike = made.weights.pool.tolist()
    assert unlike < min(alike) - 0.1


@given(values, st.integers(0, 60))
def test_greedy_is_within_one_object_of_the_best_and_under_its_bound(rows: list[tuple[int, int]], budget: int) -> None:
    value, size = (np.array(column, float) for column in zip(*rows, strict=True))
    chosen = greedy(value, size, budget)
    assert size[chosen].sum() <= budget
    best = max(
        sum(value[list(some)])
        for many in range(len(value) + 1)
        for some in itertools.combinations(range(len(value)), many)
        if size[list(some)].sum() <= budget
    )
    order = densest_first(value, size)
    bound = relaxed(value[order], size[order], budget)
    assert value[chosen].sum() <= best <= bound + 1e-9
    assert best - value[chosen].sum() <= max(value) + 1e-9


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=60))
def test_the_densest_come_first_and_of_equal_ones_the_first(rows: list[tuple[int, int]]) -> None:
    value, size = (np.array([row[column] for row in rows], float) for column in (0, 1))
    plain = sorted((row for row in range(len(rows)) if value[row]), key=lambda row: -value[row] / size[row])
    assert densest_first(value, size).tolist() == plain


@given(st.lists(st.integers(1, 20), max_size=12), st.integers(0, 60))
def test_what_fits_is_what_one_by_one_would_take(sizes: list[int], budget: int) -> None:
    left, taken = budget, []
    for row, size in enumerate(sizes):
        if size <= left:
            left, taken = left - size, [*taken, row]
    assert fitting(np.array(sizes, float), budget).tolist() == taken


@given(st.integers(0, 20))
def test_a_sites_plan_is_the_greedy_choice_of_all_objects(seed: int) -> None:
    requests = random_log(seed)
    made = popularity(requests)
    for site in range(requests.sites):
        budget = 60.0
        weight = made.weights.pool[site]
        share = weight * made.pool_share()
        own = slice(*made.pairs.first[site : site + 2])
        share[made.pairs.object[own]] += (1 - weight) * made.own_share(site)
        plan = site_plan(requests, made, Pool.of(made, requests), site, budget, NONE, Apart(40))
        assert sorted(plan.tolist()) == sorted(greedy(share, requests.size, budget).tolist())


@given(st.integers(0, 20), st.floats(0, 300), st.floats(0, 300))
def test_two_tiers_keep_their_budgets_and_come_near_their_bound(seed: int, local: float, regional: float) -> None:
    requests = random_log(seed)
    caches = Caches(np.full(3, local), np.array([0, 0, -1]), np.array([regional]))
    made = decide_placement(requests, caches, 4 * 3600.0)
    for each, budget in zip([*made.regions, *made.sites], [regional, *caches.budget], strict=True):
        assert requests.size[each.items].sum() <= budget
        assert len(set(each.items.tolist())) == len(each.items)
    assert made.worth <= made.bound * (1 + 1e-9)
    alone = decide_placement(requests, Caches(caches.budget, np.full(3, -1), np.zeros(0)), 4 * 3600.0)
    assert made.worth >= alone.worth * (1 - 1e-9)
    assert REGIONAL_WORTH < 1


def test_a_threshold_leaves_out_what_is_less_likely() -> None:
    requests = random_log(1)
    caches = Caches(np.full(3, 200.0), np.full(3, -1), np.zeros(0))
    made = decide_placement(requests, caches, 4 * 3600.0, least_confidence=0.8)
    everything = decide_placement(requests, caches, 4 * 3600.0)
    for some, whole in zip(made.sites, everything.sites, strict=True):
        assert (made.confidence.of(some.value) >= 0.8).all()
        assert len(some.items) < len(whole.items)


def test_confidence_is_the_share_of_such_forecasts_that_come_true() -> None:
    rng = np.random.default_rng(2)
    rate = rng.choice([0.02, 0.2, 1.0, 5.0], 300) / (4 * 3600)
    rows = [
        (at, 0, item)
        for item in range(300)
        for at in np.cumsum(rng.exponential(1 / rate[item], 2000))
        if at < 20 * DAY_S
    ]
    requests = asked(*sorted(rows), objects=300)
    made = decide_placement(requests, Caches(np.full(1, 300.0), np.full(1, -1), np.zeros(0)), 4 * 3600.0)
    (chosen,) = made.sites
    true = -np.expm1(-rate[chosen.items] * 4 * 3600)
    told = made.confidence.of(chosen.value)
    assert np.abs(told - true).mean() < 0.05
    assert set(made.ttl_s(chosen.value, 4 * 3600.0).tolist()) == {2 * 4 * 3600, 24 * 3600}


@pytest.mark.parametrize("skew_s", [-2 * DAY_S, -3600.0, 3600.0, 2 * DAY_S])
def test_a_site_whose_clock_is_off_hardly_changes_what_others_get(skew_s: float) -> None:
    log = random_log(9, sites=4, objects=300, rows=6000)
    ts = np.where(log.site == 3, log.ts_s + skew_s, log.ts_s)
    order = np.argsort(ts, kind="stable")
    skewed = Requests(ts[order], log.site[order], log.object[order], log.size, log.sites)
    caches = Caches(np.full(4, 300.0), np.full(4, -1), np.zeros(0))
    right, wrong = (decide_placement(each, caches, 4 * 3600.0) for each in (log, skewed))
    for site in range(3):
        mine, other = (set(each.sites[site].items.tolist()) for each in (right, wrong))
        assert len(mine & other) >= 0.8 * len(mine)
