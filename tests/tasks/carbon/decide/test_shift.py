"""When flexible runs start: cleanest safe hour, hysteresis, deadlines, what is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.carbon.decide.grid import Intensity
from tasks.carbon.decide.shift import PASS_S, SAFETY_S, FlexibleRun, decide_shifts, latest_s, no_longer_fits

HOUR = 3600
NOW = 100 * HOUR
RUN = FlexibleRun("prefect/1", "training", "DE", NOW, NOW, 2 * HOUR, NOW + 24 * HOUR)
NIGHT = np.array([400.0] * 6 + [100.0] * 4 + [400.0] * 30)


def decide(run: FlexibleRun, values: np.ndarray = NIGHT, now_s: int = NOW, least: float = 0.02) -> dict:
    (record,) = decide_shifts([run], {"DE": Intensity(NOW, HOUR, values)}, {"DE": "actual"}, now_s, least)
    return record


def start_s(record: dict) -> float:
    return datetime.fromisoformat(record["start"]).timestamp()


def test_a_run_waits_for_the_cleanest_hours() -> None:
    record = decide(RUN)
    assert (record["action"], start_s(record)) == ("shift", NOW + 6 * HOUR)
    assert record["saved_ratio"] == pytest.approx(0.75)
    assert record["promised"] == {"baseline_g": 800.0, "planned_g": 200.0}


def test_what_stands_there_already_is_left() -> None:
    record = decide(replace(RUN, planned_s=NOW + 6 * HOUR))
    assert record["action"] == "hold"


def test_a_gain_below_the_least_saving_moves_nothing() -> None:
    values = NIGHT.copy()
    values[12:14] = 99.0  # a little cleaner than where it stands
    assert decide(replace(RUN, planned_s=NOW + 6 * HOUR), values)["action"] == "hold"
    flat = np.full(40, 400.0)
    flat[6] = 395.0
    assert decide(RUN, flat)["action"] == "hold"


def test_a_run_whose_wait_no_longer_pays_starts_now() -> None:
    record = decide(replace(RUN, planned_s=NOW + 6 * HOUR), np.full(40, 400.0))
    assert (record["action"], start_s(record)) == ("start-now", NOW)


def test_where_nothing_is_known_a_run_that_waits_is_brought_back() -> None:
    waiting = replace(RUN, planned_s=NOW + 6 * HOUR)
    (record,) = decide_shifts([waiting], {}, {}, NOW)
    assert (record["action"], record["reasons"][0]["code"]) == ("start-now", "no-data")
    (record,) = decide_shifts([RUN], {}, {}, NOW)
    assert record["action"] == "hold"


def test_a_run_without_slack_keeps_its_time() -> None:
    record = decide(replace(RUN, until_s=NOW + 2 * HOUR))
    assert (record["action"], record["reasons"][0]["code"]) == ("hold", "no-slack")


def test_a_start_that_is_too_late_is_brought_forward() -> None:
    late = replace(RUN, planned_s=NOW + 23 * HOUR)
    record = decide(late, np.linspace(400, 100, 40))
    assert start_s(record) <= latest_s(late)


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=40), st.integers(-20, 60), st.integers(-20, 60),
       st.integers(60, 20 * HOUR), st.integers(-10 * HOUR, 60 * HOUR))  # fmt: skip
def test_no_start_is_before_the_arrival_or_too_late(
    values: list[float], arrival_h: int, planned_h: int, duration_s: int, slack_s: int
) -> None:
    run = FlexibleRun("prefect/1", "x", "DE", NOW + arrival_h * HOUR, NOW + planned_h * HOUR, duration_s,
                      NOW + arrival_h * HOUR + duration_s + slack_s)  # fmt: skip
    record = decide(run, np.array(values))
    if record["action"] == "hold":
        assert start_s(record) == run.planned_s
        return
    earliest = max(run.arrival_s, NOW)
    assert earliest <= start_s(record) <= max(latest_s(run), earliest)
    assert record["saved_ratio"] >= 0


@given(st.lists(st.floats(1, 1000), min_size=30, max_size=40))
def test_brute_force_finds_no_cleaner_safe_hour(values: list[float]) -> None:
    record = decide(RUN, np.array(values), least=0.0)
    starts = range((latest_s(RUN) - NOW) // HOUR + 1)
    best = min(values[start] + values[start + 1] for start in starts)
    begin = int((start_s(record) - NOW) // HOUR)
    assert values[begin] + values[begin + 1] == pytest.approx(best)
    assert start_s(record) + RUN.duration_s + SAFETY_S <= RUN.until_s


def test_a_decision_that_no_longer_fits_is_named() -> None:
    record = decide(RUN)
    changes = {"prefect/1": record}
    assert no_longer_fits([RUN], changes, NOW) == {}
    assert no_longer_fits([], changes, NOW) == {"prefect/1": "it has begun, or is gone"}
    moved = replace(RUN, planned_s=NOW + HOUR)
    assert no_longer_fits([moved], changes, NOW) == {"prefect/1": "its start was changed since"}
    assert no_longer_fits([RUN], changes, NOW + 7 * HOUR) == {"prefect/1": "that hour is over"}
    assert datetime.fromisoformat(record["seen"]).astimezone(UTC).timestamp() == NOW
    longer = replace(RUN, duration_s=20 * HOUR)
    assert no_longer_fits([longer], changes, NOW) == {"prefect/1": "it would end too late"}


def test_a_start_now_still_fits_when_its_limit_has_come_near() -> None:
    late = replace(RUN, planned_s=NOW + 3 * HOUR, until_s=NOW + 2 * HOUR)
    record = decide(late)
    assert record["action"] == "start-now"
    assert no_longer_fits([late], {"prefect/1": record}, NOW + HOUR) == {}


@settings(max_examples=20)
@given(st.lists(st.integers(1, 900), min_size=60, max_size=60), st.integers(1, 12), st.integers(0, PASS_S - 1))
def test_what_only_we_start_is_started_by_a_pass_before_its_hour_and_never_too_late(
    values: list[int], slack_h: int, first: int
) -> None:
    run = replace(RUN, planned_s=NOW, until_s=NOW + 2 * HOUR + slack_h * HOUR, waits=True)
    now_s = NOW + first
    while True:
        record = decide(run, np.array(values, float), now_s)
        assert record["action"] in ("shift", "start-now", "hold")
        if record["action"] == "start-now":
            break
        run = replace(run, planned_s=int(start_s(record)))
        assert run.planned_s >= now_s + PASS_S
        now_s += PASS_S
    assert now_s <= max(latest_s(run), NOW + first)
    assert start_s(record) == now_s
