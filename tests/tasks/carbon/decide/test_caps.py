"""The capacity curve of a day: the optimum, the room that a day keeps, and what never lowers a cap."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.carbon.decide.caps import DAY_S, Capped, cap_no_longer_fits, curve, decide_caps, offered_h
from tasks.carbon.decide.grid import HOUR_S, Intensity

POOL = Capped("prefect/work-pools/batch", "DE", 1, 4, 40.0, 4, 0)
DAY = np.array([400.0] * 10 + [100.0] * 4 + [400.0] * 10)


def decide(pool: Capped, now_s: int, values: np.ndarray = DAY) -> dict:
    (record,) = decide_caps([pool], {"DE": Intensity(0, HOUR_S, values)}, {"DE": "actual"}, now_s)
    return record


def test_dirty_hours_get_the_least_and_clean_ones_the_most() -> None:
    assert (decide(POOL, 8 * HOUR_S)["cap"], decide(replace(POOL, seen=1, offered_h=20), 10 * HOUR_S)["cap"]) == (4, 4)
    dirty = decide(replace(POOL, offered_h=20), 8 * HOUR_S)
    assert (dirty["action"], dirty["cap"]) == ("cap", 1)
    assert [each["cap"] for each in dirty["hours"]] == [1, 1, 4, 2, *[1] * 12]


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.integers(0, 2), st.integers(2, 3), st.integers(0, 9))
def test_the_curve_is_the_best_of_all_curves_with_room_for_the_rest(grams, least, most, needed) -> None:
    pool = Capped("p", "DE", least, most, needed, None, 0)
    _, caps = curve(pool, Intensity(DAY_S - 3 * HOUR_S, HOUR_S, np.array(grams, float)), DAY_S - 3 * HOUR_S)
    fitting = [each for each in product(range(least, most + 1), repeat=3) if sum(each) >= min(needed, 3 * most)]
    assert tuple(caps) in fitting
    assert np.dot(caps, grams) == min(np.dot(each, grams) for each in fitting)


@settings(max_examples=30)
@given(st.data(), st.integers(1, 3), st.integers(3, 6))
def test_a_day_has_its_room_whatever_forecasts_say_from_pass_to_pass(data, least, most) -> None:
    needed = data.draw(st.integers(1, 24 * most))
    pool, passes = Capped("p", "DE", least, most, needed, None, 0), [(0, most)]
    for half in range(48):
        now_s = half * 1800
        values = data.draw(st.sampled_from([DAY, DAY[::-1], np.arange(24.0), np.arange(24.0)[::-1]]))
        at = replace(pool, seen=passes[-1][1], offered_h=offered_h(passes, most, now_s))
        passes += [(now_s, passes[-1][1]), (now_s, decide(at, now_s, values)["cap"])]
    last = offered_h([*passes[1:], (DAY_S - 1, passes[-1][1])], most, DAY_S - 1)
    assert last * (1 + 1e-6) + most / 1800 >= needed


@pytest.mark.parametrize("seen", [None, 2, 4, 9])
def test_what_is_not_known_never_lowers_a_cap(seen: int | None) -> None:
    for values, running in ((DAY[:12], 0), (DAY, None)):
        record = decide(replace(POOL, seen=seen, running=running, offered_h=39), 8 * HOUR_S, values)
        assert record["cap"] == (None if seen is None else max(seen, POOL.most))
        assert (record["action"] == "cap") == (seen == 2)


@given(seen=st.one_of(st.none(), st.integers(1, 9)), running=st.integers(0, 9), hour=st.integers(0, 23))
def test_a_cap_is_never_below_what_runs_nor_the_least(seen, running: int, hour: int) -> None:
    cap = decide(replace(POOL, seen=seen, running=running, offered_h=39), hour * HOUR_S)["cap"]
    assert cap >= max(running, POOL.least)


def test_a_cap_that_was_decided_before_lapses_with_its_hour_its_reader_or_what_runs() -> None:
    pool = replace(POOL, offered_h=39)
    record = {pool.subject: decide(pool, 8 * HOUR_S)}
    assert cap_no_longer_fits([pool], record, 8 * HOUR_S + 60) == {}
    for found, now_s, words in (
        ([], 8, "gone"), ([replace(pool, seen=3)], 8, "changed since"), ([replace(pool, running=2)], 8, "more runs"),
        ([replace(pool, running=None)], 8, "more runs"), ([pool], 9, "hour is over"),
    ):  # fmt: skip
        (why,) = cap_no_longer_fits(found, record, now_s * HOUR_S).values()
        assert words in why
