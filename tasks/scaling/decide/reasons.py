"""Why a decision is what it is: codes with numbers. The words are in `tasks/scaling/reason_words.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from tasks.scaling.decide.inputs import Bool


class ReasonCode(StrEnum):
    """What drove or stopped a change."""

    # what the need comes from
    REACTIVE_NEED = "reactive-need"
    FORECAST_PEAK = "forecast-peak"
    FORECAST_OUTRUN = "forecast-outrun"
    ABOVE_THRESHOLD = "above-threshold"
    PREDICTED_ABOVE_THRESHOLD = "predicted-above-threshold"
    BELOW_THRESHOLDS = "below-thresholds"
    WITHIN_THRESHOLDS = "within-thresholds"
    ON_TARGET = "on-target"
    REQUESTS = "requests"
    PENDING_PODS = "pending-pods"
    SCHEDULED = "scheduled"
    SPOT_INTERRUPTION = "spot-interruption"
    RESERVED = "reserved"
    # data that is not believed
    MISSING_DATA = "missing-data"
    STALE_DATA = "stale-data"
    ZERO_USAGE = "zero-usage"
    FORECAST_MISSING = "forecast-missing"
    FORECAST_STALE = "forecast-stale"
    FORECAST_INCOMPLETE = "forecast-incomplete"
    FORECAST_NEEDED = "forecast-needed"
    REQUESTS_UNKNOWN = "requests-unknown"
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
    REQUESTS_FIT = "requests-fit"
    POD_DISRUPTION_BUDGET = "pod-disruption-budget"
    QUOTA = "quota"
    CHANGE_FREEZE = "change-freeze"
    # pools that are not touched at all
    FIXED = "fixed"
    FIXED_AT_CAPACITY = "fixed-at-capacity"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    FLEET_UNREACHABLE = "fleet-unreachable"
    HANDS_OFF = "hands-off"
    FOREIGN_OWNER = "foreign-owner"
    # a pool that has not earned to be acted upon
    GATE_UNSCORED = "gate-unscored"
    GATE_NOT_BETTER = "gate-not-better"
    # a stored decision that no longer fits the world
    EXPIRED = "expired"
    GONE = "gone"
    DESIRED_CHANGED = "desired-changed"
    BOUNDS_CHANGED = "bounds-changed"
    ACTUATOR_CHANGED = "actuator-changed"
    DEMAND_ROSE = "demand-rose"


class Reason(NamedTuple):
    """One code, the resource it is about ("" if none; else one of `inputs.RESOURCES`), numbers with units in names."""

    code: ReasonCode
    resource: str
    numbers: dict[str, float]


class ReasonLog(Sequence[tuple[Reason, ...]]):
    """The reasons of P pools in the order in which they are added; written out only when somebody reads them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._entries: list[_Entry] = []
        self._rows: tuple[tuple[Reason, ...], ...] | None = None

    def add(
        self,
        code: ReasonCode,
        where: Bool,
        resource: str = "",
        **numbers: float | NDArray[np.float64] | NDArray[np.int64],
    ) -> None:
        """Add `code` to every pool in the (P,) mask, each with its own entry of the (P,) or scalar numbers."""
        if where.any():
            self._entries.append(_Entry(code, where, resource, numbers, False))

    def only(self, code: ReasonCode, where: Bool) -> None:
        """Make `code` the one reason of every pool in the (P,) mask: nothing said before it can be believed."""
        if where.any():
            self._entries.append(_Entry(code, where, "", {}, True))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> tuple[Reason, ...]: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[tuple[Reason, ...]]: ...
    def __getitem__(self, row: int | slice) -> tuple[Reason, ...] | Sequence[tuple[Reason, ...]]:
        if self._rows is None:
            self._rows = self._written_out()
        return self._rows[row]

    def _written_out(self) -> tuple[tuple[Reason, ...], ...]:
        found: list[list[Reason]] = [[] for _ in range(self._count)]
        for entry in self._entries:
            rows = np.flatnonzero(entry.where)
            names = tuple(entry.numbers)
            columns = [np.broadcast_to(entry.numbers[name], (self._count,))[rows].tolist() for name in names]
            values = zip(*columns, strict=True) if columns else ((),) * rows.size
            for row, own in zip(rows.tolist(), values, strict=True):
                if entry.alone:
                    found[row].clear()
                found[row].append(Reason(entry.code, entry.resource, dict(zip(names, own, strict=True))))
        return tuple(map(tuple, found))


class _Entry(NamedTuple):
    """One code for the pools of a mask; `alone`: it replaces what they had."""

    code: ReasonCode
    where: Bool
    resource: str
    numbers: Mapping[str, float | NDArray[np.float64] | NDArray[np.int64]]
    alone: bool
