"""What is to be known about a pool's plan: codes with numbers. The words are in `tasks/resource_plan/words.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from tasks.resource_plan.decide.inputs import Bool, Float, Int


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


class Note(NamedTuple):
    """One code, the resource it is about ("" if none), and its numbers with units in their names."""

    code: Code
    resource: str
    numbers: dict[str, float]


class Notes:
    """Collects the notes of P pools in the order in which they are added."""

    def __init__(self, count: int) -> None:
        self._rows: list[list[Note]] = [[] for _ in range(count)]

    def add(self, code: Code, where: Bool, resource: str = "", **numbers: float | Float | Int) -> None:
        """Add `code` to every pool in the (P,) mask, each with its own entry of the (P,) or scalar numbers."""
        rows = np.flatnonzero(where)
        columns = {name: np.broadcast_to(value, where.shape)[rows].tolist() for name, value in numbers.items()}
        for place, row in enumerate(rows.tolist()):
            self._rows[row].append(Note(code, resource, {name: values[place] for name, values in columns.items()}))

    def per_pool(self) -> tuple[tuple[Note, ...], ...]:
        """The P lists of notes."""
        return tuple(tuple(row) for row in self._rows)
