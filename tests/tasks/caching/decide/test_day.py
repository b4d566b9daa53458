"""The origin's day: hits and misses by hour add up to those of the replay; what came of a plan is counted by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.caching.decide.day import HOUR_S, HOURS, last_day, what_came
from tasks.caching.decide.replay import Score
from tasks.caching.decide.requests import Requests

ROWS = st.lists(st.tuples(st.floats(0, 60 * HOUR_S), st.integers(0, 2), st.integers(0, 5), st.booleans()), min_size=1,
                max_size=80)  # fmt: skip


def drawn(rows: list[tuple[float, int, int, bool]]) -> tuple[Requests, Score]:
    at, site, item, hit = (np.array(column) for column in zip(*sorted(rows), strict=True))
    requests = Requests(at.astype(float), site, item, np.arange(1.0, 7.0), 3)
    return requests, Score(np.zeros(3, np.int64), hit.astype(bool))


@given(ROWS)
def test_hits_and_misses_of_the_hours_are_all_of_the_last_day(rows: list[tuple[float, int, int, bool]]) -> None:
    requests, score = drawn(rows)
    day = last_day(requests, score, score, 2 * requests.size)
    inside = requests.ts_s >= day.begin_s[0]
    assert len(day.begin_s) <= HOURS
    assert day.requests.sum() == inside.sum()
    assert day.planned.hits.sum() == score.was_hit[inside].sum()
    assert (day.planned.hits + day.planned.origin_requests).tolist() == day.requests.tolist()
    missed = requests.size[requests.object[inside & ~score.was_hit]].sum()
    assert np.isclose(day.planned.origin_bytes.sum(), missed)
    assert np.isclose(day.planned.origin_usd.sum(), 2 * missed)


def test_what_is_fetched_ahead_is_the_origins_load_in_its_hour() -> None:
    requests, score = drawn([(0.0, 0, 0, True), (3 * HOUR_S, 0, 0, True)])
    filled = Score(
        score.site_hits, score.was_hit, ahead=[(-5 * HOUR_S, np.array([5])), (1.5 * HOUR_S, np.array([2, 3]))]
    )
    day = last_day(requests, filled, score, requests.size)
    assert (day.planned.origin_requests.tolist(), day.planned.origin_bytes.tolist()) == ([0, 2, 0], [0.0, 7.0, 0.0])
    assert day.without.origin_requests.sum() == 0


def test_the_peak_is_the_hour_with_most_misses_without_plans() -> None:
    requests, score = drawn([(hour * HOUR_S + 1, 0, 0, False) for hour in (0, 1, 1, 2)] + [(4 * HOUR_S, 0, 0, True)])
    day = last_day(requests, score, score, requests.size)
    assert day.without.origin_requests[day.peak] == 2


@given(ROWS, st.sets(st.integers(0, 5)), st.floats(0, 60 * HOUR_S), st.floats(0, 60 * HOUR_S))
def test_what_came_of_a_plan_is_what_a_loop_counts(
    rows: list[tuple[float, int, int, bool]], items: set[int], begin_s: float, end_s: float
) -> None:
    requests, score = drawn(rows)
    came = what_came(requests, 1, np.array(sorted(items), np.int64), begin_s, end_s, score.was_hit)
    mine = [row for row in rows if row[1] == 1 and begin_s <= row[0] < end_s]
    assert (came.requests, came.hits) == (len(mine), sum(row[2] in items for row in mine))
    assert came.hits_without == sum(row[3] for row in mine)
