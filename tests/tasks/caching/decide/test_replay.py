"""The gate, and a log played through it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.caching.decide.gate import ARMS, FIRST_REQUESTS, PINNED, REACTIVE, WARMED, Gate
from tasks.caching.decide.newborn import Catalogue
from tasks.caching.decide.popularity import Popularity
from tasks.caching.decide.replay import Replayed, _Play, replay, windows
from tasks.caching.decide.requests import Requests, pairs_of
from tasks.caching.decide.simulators import REACTIVE as POLICIES

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from caching_traces import Shape, independent, sparse

SMALL = Shape(requests=12_000, users=300, days=40, objects=600, sites=6)


def played(requests: Requests, share: float = 0.05, *, can_pin: bool = True) -> Replayed:
    budget = [int(share * requests.size[np.unique(requests.object)].sum())] * requests.sites
    return replay(requests, budget, 4 * 3600.0, policies=dict(POLICIES), can_pin=np.full(requests.sites, can_pin))


def ratio(done: Replayed, name: str) -> float:
    return done.scores[name].hits / done.scored


def taught(gate: Gate, hits: list[int], fills: list[int], heard: int, unlike: int = 0) -> int:
    columns = (np.array(each)[:, None] for each in (hits, [0, *[unlike] * 3], fills))
    gate.learn(*columns, np.array([heard]))
    return int(gate.verdict[0])


def test_a_site_is_filled_only_where_a_plan_won_by_the_margin() -> None:
    assert taught(Gate(np.ones(1, bool)), [400, 300, 404, 390], [0, 0, 0, 0], 1000) == REACTIVE
    assert taught(Gate(np.ones(1, bool)), [400, 300, 406, 390], [0, 0, 0, 0], 1000) == PINNED


def test_a_win_that_may_be_chance_is_none() -> None:
    assert taught(Gate(np.ones(1, bool)), [400, 300, 410, 390], [0] * 4, 1000, unlike=100) == REACTIVE
    assert taught(Gate(np.ones(1, bool)), [400, 300, 416, 390], [0] * 4, 1000, unlike=100) == PINNED


def test_a_plan_that_loses_of_late_is_taken_back_at_once() -> None:
    gate = Gate(np.ones(1, bool))
    assert taught(gate, [1000, 900, 1300, 900], [0] * 4, 5000) == PINNED
    assert taught(gate, [300, 0, 150, 0], [0] * 4, 600) == REACTIVE


def test_a_cache_that_cannot_pin_is_warmed_or_left_alone() -> None:
    gate = Gate(np.zeros(1, bool))
    assert int(gate.verdict[0]) == WARMED
    assert taught(gate, [400, 390, 500, 500], [0] * 4, 1000) == REACTIVE


def test_a_plan_that_fetches_more_than_it_serves_is_refused() -> None:
    assert taught(Gate(np.ones(1, bool)), [400, 300, 500, 300], [0, 0, 1001, 0], 1000) == REACTIVE


def test_a_site_without_a_log_is_filled_and_its_first_requests_judge_nothing() -> None:
    gate = Gate(np.ones(1, bool))
    assert taught(gate, [40, 0, 0, 0], [0] * 4, int(FIRST_REQUESTS) - 1) == PINNED
    assert taught(gate, [40, 0, 0, 0], [0] * 4, 2) == REACTIVE


def test_windows_without_a_request_are_passed_over() -> None:
    requests = Requests(np.array([5.0, 6.0, 1e9]), np.zeros(3, int), np.zeros(3, int), np.ones(1), 1)
    assert [(begin, rows.start, rows.stop) for begin, rows in windows(requests, 10.0)] == [
        (5.0, 0, 2),
        (999999995.0, 2, 3),
    ]


def test_at_sparse_sites_plans_beat_reactive_caches_and_the_oracle_beats_plans() -> None:
    done = played(sparse(21, SMALL))
    assert ratio(done, "lru") < ratio(done, "s3fifo") < ratio(done, "planned") < ratio(done, "oracle")
    assert done.flushed.warmed > 2.2 * done.flushed.cold


@pytest.mark.parametrize("regional", [0.0, 1.0])
def test_at_dense_sites_plans_are_never_half_a_point_below_reactive_caches(regional: float) -> None:
    done = played(independent(22, requests=40_000, sites=2, objects=3000, days=2, regional=regional), 0.02)
    assert ratio(done, "planned") >= ratio(done, "s3fifo") - 0.005


def test_sites_that_cannot_pin_gain_too() -> None:
    done = played(sparse(23, SMALL), can_pin=False)
    assert ratio(done, "planned") > ratio(done, "s3fifo") - 0.005


def test_what_is_still_to_come_changes_nothing_before_it() -> None:
    requests = sparse(24, SMALL)
    half = len(requests) // 2
    later = np.random.default_rng(1).permutation(requests.object[half:])
    changed = replace(requests, object=np.concatenate([requests.object[:half], later]))
    found = []
    for each in (requests, changed):
        play = _Play(
            each,
            [30_000_000] * each.sites,
            ["s3fifo"] * each.sites,
            dict(POLICIES),
            Gate(np.ones(each.sites, bool)),
            [None] * each.sites,
        )
        popularity, done = Popularity(each, pairs_of(each)), slice(0, 0)
        for begin_s, rows in windows(each, 4 * 3600.0):
            if rows.stop > half:
                break
            popularity.add(done, begin_s)
            play.window(popularity, rows)
            done = rows
        scores = {name: (score.hits, score.fills) for name, score in play.scores.items()}
        found.append((scores, play.gate.verdict.tolist(), play.flushes.warmed, [plan.tolist() for plan in play.plans]))
    assert found[0] == found[1]


def test_each_site_is_judged_beside_the_policy_that_it_runs() -> None:
    requests = sparse(27, SMALL)
    own = ["lru" if site % 2 else "s3fifo" for site in range(requests.sites)]
    done = replay(requests, [30_000_000] * requests.sites, 4 * 3600.0, policies=POLICIES,
                  can_pin=np.ones(requests.sites, bool), own=own)  # fmt: skip
    for site, policy in enumerate(own):
        assert done.own.site_hits[site] == done.scores[policy].site_hits[site]
    mine = np.array([policy == "lru" for policy in own])[requests.site]
    assert (done.own.was_hit == np.where(mine, done.scores["lru"].was_hit, done.scores["s3fifo"].was_hit)).all()


def test_a_log_is_played_the_same_twice() -> None:
    first, second = (played(sparse(25, replace(SMALL, requests=4_000, days=15))) for _ in range(2))
    assert [score.hits for score in first.scores.values()] == [score.hits for score in second.scores.values()]
    assert first.gate.verdict.tolist() == second.gate.verdict.tolist()
    assert len(first.gate.arms) == len(first.gate.gains()[0])


def test_a_site_that_is_filled_no_more_gets_back_what_its_own_policy_would_hold() -> None:
    requests = independent(26, requests=6000, sites=1, objects=500, days=2)
    play = _Play(requests, [20_000_000], ["s3fifo"], {}, Gate(np.ones(1, bool)), [None])
    play.in_force[0], play.gate.verdict = PINNED, np.array([REACTIVE])
    for item in requests.object[:2000].tolist():
        play.arms[0][REACTIVE].request(item, 0.0)
    (given,) = play.handed_back().values()
    play._score(0, np.zeros(0, int), [], 0.0, scoring=True)
    assert set(given.tolist()) == set(play.planned[0].held().tolist())
    assert play.scores["planned"].fills == len(given)
    assert play.handed_back() == {}


def published(asked_for: bool) -> tuple[Requests, Catalogue]:
    """Every hour ten objects are published and asked for at once, each once, or instead of them old ones are."""
    hours, each, old = 150, 10, 40
    born = np.repeat(np.arange(hours), each) * 3600.0
    item = np.arange(hours * each) if asked_for else np.random.default_rng(3).integers(0, old, hours * each) + len(born)
    ts = born + 60 + 300.0 * np.tile(np.arange(each), hours)
    size = np.full(len(born) + old, 10.0)
    tag = np.zeros(len(size), np.int64)
    catalogue = Catalogue(np.append(born, np.full(old, np.nan)), np.arange(len(size)), tag, 1)
    return Requests(ts, np.zeros(len(ts), np.int64), item, size, 1), catalogue


@pytest.mark.parametrize("asked_for", [True, False])
def test_new_objects_are_planned_where_the_replay_shows_that_they_are_asked_for(asked_for: bool) -> None:
    requests, catalogue = published(asked_for)
    done = replay(requests, [1000], 3600.0, policies=dict(POLICIES), can_pin=np.ones(1, bool), catalogue=catalogue)
    assert ARMS[int(done.gate.verdict[0])].takes_new is asked_for
    assert ratio(done, "planned") >= ratio(done, "s3fifo") - 0.005 + 0.8 * asked_for


def usd_of(requests: Requests, usd: np.ndarray, done: Replayed, name: str) -> float:
    """What all misses and all that was fetched ahead cost."""
    score = done.scores[name]
    fetched = np.concatenate([requests.object[~score.was_hit], *(items for _, items in score.ahead)])
    return float(usd[fetched].sum())


def test_prices_that_differ_save_money() -> None:
    requests = sparse(21, SMALL)
    usd = np.where(np.arange(len(requests.size)) % 5 == 0, 10.0, 1.0)
    plain, priced = (played(replace(requests, worth=worth)) for worth in (None, usd))
    assert usd_of(requests, usd, priced, "planned") < 0.9 * usd_of(requests, usd, plain, "planned")
    assert usd_of(requests, usd, priced, "planned") < 0.9 * usd_of(requests, usd, priced, "s3fifo")


def test_with_prices_a_plan_is_refused_that_costs_more_than_it_saves() -> None:
    requests = independent(22, requests=10_000, sites=4, objects=1500, days=30)
    plain, priced = (played(replace(requests, worth=worth)) for worth in (None, np.full(1500, 3.0)))
    assert plain.gate.refused() == []
    assert priced.gate.refused() == list(range(4))


def test_the_oracle_is_served_while_the_copies_of_its_fill_last() -> None:
    requests = independent(28, requests=3000, sites=1, objects=50, days=3)
    done = replay(requests, [10**12], 3600.0, policies={}, can_pin=np.ones(1, bool), life_s=[lambda _: 900.0])
    in_time = (requests.ts_s - requests.ts_s[0]) % 3600.0 < 900.0
    assert (done.scores["oracle"].was_hit == in_time).all()
