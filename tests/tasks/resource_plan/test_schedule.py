"""Sizes over a day: against brute force, and by the laws that a schedule must keep."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.resource_plan.decide.schedule import fewest_changes, filled, led, ready_nodes

NEEDED = st.lists(st.integers(0, 6), min_size=1, max_size=7)
LONG = st.lists(st.integers(0, 9), min_size=1, max_size=40)


def table(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int64)


def cost(sizes: tuple[int, ...], current: int, change: float) -> float:
    moves = sum(before != after for before, after in zip((current, *sizes), sizes, strict=False))
    return sum(sizes) + change * moves


@given(needed=NEEDED, current=st.integers(0, 7), change=st.sampled_from([0.25, 1.5, 4.25]))
def test_no_sizes_that_suffice_cost_less(needed, current, change):
    """Brute force over every schedule of six steps at most, of every size up to the largest that could be of use."""
    needed = needed[:6]
    found = tuple(fewest_changes(table(needed), np.array([current]), change)[0].tolist())
    assert all(size >= need for size, need in zip(found, needed, strict=True))
    levels = sorted({*needed, current})
    others = (sizes for sizes in product(levels, repeat=len(needed)) if all(s >= n for s, n in zip(sizes, needed)))  # noqa: B905
    assert cost(found, current, change) == pytest.approx(min(cost(sizes, current, change) for sizes in others))


@given(needed=LONG, hold=st.integers(1, 50))
def test_filling_is_the_least_that_holds_its_lows(needed, hold):
    steps = len(needed)
    hold = min(hold, steps)
    wanted = [
        min(max(needed[begin : begin + hold]) for begin in range(steps - hold + 1) if begin <= step < begin + hold)
        for step in range(steps)
    ]
    assert filled(table(needed), hold)[0].tolist() == wanted


@given(needed=LONG, hold=st.integers(1, 12), current=st.integers(0, 12), change=st.sampled_from([0.0, 0.5, 4.0]))
def test_a_size_that_is_gone_down_to_suffices_for_the_whole_hold_time(needed, hold, current, change):
    held = filled(table(needed), hold)
    sizes = [current, *fewest_changes(held, np.array([current]), change)[0].tolist()]
    hold = min(hold, len(needed))
    for step in range(1, len(sizes)):
        if sizes[step] < sizes[step - 1]:
            assert max(sizes[step : step + hold]) <= sizes[step]
            assert len(sizes) - step >= hold


@given(needed=LONG, lead=st.integers(0, 6))
def test_what_is_asked_for_a_boot_time_ahead_is_ready_when_it_is_needed(needed, lead):
    sizes = fewest_changes(led(table(needed), np.array([lead])), np.array([0]), 2.0)
    ready = ready_nodes(sizes, np.array([0]), np.array([0]), np.array([lead]))[0]
    assert (ready >= needed)[lead:].all()
    assert (ready[:lead] == 0).all()


@given(
    rows=st.lists(
        st.tuples(st.lists(st.integers(0, 9), min_size=12, max_size=12), st.integers(0, 9)), min_size=2, max_size=6
    )
)
def test_pools_do_not_look_at_each_other(rows):
    needed, current = table(*(row for row, _ in rows)), np.array([now for _, now in rows])
    together = fewest_changes(filled(needed, 3), current, 2.0)
    alone = [fewest_changes(filled(needed[[row]], 3), current[[row]], 2.0)[0] for row in range(len(rows))]
    assert together.tolist() == np.array(alone).tolist()


def test_a_ramp_is_climbed_in_few_steps_where_a_change_is_dear():
    ramp = table([2, 3, 4, 5, 6, 7, 8, 9])
    cheap, dear = (fewest_changes(ramp, np.array([2]), change)[0] for change in (0.5, 8.0))
    assert (np.diff(cheap) != 0).sum() == 7
    assert (np.diff(dear) != 0).sum() == 2


def test_a_short_surplus_is_kept_where_a_change_costs_more_than_it_saves():
    sizes = fewest_changes(table([4, 4, 4, 5]), np.array([5]), 4.0)[0]
    assert sizes.tolist() == [5, 5, 5, 5]


def test_nodes_that_boot_now_are_ready_a_boot_time_later():
    ready = ready_nodes(table([6, 6, 6, 6]), np.array([6]), np.array([4]), np.array([2]))
    assert ready.tolist() == [[4, 4, 6, 6]]


def test_a_fleet_of_no_pools_has_a_schedule_of_no_rows():
    assert fewest_changes(np.empty((0, 5), np.int64), np.empty(0, np.int64), 1.0).shape == (0, 5)
