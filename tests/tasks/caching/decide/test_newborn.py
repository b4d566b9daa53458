"""New objects: what is expected of them follows their kin of that age, and they take a tenth of a cache at most."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.caching.decide.newborn import NEW_S, Catalogue, decide_newborn
from tasks.caching.decide.placement import Caches, decide_placement
from tasks.caching.decide.requests import Requests

HOUR_S, NOW_S = 3600.0, 100 * 3600.0
RNG = np.random.default_rng(3)


def scene(kin: int = 60, each: int = 4, new_age_s: float = 10.0) -> tuple[Requests, Catalogue, int, int]:
    """Kin of tag 0 are asked for `each` times in their first hour, those of tag 1 never; last, a new object of each."""
    published = np.concatenate([HOUR_S * np.arange(kin), HOUR_S * np.arange(kin), [NOW_S - new_age_s] * 2])
    tag = np.array([0] * kin + [1] * kin + [0, 1])
    loved = np.repeat(np.arange(kin), each)
    ts = np.append(published[loved] + RNG.uniform(0, HOUR_S, len(loved)), [0.0, NOW_S])
    item = np.append(loved, [0, 0])
    order = np.argsort(ts, kind="stable")
    site = RNG.integers(0, 2, len(ts))
    requests = Requests(ts[order], site, item[order], np.full(len(published), 10.0), 2)
    return requests, Catalogue(published, np.arange(len(published)), tag, 2), 2 * kin, 2 * kin + 1


def test_a_new_object_is_expected_to_do_as_its_kin_did() -> None:
    requests, catalogue, loved, other = scene()
    told = decide_newborn(requests, catalogue, HOUR_S, NOW_S)
    expected = dict(zip(told.items.tolist(), told.expected.tolist(), strict=True))
    assert expected[loved] == pytest.approx((60 * 4 + 5 * 2) / 65, rel=0.02)
    assert expected[other] == pytest.approx(5 * 2 / 65, rel=0.02)


def test_what_was_silent_past_the_age_of_its_kins_requests_is_expected_to_stay_so() -> None:
    requests, catalogue, loved, _ = scene(new_age_s=2.5 * HOUR_S)
    told = decide_newborn(requests, catalogue, HOUR_S, NOW_S)
    assert told.expected[told.items.tolist().index(loved)] == 0.0


@pytest.mark.parametrize("age_s", [NEW_S, 3 * NEW_S, -60.0])
def test_what_is_old_or_not_published_yet_is_not_new(age_s: float) -> None:
    requests, catalogue, loved, other = scene(new_age_s=age_s)
    assert not {loved, other} & set(decide_newborn(requests, catalogue, HOUR_S, NOW_S).items.tolist())


def test_what_was_asked_for_has_a_record_of_its_own() -> None:
    requests, catalogue, loved, other = scene()
    asked = Requests(requests.ts_s, requests.site, np.where(requests.ts_s == NOW_S, loved, requests.object),
                     requests.size, 2)  # fmt: skip
    assert decide_newborn(asked, catalogue, HOUR_S, NOW_S).items.tolist() == [other]


def test_a_shorter_horizon_than_a_step_expects_its_part() -> None:
    requests, catalogue, *_ = scene()
    hour, half = (decide_newborn(requests, catalogue, horizon_s, NOW_S).expected for horizon_s in (HOUR_S, HOUR_S / 2))
    assert half == pytest.approx(hour / 2)


def test_new_objects_take_a_tenth_of_a_cache_at_most() -> None:
    requests, catalogue, *_ = scene()
    many = 40
    more = Requests(requests.ts_s, requests.site, requests.object, np.full(len(requests.size) + many, 10.0), 2)
    objects = len(requests.size)
    published = np.append(catalogue.published_s, [NOW_S - 5] * many)
    born = np.append(catalogue.object, objects + np.arange(many))
    told = Catalogue(published, born, np.append(catalogue.tag, [0] * many), 2)
    newborn = decide_newborn(more, told, HOUR_S, NOW_S)
    caches = Caches(np.array([200.0, 0.0]), np.array([-1, -1]), np.zeros(0))
    made = decide_placement(more, caches, HOUR_S, newborn=newborn)
    new = set(newborn.items.tolist())
    assert len(new) == many + 2
    assert sum(item in new for item in made.sites[0].items.tolist()) == 2
    assert sum(more.size[made.sites[0].items]) <= 200
    without = decide_placement(more, caches, HOUR_S)
    assert made.worth > without.worth
