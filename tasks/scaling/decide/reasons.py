"""Why a decision is what it is: codes with numbers. The words are in `tasks/scaling/reason_words.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.scaling.decide.inputs import Bool


class ReasonCode(StrEnum):
    """What drove or stopped a change."""

    # what the need comes from
    REACTIVE_NEED = "reactive-need"
    FORECAST_PEAK = "forecast-peak"
    ABOVE_THRESHOLD = "above-threshold"
    PREDICTED_ABOVE_THRESHOLD = "predicted-above-threshold"
    BELOW_THRESHOLDS = "below-thresholds"
    WITHIN_THRESHOLDS = "within-thresholds"
    # data that is not believed
    MISSING_DATA = "missing-data"
    STALE_DATA = "stale-data"
    ZERO_USAGE = "zero-usage"
    FORECAST_MISSING = "forecast-missing"
    FORECAST_STALE = "forecast-stale"
    FORECAST_INCOMPLETE = "forecast-incomplete"
    FORECAST_NEEDED = "forecast-needed"
    # the pool's own bounds
    BELOW_MIN = "below-min"
    AT_MIN = "at-min"
    AT_MAX = "at-max"
    ABOVE_MAX = "above-max"
    # guards on a change
    BOOTING = "booting"
    NODES_NOT_READY = "nodes-not-ready"
    SCALE_OUT_ONLY = "scale-out-only"
    COOLDOWN = "cooldown"
    DOWN_STABILISATION = "down-stabilisation"
    STEP_LIMIT = "step-limit"
    MULTIPLE = "multiple"
    DISRUPTION_BUDGET = "disruption-budget"
    # pools that are not touched at all
    FIXED = "fixed"
    FIXED_AT_CAPACITY = "fixed-at-capacity"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    FLEET_UNREACHABLE = "fleet-unreachable"
    HANDS_OFF = "hands-off"
    FOREIGN_OWNER = "foreign-owner"
    # a stored decision that no longer fits the world
    EXPIRED = "expired"
    GONE = "gone"
    DESIRED_CHANGED = "desired-changed"
    BOUNDS_CHANGED = "bounds-changed"
    DEMAND_ROSE = "demand-rose"


class Reason(NamedTuple):
    """One code, the resource it is about ("" if none; else one of `inputs.RESOURCES`), numbers with units in names."""

    code: ReasonCode
    resource: str
    numbers: dict[str, float]


class ReasonLog:
    """Collects the reasons of P pools in the order in which they are added."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: list[list[Reason]] = [[] for _ in range(count)]

    def add(
        self,
        code: ReasonCode,
        where: Bool,
        resource: str = "",
        **numbers: float | NDArray[np.float64] | NDArray[np.int64],
    ) -> None:
        """Add `code` to every pool in the (P,) mask, each with its own entry of the (P,) or scalar numbers."""
        rows = np.flatnonzero(where)
        if rows.size == 0:
            return
        names = tuple(numbers)
        columns = [np.broadcast_to(np.asarray(numbers[name]), (self._count,))[rows].tolist() for name in names]
        entries = zip(*columns, strict=True) if columns else ((),) * rows.size
        for row, values in zip(rows.tolist(), entries, strict=True):
            self._rows[row].append(Reason(code, resource, dict(zip(names, values, strict=True))))

    def only(self, code: ReasonCode, where: Bool) -> None:
        """Make `code` the one reason of every pool in the (P,) mask: nothing said before it can be believed."""
        for row in np.flatnonzero(where).tolist():
            self._rows[row] = [Reason(code, "", {})]

    def per_pool(self) -> tuple[tuple[Reason, ...], ...]:
        """The P lists of reasons."""
        return tuple(tuple(row) for row in self._rows)
