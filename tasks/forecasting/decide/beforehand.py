"""Whether the engines are told what is known beforehand: one switch, for `calendar=` and `calendars=` alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blocks.series import Calendar

ENGINES_READ_CALENDARS = False  # True as soon as fit, calibrate, forecast and backtest take them


def told(calendar: Calendar | None) -> dict[str, Any]:
    """Keyword arguments of `fit`, `calibrate` and `forecast`."""
    return {"calendar": calendar} if ENGINES_READ_CALENDARS else {}


def told_all(calendars: Sequence[Calendar | None]) -> dict[str, Any]:
    """Keyword arguments of `backtest`."""
    return {"calendars": list(calendars)} if ENGINES_READ_CALENDARS else {}
