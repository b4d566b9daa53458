"""What `forecast` and `backtest` share: the options about series files, and how their words are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from blocks.errors import InvalidInput
from deployments.command.output import err

SHOWN_LINES = 20
MOST = 100_000

Freq = Annotated[
    str | None,
    typer.Option(help="distance of the steps: 5min, 1h; else the most frequent in the file. Rows that are closer "
                 "together are averaged"),
]  # fmt: skip
Horizon = Annotated[int, typer.Option(help="steps to forecast")]
Levels = Annotated[str, typer.Option(help="central bands in percent")]
TimeZone = Annotated[
    str, typer.Option(metavar="ZONE", help="local time of the series, by which their days are cut: Europe/Berlin")
]


def check_count(count: int, option: str) -> None:
    """Refuse a number of steps or origins that makes no sense, in one line.

    Raises
    ------
    InvalidInput: less than 1 or more than 100,000.
    """
    if not 1 <= count <= MOST:
        raise InvalidInput(f"{count} is not between 1 and {MOST:,}", where=option, fix=f"write {option} 24")


def step_of(freq: str | None) -> int | None:
    """Seconds of `5min`, `1h`, ...

    Raises
    ------
    InvalidInput: no distance of time, no whole number of seconds, or none that divides a day.
    """
    if freq is None:
        return None
    import pandas as pd

    from tasks.forecasting.decide.history import steps_in_a_day

    fix = "write 5min, 15min or 1h"
    try:
        distance = pd.Timedelta(f"1{freq}" if freq[:1].isalpha() else freq)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{freq!r} is no distance of time", where="--freq", fix=fix) from error
    seconds = distance.total_seconds()
    if not seconds >= 1 or seconds % 1:  # NaT is not >= 1
        raise InvalidInput(f"{freq!r} is not a whole number of seconds", where="--freq", fix=fix)
    try:
        steps_in_a_day(int(seconds))
    except InvalidInput as error:
        raise InvalidInput(f"{freq!r}: {error.what}", where="--freq", fix=fix) from error
    return int(seconds)


def origin_of(origin: str | None) -> datetime | None:
    """Aware time of an ISO 8601 text; without zone it is UTC."""
    if origin is None:
        return None
    try:
        found = datetime.fromisoformat(origin)
    except ValueError as error:
        raise InvalidInput(
            f"{origin!r} is no ISO 8601 time", where="--origin", fix="write 2026-01-31T12:00:00Z"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def percents_of(levels: str) -> tuple[float, ...]:
    """Percents of `80,95`.

    Raises
    ------
    InvalidInput: no numbers, one twice, or one outside 0-100.
    """
    from tasks.forecasting.offline import quantile_levels

    try:
        found = tuple(float(level) for level in levels.split(","))
    except ValueError as error:
        raise InvalidInput(f"{levels!r} are no percents", where="--levels", fix="write 80,95") from error
    quantile_levels(found)
    return found


def zone_of(name: str) -> str:
    """The name of a time zone, checked.

    Raises
    ------
    InvalidInput: no zone has this name.
    """
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise InvalidInput(f"{name!r} is no time zone", where="--time-zone",
                           fix="give an IANA name: Europe/Berlin, America/New_York, UTC") from error  # fmt: skip
    return name


def tell(notes: list[str], left_out: list[str], where: str = "") -> None:
    """Say on stderr which rules were applied and what was left out, at most 20 lines of each."""
    head = f"{where}: " if where else ""
    for word, colour, lines in (("note", "dim", notes), ("left out", "yellow", left_out)):
        for line in lines[:SHOWN_LINES]:
            err.print(f"[{colour}]{word}[/{colour}]", end=" ")
            err.print(f"{head}{line}", highlight=False, soft_wrap=True, markup=False)
        if len(lines) > SHOWN_LINES:
            more = f"{head}and {len(lines) - SHOWN_LINES} more; --json names them all"
            err.print(f"[{colour}]{word}[/{colour}] {more}", highlight=False, soft_wrap=True)
