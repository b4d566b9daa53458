"""The rounds of checks, by a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks.placement.decide.traffic_health import Health
from tasks.traffic.watch import Rhythm, watch
from tests.blocks.conftest import FakeTime


def watched(
    rounds: Sequence[Sequence[int]], time: FakeTime, watch_s: float = 0.0, before: Health | None = None
) -> tuple[list[bool], list[bool]]:
    """Which are up and which answered badly, where each round takes a second."""
    waiting = [list(each) for each in rounds]

    def check(urls: Sequence[str]) -> list[int]:
        time.now_s += 1
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    count = len(rounds[0])
    state, ill = watch(["u"] * count, before or Health.start(count), watch_s, check, Rhythm(time.clock, time.sleep))
    return state.up.tolist(), ill.tolist()


def test_where_all_is_well_one_round_is_enough(fake_time: FakeTime) -> None:
    assert watched([[1, 1]], fake_time) == ([True, True], [False, False])
    assert fake_time.slept == []


def test_a_site_that_fails_is_down_within_thirty_seconds_of_its_first_failed_check(fake_time: FakeTime) -> None:
    assert watched([[0, 1]], fake_time) == ([False, True], [True, False])
    assert fake_time.now_s <= 30


def test_a_site_that_fails_one_round_later_is_down_within_thirty_seconds_too(fake_time: FakeTime) -> None:
    assert watched([[0, 1], [0, 0], [0, 0]], fake_time)[0] == [False, False]
    assert fake_time.now_s <= 30


def test_nothing_to_check_is_not_waited_for(fake_time: FakeTime) -> None:
    assert watched([[]], fake_time, watch_s=60) == ([], [])
    assert fake_time.now_s == 0


def test_one_failed_check_turns_nothing(fake_time: FakeTime) -> None:
    assert watched([[0, 1], [1, 1]], fake_time) == ([True, True], [False, False])


def test_what_is_not_known_turns_nothing(fake_time: FakeTime) -> None:
    assert watched([[-1, -1]], fake_time, watch_s=60)[0] == [True, True]


def test_a_site_that_is_down_comes_up_after_three_checks(fake_time: FakeTime) -> None:
    down = Health(np.array([False]), np.array([0]))
    assert watched([[1]], fake_time, 60, down)[0] == [True]
    assert fake_time.now_s == pytest.approx(21)


def test_rounds_are_ten_seconds_apart_however_long_they_take(fake_time: FakeTime) -> None:
    watched([[1]], fake_time, watch_s=50)
    assert fake_time.slept == [9.0] * 4


def test_one_that_fails_every_other_time_is_not_watched_for_ever(fake_time: FakeTime) -> None:
    waiting = [[1], [0]] * 50
    assert watched(waiting[1:], fake_time)[0] == [True]
    assert fake_time.now_s < 60


STARTS_S = 20.0  # a run's process, at most
ROOT = Path(__file__).parents[3]


@given(
    late=st.lists(st.floats(0, STARTS_S), min_size=6, max_size=6), fails_s=st.floats(130, 250), takes_s=st.floats(0, 4)
)
def test_runs_of_the_schedule_see_a_failure_within_twenty_five_seconds_of_it(
    late: list[float], fails_s: float, takes_s: float
) -> None:
    """Six runs a minute apart, as the deployment has them: whichever is the first to know leaves 5 s for the write."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (ours,) = (each for each in deployments if each["name"] == "traffic-routing")
    watch_s, interval_s = ours["parameters"]["request"]["watch_s"], ours["schedules"][0]["interval"]

    def known_at(start_s: float) -> float:
        time = FakeTime()
        time.now_s = start_s

        def check(urls: Sequence[str]) -> list[int]:
            asked_s, time.now_s = time.now_s, time.now_s + takes_s
            return [int(asked_s < fails_s)] * len(urls)

        state, _ = watch(["u"], Health.start(1), watch_s, check, Rhythm(time.clock, time.sleep))
        return float("inf") if state.up[0] else time.now_s

    assert min(known_at(run * interval_s + late[run]) for run in range(6)) - fails_s <= 25
    assert (
        watch_s + STARTS_S < (ours["concurrency_limit"]["limit"] - 1) * interval_s
    )  # one is free for what was approved
