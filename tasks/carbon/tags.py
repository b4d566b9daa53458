"""What people write on flexible work: moments and powers."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

from blocks.errors import InvalidInput

MOST_S = 31 * 86_400  # later work is looked at when its time has come nearer


def moment_of(text: object, where: str) -> datetime:
    """A time with its zone.

    Raises
    ------
    InvalidInput: it is none.
    """
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInput(f"{str(text)[:40]!r} is no time", where=where, fix="write e.g. 2026-01-31T18:00Z") from error
    if when.tzinfo is None:
        raise InvalidInput(f"{text} has no time zone", where=where, fix="end it with Z for UTC, or with +02:00")
    return when


def kw_of(text: str, where: str) -> float:
    """A power, kW.

    Raises
    ------
    InvalidInput: it is none.
    """
    try:
        kw = float(text)
    except ValueError:
        kw = float("nan")
    if not (isfinite(kw) and kw >= 0):
        raise InvalidInput(f"{text!r} is no power", where=where, fix="write e.g. kw:1.5")
    return kw
