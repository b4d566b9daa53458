"""Times of the week, schedules and change freezes of a fleet.yaml."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from blocks.fleet_times import ChangeFreeze, ScheduledSize, Window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("2026-03-06T20:59", False),  # Friday, 21:59 in Berlin
        ("2026-03-06T21:00", True),
        ("2026-03-07T04:59", True),  # Saturday, 05:59
        ("2026-03-07T05:00", False),
        ("2026-03-07T22:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(when, holds):
    assert Window(days=["fri"], begin="22:00", end="06:00").holds(at(when), "Europe/Berlin") is holds


def test_a_window_follows_the_clocks_of_its_zone():
    morning = Window(begin="08:00", end="09:00")
    assert morning.holds(at("2026-03-28T07:30"), "Europe/Berlin")  # winter time
    assert morning.holds(at("2026-03-30T06:30"), "Europe/Berlin")  # summer time


def test_the_whole_day_is_the_default():
    assert all(Window().holds(at(f"2026-03-0{day}T{hour}:59"), "UTC") for day in (1, 4) for hour in ("00", "23"))


def test_a_freeze_is_in_force_between_its_dates_both_included():
    freeze = ChangeFreeze(from_date="2026-11-26", to_date="2026-12-01", time_zone="America/New_York")
    found = [freeze.in_force(at(when)) for when in ("2026-11-26T04:59", "2026-11-26T05:00", "2026-12-02T04:59",
                                                    "2026-12-02T05:00")]  # fmt: skip
    assert found == [False, True, True, False]


@pytest.mark.parametrize("entry", [{"begin": "7:30"}, {"end": "24:30"}, {"days": ["Monday"]}, {"days": []}])
def test_strange_times_are_refused(entry):
    with pytest.raises(ValidationError):
        ScheduledSize(nodes=3, **entry)
