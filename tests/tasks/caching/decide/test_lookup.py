"""The serve path: which tier answers, who keeps an object and how long."""

from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.lookup import DAY_S, Heard, Keep, Place, Tier, decide_keep, look_up

SIZE = [10] * 20
CHANCES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("chances", "kept"),
    [
        ((0.3, 0.5, 0.7), Keep(0.0, 0.0, 0.0)),  # above, not at
        ((0.31, 0.5, 0.7), Keep(0.31 * DAY_S, 0.0, 0.0)),
        ((0.0, 0.51, 0.71), Keep(0.0, 0.51 * DAY_S, DAY_S)),
        ((1.0, 1.0, 1.0), Keep(DAY_S, DAY_S, DAY_S)),
    ],
)
def test_the_seeds_thresholds(chances: tuple[float, float, float], kept: Keep) -> None:
    assert decide_keep(*chances) == kept


@given(CHANCES, CHANCES, CHANCES, CHANCES)
def test_what_is_surer_is_kept_no_shorter(one: float, other: float, regional: float, everywhere: float) -> None:
    less, more = sorted((one, other))
    assert decide_keep(less, regional, everywhere).local_s <= decide_keep(more, regional, everywhere).local_s <= DAY_S


def place(capacity: int = 100) -> Place:
    return Place(Tier(capacity, SIZE))


def asked(many: int, region: Place, site: Place, everyone: Heard) -> list[str]:
    return [look_up(3, 100.0 + number, site, region, everyone) for number in range(many)]


def test_the_way_is_local_then_regional_then_origin() -> None:
    region, everyone = place(), Heard()
    first, second = place(), place()
    assert asked(3, region, first, everyone) == ["origin", "local", "local"]
    assert asked(2, region, second, everyone) == ["regional", "local"]


def test_what_is_not_likely_to_come_again_is_kept_by_nobody() -> None:
    site, region, everyone = place(), place(), Heard()
    site.heard.add(0, -100 * DAY_S)  # they have listened for long: one request says one in many days
    region.heard.add(0, -100 * DAY_S)
    assert asked(1, region, site, everyone) == ["origin"]
    assert not site.tier.has(3, 101.0)
    assert not region.tier.has(3, 101.0)


def test_what_has_expired_is_no_hit_and_comes_back() -> None:
    tier = Tier(100, SIZE)
    tier.put(1, 0.0, 60.0)
    assert tier.get(1, 59.0)
    assert not tier.get(1, 60.0)
    tier.put(1, 60.0, 60.0)
    assert tier.get(1, 100.0)


def test_users_push_out_nothing_that_is_pinned() -> None:
    tier = Tier(50, SIZE)
    for item in (1, 2, 3):
        tier.pin(item, 0.0, DAY_S)
    for number in range(200):
        tier.put(4 + number % 16, float(number), DAY_S)
    assert [item for item in range(20) if tier.has(item, 300.0)][:3] == [1, 2, 3]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 19), st.floats(1, 1000)), max_size=60), st.integers(0, 80))
def test_a_tier_never_holds_more_than_its_bytes(acts: list[tuple[bool, int, float]], capacity: int) -> None:
    tier = Tier(capacity, SIZE)
    for now_s, (pinned, item, ttl_s) in enumerate(acts):
        (tier.pin if pinned else tier.put)(item, float(now_s), ttl_s)
        assert sum(SIZE[each] for each in range(20) if tier.has(each, float(now_s))) <= capacity


def test_the_chance_of_a_steady_rate_is_that_of_a_poisson_process() -> None:
    heard = Heard(half_life_s=5 * DAY_S)
    for hour in range(24 * 40):
        if hour % 12 == 0:
            heard.add(1, hour * 3600.0)
    assert heard.probability(1, 40 * DAY_S) == pytest.approx(1 - exp(-2.0), abs=0.02)
    assert heard.probability(2, 40 * DAY_S) == 0.0
