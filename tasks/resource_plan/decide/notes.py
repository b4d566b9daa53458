"""What is to be known about a pool's plan: codes with numbers. The words are in `tasks/resource_plan/words.py`."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What is not known, and what limits a plan."""

    UNREACHABLE = "unreachable"
    FORECAST_MISSING = "forecast-missing"
    FORECAST_STALE = "forecast-stale"
    FORECAST_INCOMPLETE = "forecast-incomplete"
    NOT_LOWERED = "not-lowered"
    CAPACITY_UNKNOWN = "capacity-unknown"
    REQUESTS_UNKNOWN = "requests-unknown"
    PRICE_UNKNOWN = "price-unknown"
    AT_MAX = "at-max"
    ABOVE_MAX = "above-max"
    TOO_SOON = "too-soon"
    OWNED = "owned"
