"""Start times are the optimum: trying everything agrees, on every grid, off it, and past the end of the data."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import InvalidInput
from tasks.carbon.decide import contiguous, interruptible
from tasks.carbon.decide.grid import Intensity, Jobs
from tasks.carbon.decide.plan import Plan, decide_plan

CLOSE = {"rel": 1e-9, "abs": 1e-6, "nan_ok": True}
START_S = 1_648_342_800  # 2022-03-27T01:00Z: the hour that Central Europe skips


@st.composite
def grids(draw: st.DrawFn) -> Intensity:
    """5 to 40 steps of 15, 30 or 60 minutes; few levels, so that ties are common."""
    step_s = draw(st.sampled_from([900, 1800, 3600]))
    values = draw(st.lists(st.integers(0, 6), min_size=5, max_size=40))
    return Intensity(START_S, step_s, np.array(values, np.float64) * 100)


@st.composite
def jobs_on(draw: st.DrawFn, grid: Intensity, *, whole: bool, pausing: bool) -> Jobs:
    """1 to 8 jobs; windows may begin before the data and reach past their end."""
    unit = grid.step_s if whole else 60
    steps = grid.step_s * len(grid.g_per_kwh) // unit
    rows = draw(st.lists(st.tuples(st.integers(-2, steps), st.integers(1, steps // 2), st.integers(0, steps)),
                         min_size=1, max_size=8))  # fmt: skip
    arrival, duration, slack = (np.array(column) * unit for column in zip(*rows, strict=True))
    kw = np.arange(1.0, len(rows) + 1)
    return Jobs(arrival + grid.start_s, duration, slack, kw, np.full(len(rows), pausing))


def emitted_minute_by_minute(grid: Intensity, start_s: int, duration_s: int) -> float:
    """g of one kW; NaN where a minute is not covered."""
    minutes = np.arange(start_s, start_s + duration_s, 60)
    if minutes[0] < grid.start_s or start_s + duration_s > grid.end_s:
        return float("nan")
    return float(grid.g_per_kwh[(minutes - grid.start_s) // grid.step_s].sum() / 60)


def brute_start(grid: Intensity, jobs: Jobs, row: int) -> float:
    """g of one kW of the best start."""
    arrival, last = int(jobs.arrival_s[row]), int(jobs.duration_s[row])
    if np.isnan(emitted_minute_by_minute(grid, arrival, last)):
        return float("nan")
    starts = range(arrival, arrival + int(jobs.slack_s[row]) + 1, grid.step_s)
    return float(np.nanmin([emitted_minute_by_minute(grid, start, last) for start in starts]))


def brute_minutes(grid: Intensity, jobs: Jobs, row: int) -> float:
    """g of one kW in the cheapest minutes of the window."""
    arrival, last = int(jobs.arrival_s[row]), int(jobs.duration_s[row])
    if np.isnan(emitted_minute_by_minute(grid, arrival, last)):
        return float("nan")
    end = min(arrival + int(jobs.slack_s[row]) + last, grid.end_s)
    every = np.sort(grid.g_per_kwh[(np.arange(arrival, end, 60) - grid.start_s) // grid.step_s])
    return float(every[: last // 60].sum() / 60)


def brute_restarts(grid: Intensity, jobs: Jobs, row: int, restart_h: float) -> float:
    """g of one kW over every choice of whole slots, each start after the first paying for itself."""
    step = grid.step_s
    first, count = int((jobs.arrival_s[row] - grid.start_s) // step), int(jobs.duration_s[row] // step)
    if first < 0 or first + count > len(grid.g_per_kwh):
        return float("nan")
    window = grid.g_per_kwh[first : first + count + int(jobs.slack_s[row] // step)]
    best = np.inf
    for chosen in itertools.combinations(range(len(window)), count):
        fresh = [slot for slot in chosen[1:] if slot - 1 not in chosen]
        best = min(best, window[list(chosen)].sum() * step / 3600 + restart_h * window[fresh].sum())
    return float(best)


def told(grid: Intensity, plan: Plan, row: int) -> float:
    """g of one kW of the runs that the plan names, without restarts."""
    return sum(emitted_minute_by_minute(grid, begin, end - begin) for begin, end in plan.runs(row))


@given(st.data(), st.booleans(), st.sampled_from([0, 4, 10**9]))
@settings(max_examples=150, deadline=None)
def test_the_best_start_is_the_one_that_trying_all_finds(data: st.DataObject, whole: bool, dearer: int) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=whole, pausing=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contiguous, "DEARER", dearer)
        patch.setattr(contiguous, "CELLS", 7)
        plan = decide_plan(grid, jobs)
    for row in range(len(jobs)):
        best = brute_start(grid, jobs, row)
        assert plan.planned_g[row] / jobs.kw[row] == pytest.approx(best, **CLOSE)
        assert plan.covered[row] == (not np.isnan(best))
        if plan.covered[row]:
            assert told(grid, plan, row) == pytest.approx(best, **CLOSE)
            assert (plan.start_s[row] - jobs.arrival_s[row]) % grid.step_s == 0
            assert 0 <= plan.start_s[row] - jobs.arrival_s[row] <= jobs.slack_s[row]


@given(st.data(), st.booleans(), st.sampled_from([1, 1000]))
@settings(max_examples=150, deadline=None)
def test_the_best_pauses_are_those_that_the_cheapest_minutes_give(data: st.DataObject, whole: bool, few: int) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=whole, pausing=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interruptible, "TOGETHER", few)
        patch.setattr(interruptible, "CELLS", 60)
        plan = decide_plan(grid, jobs)
    for row in range(len(jobs)):
        best = brute_minutes(grid, jobs, row)
        assert plan.planned_g[row] / jobs.kw[row] == pytest.approx(best, **CLOSE)
        if plan.covered[row]:
            assert told(grid, plan, row) == pytest.approx(best, **CLOSE)
            assert sum(end - begin for begin, end in plan.runs(row)) == jobs.duration_s[row]


@given(
    st.lists(st.integers(1, 6), min_size=3, max_size=10),
    st.integers(1, 4),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.1, 0.5, 2.0]),
)
@settings(max_examples=150, deadline=None)
def test_restarts_that_cost_are_made_only_where_they_pay(
    values: list[int], count: int, slack: int, restart_h: float
) -> None:
    grid = Intensity(0, 1800, np.array(values, np.float64))
    jobs = Jobs(*(np.array([each * 1800]) for each in (0, count, slack)), np.array([1.0]), np.array([True]))
    plan = decide_plan(grid, jobs, restart_h)
    assert plan.planned_g[0] == pytest.approx(brute_restarts(grid, jobs, 0, restart_h), **CLOSE)
    if plan.covered[0]:
        runs = plan.runs(0)
        paid = sum(restart_h * grid.g_per_kwh[begin // 1800] for begin, _ in runs[1:])
        assert sum(end - begin for begin, end in runs) == count * 1800
        assert told(grid, plan, 0) + paid == pytest.approx(plan.planned_g[0], **CLOSE)


@given(st.data(), st.booleans(), st.integers(0, 3000))
@settings(deadline=None)
def test_more_slack_never_raises_the_optimum(data: st.DataObject, pausing: bool, more_s: int) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=False, pausing=pausing))
    wider = dataclasses.replace(jobs, slack_s=jobs.slack_s + more_s)
    before, after = decide_plan(grid, jobs).planned_g, decide_plan(grid, wider).planned_g
    assert np.all((after <= before * (1 + 1e-12) + 1e-9) | np.isnan(before))


@given(st.data(), st.booleans())
@settings(deadline=None)
def test_planned_is_never_above_the_baseline_and_pausing_never_above_waiting(data: st.DataObject, whole: bool) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=whole, pausing=False))
    firm, loose = (
        decide_plan(grid, jobs),
        decide_plan(grid, dataclasses.replace(jobs, interruptible=~jobs.interruptible)),
    )
    known = firm.covered
    assert np.all(firm.planned_g[known] <= firm.baseline_g[known])
    assert np.all(loose.planned_g[known] <= firm.planned_g[known] * (1 + 1e-12) + 1e-9)
    assert 0 <= firm.saving_ratio <= loose.saving_ratio + 1e-9 <= 1 + 1e-9


@given(st.data(), st.floats(0.1, 50))
@settings(deadline=None)
def test_power_scales_carbon(data: st.DataObject, factor: float) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=True, pausing=True))
    plan, scaled = decide_plan(grid, jobs), decide_plan(grid, dataclasses.replace(jobs, kw=jobs.kw * factor))
    np.testing.assert_allclose(scaled.planned_g, plan.planned_g * factor)
    np.testing.assert_allclose(scaled.baseline_g, plan.baseline_g * factor)


@given(st.data(), st.booleans())
@settings(deadline=None)
def test_the_order_of_jobs_changes_nothing(data: st.DataObject, pausing: bool) -> None:
    grid = data.draw(grids())
    jobs = data.draw(jobs_on(grid, whole=False, pausing=pausing))
    backwards = np.arange(len(jobs))[::-1]
    plan, turned = decide_plan(grid, jobs), decide_plan(grid, jobs.take(backwards))
    np.testing.assert_allclose(turned.planned_g, plan.planned_g[backwards], rtol=1e-12)
    assert turned.start_s.tolist() == plan.start_s[backwards].tolist()


def test_no_slack_is_running_at_arrival() -> None:
    grid = Intensity(0, 3600, np.array([5.0, 1.0, 1.0]))
    jobs = Jobs(*(np.array([each]) for each in (0, 3600, 0)), np.array([1.0]), np.array([False]))
    plan = decide_plan(grid, jobs)
    assert (plan.start_s[0], plan.planned_g[0]) == (0, 5.0)


def test_of_starts_that_cost_the_same_the_earliest_is_taken() -> None:
    grid = Intensity(0, 3600, np.array([5.0, 1.0, 2.0, 1.0]))
    jobs = Jobs(*(np.array([each]) for each in (0, 3600, 3 * 3600)), np.array([1.0]), np.array([False]))
    assert decide_plan(grid, jobs).runs(0) == [(3600, 7200)]


def test_a_window_past_the_end_of_the_data_is_cut_and_said_to_be() -> None:
    grid = Intensity(0, 3600, np.array([5.0, 4.0, 3.0]))
    row = np.array([0, 0, 2 * 3600])
    jobs = Jobs(row, np.array([3600, 3600, 7200]), np.array([7200, 7201, 0]), np.ones(3), np.zeros(3, np.bool_))
    plan = decide_plan(grid, jobs)
    assert plan.cut.tolist() == [False, True, False]
    assert plan.covered.tolist() == [True, True, False]
    assert plan.planned_g[:2].tolist() == [3.0, 3.0]
    assert np.isnan(plan.planned_g[2])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_an_intensity_that_is_negative_or_missing_is_refused_with_its_place(value: float) -> None:
    with pytest.raises(InvalidInput, match="value 2 is"):
        Intensity(0, 3600, np.array([1.0, value]))


def test_restarts_that_cost_are_refused_off_the_grid() -> None:
    grid = Intensity(0, 3600, np.ones(5))
    jobs = Jobs(*(np.array([each]) for each in (0, 1800, 0)), np.array([1.0]), np.array([True]))
    with pytest.raises(InvalidInput, match="job 1 does not begin and last in whole steps of 60 min"):
        decide_plan(grid, jobs, 0.5)


def test_no_jobs_are_no_plan() -> None:
    none = np.zeros(0, np.int64)
    plan = decide_plan(Intensity(0, 3600, np.ones(3)), Jobs(none, none, none, np.zeros(0), np.zeros(0, np.bool_)))
    assert (len(plan.planned_g), plan.saving_ratio) == (0, 0.0)
