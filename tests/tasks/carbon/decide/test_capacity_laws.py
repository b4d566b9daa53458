"""Plans under one capacity: they fit, are the bare optimum where there is room, and cleaner the more room there is."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput, Refused
from blocks.tables import carbon_profile
from tasks.carbon.decide import capacity
from tasks.carbon.decide.capacity import decide_capacity
from tasks.carbon.decide.grid import Intensity, Jobs
from tasks.carbon.decide.plan import decide_plan

STEPS = 8
HOUR_S = 3600


@st.composite
def problems(draw: st.DrawFn) -> tuple[Intensity, Jobs]:
    """Up to four jobs of 1 kW over eight hours, some of them off the grid."""
    values = draw(st.lists(st.integers(0, 9), min_size=STEPS, max_size=STEPS))
    rows = draw(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 6), st.integers(0, 8), st.booleans()),
                         min_size=1, max_size=4))  # fmt: skip
    arrival, duration, slack, pausing = (np.array(each) for each in zip(*rows, strict=True))
    jobs = Jobs(arrival * 1800, duration * 1800, slack * 1800, np.ones(len(rows)), pausing)
    return Intensity(0, HOUR_S, np.array(values, np.float64)), jobs


@given(problems())
@settings(max_examples=60, deadline=None)
def test_with_room_for_all_the_plan_is_the_bare_optimum(problem: tuple[Intensity, Jobs]) -> None:
    grid, jobs = problem
    plan = decide_capacity([grid], np.full((1, STEPS), 99.0), jobs)
    np.testing.assert_allclose(plan.planned_g, decide_plan(grid, jobs).planned_g, atol=1e-5)


@given(problems(), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_plan_stays_below_the_capacity_and_says_what_lacks(problem: tuple[Intensity, Jobs], kw: int) -> None:
    grid, jobs = problem
    plan = decide_capacity([grid], np.full((1, STEPS), float(kw)), jobs)
    known = ~np.isnan(plan.planned_g)
    assert np.all(plan.used_kw <= kw + 1e-6)
    done = plan.used_kw.sum()
    assert done + plan.lacking_h[known].sum() == pytest.approx(jobs.duration_s[known].sum() / HOUR_S, abs=1e-5)
    if kw >= len(jobs):
        assert plan.lacking_h.sum() == 0


@given(problems(), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_more_capacity_never_makes_it_dirtier(problem: tuple[Intensity, Jobs], kw: int) -> None:
    grid, jobs = problem
    tight, wide = (decide_capacity([grid], np.full((1, STEPS), float(each)), jobs) for each in (kw, kw + 1))
    if tight.lacking_h.sum() == 0:
        assert np.nansum(wide.planned_g) <= np.nansum(tight.planned_g) + 1e-5


def test_whole_starts_are_the_best_that_trying_all_finds() -> None:
    grid = Intensity(0, HOUR_S, np.array([5.0, 1.0, 1.0, 4.0, 2.0, 3.0]))
    hours = np.array([2, 2, 1])
    jobs = Jobs(np.zeros(3, np.int64), hours * HOUR_S, np.full(3, 4 * HOUR_S), np.ones(3), np.zeros(3, np.bool_))
    best = np.inf
    for starts in itertools.product(range(5), repeat=3):
        used = np.zeros(7)
        for start, length in zip(starts, hours, strict=True):
            used[start : start + length] += 1
        if used.max() <= 1 and used[6] == 0:
            best = min(best, float(used[:6] @ grid.g_per_kwh))
    plan = decide_capacity([grid], np.ones((1, 6)), jobs)
    assert plan.planned_g.sum() == pytest.approx(best)
    assert plan.gap <= 1e-6


def test_a_job_goes_to_the_cleaner_zone_that_it_may_use() -> None:
    dirty, clean = (Intensity(0, HOUR_S, np.full(4, each)) for each in (400.0, 100.0))
    jobs = Jobs(*(np.array([each, each]) for each in (0, HOUR_S, 0)), np.ones(2), np.array([False, True]))
    anywhere = decide_capacity([dirty, clean], np.full((2, 4), 9.0), jobs)
    assert anywhere.planned_g.tolist() == pytest.approx([100.0, 100.0])
    assert anywhere.baseline_g.tolist() == [400.0, 400.0]
    bound = decide_capacity([dirty, clean], np.full((2, 4), 9.0), jobs, np.array([[True, False], [True, True]]))
    assert bound.planned_g.tolist() == pytest.approx([400.0, 100.0])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_with_known_intensity_the_zone_is_never_the_dirtier_one(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=4, max_size=4))
    zones = [Intensity(0, HOUR_S, np.array(column, np.float64)) for column in zip(*values, strict=True)]
    jobs = Jobs(np.arange(4) * HOUR_S, np.full(4, HOUR_S), np.zeros(4, np.int64), np.ones(4), np.zeros(4, np.bool_))
    plan = decide_capacity(zones, np.full((2, 4), 9.0), jobs)
    assert plan.planned_g.tolist() == pytest.approx([min(pair) for pair in values])


def test_zones_on_other_grids_are_refused() -> None:
    zones = [Intensity(0, HOUR_S, np.ones(4)), Intensity(HOUR_S, HOUR_S, np.ones(4))]
    jobs = Jobs(*(np.array([each]) for each in (0, HOUR_S, 0)), np.ones(1), np.array([False]))
    with pytest.raises(InvalidInput, match="not on one grid"):
        decide_capacity(zones, np.ones((2, 4)), jobs)


def test_too_many_choices_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MAX_ENTRIES", 10)
    jobs = Jobs(*(np.array([each]) for each in (0, 4 * HOUR_S, 4 * HOUR_S)), np.ones(1), np.array([True]))
    grid = Intensity(0, HOUR_S, np.ones(40))
    decide_capacity([grid], np.ones((1, 40)), jobs)
    with pytest.raises(Refused, match="choices are too many"):
        decide_capacity([grid], np.ones((1, 40)), dataclasses.replace(jobs, interruptible=np.array([False])))


@pytest.mark.parametrize("pair", [("ES", "US-CAL-CISO"), ("DE", "PL"), ("FR", "GB"), ("ES", "FR")])
def test_of_two_real_zones_the_chosen_one_is_never_the_dirtier(pair: tuple[str, str]) -> None:
    """The carried typical days, every hour of January and July; each job runs at its hour, wherever it likes."""
    profiles = [carbon_profile(zone).mean_g_per_kwh[[0, 6]].reshape(-1) for zone in pair]
    hours = np.arange(len(profiles[0]))
    jobs = Jobs(hours * 3600, np.full(len(hours), 3600), np.zeros(len(hours), int), np.ones(len(hours)),
                np.ones(len(hours), bool))  # fmt: skip
    plan = decide_capacity([Intensity(0, 3600, each) for each in profiles], np.full((2, len(hours)), 9.0), jobs)
    assert plan.planned_g == pytest.approx(np.minimum(*profiles))
