"""Cron schedules: five fields, and the last time at which one was due."""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from dataclasses import dataclass

MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS),
                                                         (0, 6, _DAYS))  # fmt: skip
_DAYS_SEARCHED = 8 * 366
"""A 29 February is at most eight years away."""


class BadSchedule(ValueError):
    """A schedule or a time zone that cannot be read."""


@dataclass(frozen=True)
class Schedule:
    """When something is due, in local time.

    Parameters
    ----------
    both: whether days of the month and of the week must both fit (one of them is `*`), or either.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool
    zone: datetime.tzinfo

    def _fits(self, day: datetime.date) -> bool:
        month_day, weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (month_day and weekday if self.both else month_day or weekday)

    def _times(self, day: datetime.date) -> list[float]:
        """Due times of a day, epoch seconds; a time that the clocks skip is not due."""
        found = []
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                when = local.astimezone(datetime.UTC)
                if when.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    found.append(when.timestamp())
        return sorted(found)

    def after(self, when_s: float) -> float | None:
        """The next due time after a time, epoch seconds; None when it never comes.

        >>> parse("*/15 * * * *").after(60.0), parse("0 0 30 2 *").after(0.0)
        (900.0, None)
        """
        day = datetime.datetime.fromtimestamp(when_s, self.zone).date()
        for _ in range(_DAYS_SEARCHED):
            if self._fits(day):
                for due_s in self._times(day):
                    if due_s > when_s:
                        return due_s
            day += datetime.timedelta(days=1)
        return None

    def latest(self, since_s: float, now_s: float) -> float | None:
        """The last due time after `since_s` and not after `now_s`; None when there was none."""
        day = datetime.datetime.fromtimestamp(now_s, self.zone).date()
        first = datetime.datetime.fromtimestamp(since_s, self.zone).date()
        while day >= first:
            if self._fits(day):
                for due_s in reversed(self._times(day)):
                    if since_s < due_s <= now_s:
                        return due_s
            day -= datetime.timedelta(days=1)
        return None


@functools.lru_cache(maxsize=256)
def parse(text: str, zone: str = "") -> Schedule:
    """A schedule out of its text.

    >>> parse("0 9-17/4 * * mon-fri").hours
    (9, 13, 17)

    Raises
    ------
    BadSchedule: not five fields, a value out of bounds, an unknown time zone.
    """
    words = MACROS.get(text.strip().lower(), text).split()
    if len(words) != len(_FIELDS):
        raise BadSchedule(f"expected exactly 5 fields, found {len(words)}: {text!r}")
    minutes, hours, days, months, weekdays = map(_field, words, _FIELDS)
    try:
        place = zoneinfo.ZoneInfo(zone) if zone else datetime.UTC
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise BadSchedule(f"unknown time zone {zone}") from error
    # As cron has always had it: days of month and week are alternatives, unless one of them is every day.
    both = any(word in ("*", "?", "*/1") for word in (words[2], words[4]))
    return Schedule(tuple(sorted(minutes)), tuple(sorted(hours)), days, months, weekdays, both, place)


def _field(text: str, bounds: tuple[int, int, tuple[str, ...]]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        least, most, names = bounds
        if span not in ("*", "?"):
            first, dash, last = span.partition("-")
            least = _value(first, least, names)
            most = _value(last, bounds[0], names) if dash else (most if step else least)
        if not bounds[0] <= least <= most <= bounds[1] or (step and not (step.isdecimal() and int(step))):
            raise BadSchedule(f"{part!r}: out of bounds {bounds[0]}-{bounds[1]}, or no step")
        found.update(range(least, most + 1, int(step or 1)))
    return frozenset(found)


def _value(text: str, offset: int, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + offset
    if not text.isdecimal():
        raise BadSchedule(f"{text!r} is no number")
    return int(text)
