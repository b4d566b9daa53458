"""When a site may be warmed: in its window, in its cleanest hour if asked, and whoever looks hourly meets it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.windows import NOW, decide_opening

DAYS = st.lists(st.booleans(), min_size=24, max_size=24).filter(any)
GRAMS = st.lists(st.floats(0, 900), min_size=24, max_size=24)


@given(DAYS, GRAMS)
def test_what_is_waited_for_is_open_and_the_cleanest_of_its_window(hours: list[bool], grams: list[float]) -> None:
    is_open, g = np.array(hours), np.array(grams)
    told = decide_opening(is_open, g)
    first = hours.index(True)
    end = next((hour for hour in range(first, 24) if not hours[hour]), 24)
    assert is_open[told.wait_h]
    assert first <= told.wait_h < end
    assert g[told.wait_h] == g[first:end].min()
    assert decide_opening(is_open, None).wait_h == first
    assert (told == NOW) == (told.code == "")


@given(DAYS, GRAMS)
def test_whoever_looks_every_hour_meets_the_hour_that_was_told(hours: list[bool], grams: list[float]) -> None:
    is_open, g = np.array(hours), np.array(grams)
    told = decide_opening(is_open, g).wait_h
    for hour in range(told):
        assert decide_opening(is_open[hour:], g[hour:]).wait_h == told - hour
    assert decide_opening(is_open[told:], g[told:]) == NOW
