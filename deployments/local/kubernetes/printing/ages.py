"""Spans of time as people read them (kubernetes: apimachinery/pkg/util/duration)."""

from __future__ import annotations

from deployments.local.kubernetes.trees import epoch_s

UNKNOWN = "<unknown>"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400

# Spans below `below` seconds are told in `unit`, and, where `rest` says so, what is left in the next smaller unit.
_STEPS: tuple[tuple[int, int, str, int, str], ...] = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)


def human(seconds: float) -> str:
    """HumanDuration: one unit, or two where one would be coarse.

    >>> [human(s) for s in (0, 119, 205, 600, 10 * 3600, 5 * 3600 + 600, 2 * 86400 + 3 * 3600, 400 * 86400)]
    ['0s', '119s', '3m25s', '10m', '10h', '5h10m', '2d3h', '400d']
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    for below, size, unit, rest_size, rest_unit in _STEPS:
        if whole < below:
            rest = whole % size // rest_size if rest_size else 0
            return f"{whole // size}{unit}" + (f"{rest}{rest_unit}" if rest else "")
    return f"{whole // _YEAR}y"


def since(text: str | None, now_s: float) -> str:
    """How long ago a timestamp was."""
    return human(now_s - epoch_s(text)) if text else UNKNOWN
