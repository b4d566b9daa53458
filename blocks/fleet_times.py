"""Times of the week in a fleet.yaml: sizes by schedule, change freezes. No Prefect in here."""

from __future__ import annotations

import zoneinfo
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from blocks.fleet_values import Count, Model, TimeZone

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d$"
END_PATTERN = r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"
ClockTime = Annotated[str, Field(pattern=CLOCK_PATTERN)]
EndTime = Annotated[str, Field(pattern=END_PATTERN)]


class Window(Model):
    """A time of some days of the week, in local time; one that ends before it begins goes on into the next day."""

    days: list[Day] = Field(list(DAYS), min_length=1, description="days on which it begins; default: every day")
    begin: ClockTime = Field("00:00", description="local time, e.g. `07:30`")
    end: EndTime = Field("24:00", description="local time, not included")

    def holds(self, when: datetime, zone: str) -> bool:
        """Whether an aware time lies in it, by the clocks of a zone.

        >>> night = Window(days=["fri"], begin="22:00", end="06:00")
        >>> night.holds(datetime.fromisoformat("2026-03-07T04:30:00+00:00"), "Europe/Berlin")
        True
        """
        local = when.astimezone(zoneinfo.ZoneInfo(zone))
        minute, begin, end = (60 * hour + rest for hour, rest in (
            (local.hour, local.minute), _clock(self.begin), _clock(self.end)))  # fmt: skip
        today, yesterday = DAYS[local.weekday()] in self.days, DAYS[local.weekday() - 1] in self.days
        if begin < end:
            return today and begin <= minute < end
        return (today and minute >= begin) or (yesterday and minute < end)


class ScheduledSize(Window):
    """Fewest nodes that a pool has at some time of the week."""

    nodes: Count = Field(ge=1, description="fewest nodes, within the pool's bounds")


class ChangeFreeze(Window):
    """A time in which node pools are not changed, between two dates or for ever."""

    scope: str = Field("*", description="`*`, a cluster, or `cluster/pool`")
    from_date: date | None = Field(None, description="first day, e.g. `2026-11-26`")
    to_date: date | None = Field(None, description="last day, e.g. `2026-12-01`")
    time_zone: TimeZone = Field("UTC", description="IANA name, e.g. `Europe/Berlin`")
    growth: bool = Field(True, description="whether pools may still grow")
    reason: str = Field("", description="for people who wonder why", max_length=200)

    def in_force(self, when: datetime) -> bool:
        """Whether it holds at an aware time."""
        day = when.astimezone(zoneinfo.ZoneInfo(self.time_zone)).date()
        begun = self.from_date is None or day >= self.from_date
        return begun and (self.to_date is None or day <= self.to_date) and self.holds(when, self.time_zone)


def _clock(text: str) -> tuple[int, int]:
    hour, minute = text.split(":")
    return int(hour), int(minute)
